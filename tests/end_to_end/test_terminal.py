"""The command at a person's terminal: typed into an interactive shell with job control."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.support.small_library import write_clip
from tests.support.terminal_session import TerminalSession, listen_to_signals

ROOT = Path(__file__).resolve().parents[2]
COMMAND = f"{sys.executable} {ROOT / 'run_pipeline.py'}"
RUN = f"{COMMAND} footage --masks masks --out out --workers 2"
INLINE = f"{RUN} --executor inline"
AT_WORK = r"ingest|segment|flow|trust|refine|smooth|measure"
LIMIT_S = 300


@pytest.mark.parametrize("executor", ["ray", "inline"])
def test_a_run_that_is_typed_at_a_terminal_ends(tmp_path, executor):
    write_clip(tmp_path, "a", 12)
    with TerminalSession(tmp_path) as terminal:
        status, shown = terminal.run(
            f"{COMMAND} footage --masks masks --out out --executor {executor} --workers 2", LIMIT_S
        )
    assert status == 0, shown
    assert "1 clip done, 0 failed" in shown
    assert len(list((tmp_path / "out/a/masks").iterdir())) == 12


def test_the_demo_that_is_typed_at_a_terminal_ends(tmp_path):
    with TerminalSession(tmp_path) as terminal:
        status, shown = terminal.run(f"{COMMAND} --demo --out out/demo --workers 2", LIMIT_S)
    assert status == 0, shown
    assert "masks out against the truth" in shown


@pytest.mark.parametrize(
    ("columns", "variables"), [(80, {}), (40, {}), (80, {"TERM": "dumb"})], ids=["80", "40", "dumb"]
)
def test_no_line_is_wider_than_the_window(tmp_path, columns, variables):
    write_clip(tmp_path, name := "a-clip-with-a-name", 8)
    with TerminalSession(tmp_path, columns=columns, **variables) as terminal:
        status, shown = terminal.run(INLINE, LIMIT_S)
    assert status == 0, shown
    screen = shown.split("results go to", 1)[1].replace("\r", "\n").split("status=")[0]
    drawn = [text for text in screen.splitlines() if set(text) & set("━│┃")]
    assert drawn
    assert max(map(len, drawn)) <= columns
    assert {"computed", "seconds", "visibility"} <= set(screen.replace("│", " ").split())  # whole
    assert f"{name}: E_cons" in shown


def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(tmp_path):
    write_clip(tmp_path, "a", 150, size=(240, 320))  # not done when the key is pressed
    with TerminalSession(tmp_path) as terminal:
        terminal.type(f"{RUN}; echo status=$?=\n")
        terminal.wait_for(AT_WORK, LIMIT_S)
        terminal.type("\x03")
        shown = terminal.wait_for(r"status=\d+=", 20)
        assert "status=130=" in shown
        assert "interrupted: what is done stays" in shown
        assert "Traceback" not in shown
        status, shown = terminal.run(INLINE, LIMIT_S)
    assert status == 0, shown


def test_ctrl_c_twice_ends_it_at_once(tmp_path):
    write_clip(tmp_path, "a", 150, size=(240, 320))  # not done when the key is pressed
    with TerminalSession(tmp_path) as terminal:
        terminal.type(f"{RUN}; echo status=$?=\n")
        terminal.wait_for(AT_WORK, LIMIT_S)
        terminal.type("\x03\x03")
        shown = terminal.wait_for(r"status=\d+=", 10)
        assert "status=130=" in shown
        assert "Traceback" not in shown


def test_ctrl_z_stops_it_and_fg_goes_on(tmp_path):
    write_clip(tmp_path, "a", 24)
    with TerminalSession(tmp_path) as terminal:
        terminal.type(f"{RUN}\n")
        terminal.wait_for(AT_WORK, LIMIT_S)
        terminal.type("\x1a")
        terminal.wait_for("Stopped", 20)
        status, shown = terminal.run("fg", LIMIT_S)
    assert status == 0, shown
    assert "1 clip done, 0 failed" in shown


def test_who_closes_the_pipe_costs_the_run_nothing(tmp_path):
    write_clip(tmp_path, "a", 6)
    with TerminalSession(tmp_path) as terminal:
        status, shown = terminal.run(f"{INLINE} 2>&1 | head -n 1", LIMIT_S)
        terminal.run("wait", LIMIT_S)
    assert status == 0
    assert "Traceback" not in shown
    assert (tmp_path / "out/a/masks.mkv").exists()
    assert (tmp_path / "out/report/index.html").exists()


@pytest.mark.parametrize(("name", "expected"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_from_outside_is_ctrl_c(tmp_path, name, expected):
    write_clip(tmp_path, "a", 60)
    with subprocess.Popen(
        RUN.split(), cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        preexec_fn=listen_to_signals,
    ) as run:  # fmt: skip
        manifests = tmp_path / "out" / ".store" / "objects"
        deadline = time.monotonic() + LIMIT_S
        while not list(manifests.glob("*/*/manifest.json")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        run.send_signal(getattr(signal, name))
        output = run.communicate(timeout=20)[1]
    assert run.returncode == expected
    assert f"stopped by {name}: what is done stays" in output
    assert "Traceback" not in output
    assert list(manifests.glob("*/*/manifest.json"))


@pytest.fixture
def open_folder():
    """A folder that every user may write to; those of pytest are for one user alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


# nobody, and a number without a name as in `docker run --user`
@pytest.mark.parametrize(("user", "home"), [(65534, "/nonexistent"), (12345, "/")])
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which only root may")
def test_a_user_who_may_write_nothing_but_the_results(open_folder, user, home):
    python = shutil.which("python3", path="/usr/bin")
    nobody = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    environment = os.environ | {"HOME": home, "PYTHONPATH": packages}
    probe = [*nobody, str(python), "-c", "import sys, numpy; print(sys.version_info[:2])"]
    if shutil.which("setpriv") is None or python is None:
        pytest.skip("no setpriv, or no Python of the system")
    tried = subprocess.run(probe, env=environment, capture_output=True, text=True)
    if tried.stdout.strip() != str(sys.version_info[:2]):
        pytest.skip("another user cannot run this Python with these packages")
    write_clip(open_folder, "a", 6)
    done = subprocess.run(
        [*nobody, str(python), *RUN.split()[1:]],
        cwd=open_folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (open_folder / "out/a/masks.mkv").exists()
