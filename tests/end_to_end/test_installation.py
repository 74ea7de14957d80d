"""What ``pip install .`` gives, in an environment of its own, tried in a folder of traps."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRAPS = ("pipeline.py", "stages.py")
LEFT_OUT = shutil.ignore_patterns(".*", "tests", "docs", "benchmarks", "build", "__pycache__")


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Install the wheel; the libraries that it needs are those of this environment."""
    folder = tmp_path_factory.mktemp("installed")
    source, home = folder / "source", folder / "home"
    shutil.copytree(ROOT, source, ignore=LEFT_OUT, symlinks=False)
    venv.create(home, with_pip=False)
    (packages,) = (home / "lib").glob("python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    executable = home / "bin" / "python"
    install = ["-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", str(source)]
    done = subprocess.run([executable, *install], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return executable


@pytest.fixture
def traps(tmp_path):
    for name in TRAPS:
        (tmp_path / name).write_text("raise SystemExit('a trap')\n")
    return tmp_path


def output(folder, *command):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_at_most_three_names_are_added(python):
    (packages,) = (python.parents[1] / "lib").glob("python*/site-packages")
    names = {path.name for path in packages.iterdir() if path.is_dir()}
    assert {name for name in names if not name.endswith(".dist-info")} == {
        *("pipeline", "stages", "steadymask")
    }
    assert all((packages / name / "py.typed").exists() for name in ("pipeline", "steadymask"))


def test_the_command_runs_from_any_folder(python, traps):
    assert output(traps, python.with_name("steadymask"), "--version") == "steadymask 0.2.0\n"
    assert output(traps, python, "-m", "steadymask", "--version") == "steadymask 0.2.0\n"
    shown = output(traps, python.with_name("steadymask"), "--print-config", "--config", "fast")
    assert "preset: fast" in shown


def test_a_program_beside_files_of_our_names_can_import_it(python, traps):
    (traps / "mine.py").write_text(
        "import steadymask\n"
        "print(steadymask.Settings.from_preset('fast').flow.preset)\n"
        "import pipeline.stage\n"
        "print(pipeline.stage.__name__)\n"
    )
    assert output(traps, python, "mine.py") == "fast\npipeline.stage\n"


def test_another_pipeline_that_is_imported_already_is_told(python, traps):
    (traps / "pipeline.py").write_text("")
    (traps / "mine.py").write_text(
        "import pipeline\n"
        "try:\n    import steadymask\nexcept ImportError as error:\n    print(error)"
    )
    assert "another module of that name is imported from" in output(traps, python, "mine.py")


def test_workers_do_not_look_where_the_program_lies(monkeypatch):
    from pipeline.ray_connection import _without_script_folder

    folder = str(Path(__file__).parent)
    monkeypatch.setattr(sys, "argv", [str(Path(folder, "mine.py"))])
    monkeypatch.setattr(sys, "path", [folder, *sys.path])
    before = list(sys.path)
    with _without_script_folder(str(ROOT)):
        assert folder not in sys.path
    assert sys.path == before
    with _without_script_folder(folder):
        assert folder in sys.path
