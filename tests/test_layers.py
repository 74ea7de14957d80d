"""The import rules of CONTRIBUTING.md, checked by folder."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pipeline", "stages", "steadymask")

# What the files of a folder may import of the project, besides their own folder.
ARROWS = {
    "pipeline": set(),
    "stages/ops": {"pipeline.errors"},
    "stages/metrics": {"pipeline.errors", "stages.ops"},
    "stages/models": {"pipeline", "stages.ops"},
    "stages/media": {"pipeline", "stages.ops"},
    "stages": {"pipeline"},
    "steadymask/evaluation": {"pipeline", "stages", "steadymask.record"},
    "steadymask/training": {"pipeline", "stages"},
    "steadymask": {"pipeline", "stages"},
}

# Libraries that a folder must not import.
BANNED = {
    "pipeline": {"torch", "cv2", "av", "ptlflow", "scenedetect"},
    "stages": {"ray", "rich"},
    "stages/ops": {"av", "os", "pathlib", "logging", "yaml", "ptlflow"},
    "steadymask/evaluation": {"ray", "rich", "torch"},
    "steadymask/training": {"ray", "rich"},
    "steadymask/cli": {"ray"},
}


def files(folder):
    paths = sorted((ROOT / folder).rglob("*.py"))
    assert paths
    return paths


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def inside(module, packages):
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def defines_a_stage(path):
    """Return whether a file defines a step of the plan."""
    kinds = {"Stage", "Source", "Sink", "PartedSink"}
    classes = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.ClassDef)]
    bases = [base.id for node in classes for base in node.bases if isinstance(base, ast.Name)]
    return bool(kinds & set(bases))


@pytest.mark.parametrize("folder", ARROWS)
def test_a_folder_imports_only_what_lies_below_it(folder):
    allowed = {*ARROWS[folder], folder.replace("/", ".")}
    wrong = {
        (path.relative_to(ROOT).as_posix(), module)
        for path in files(folder)
        for module in imports(path)
        if inside(module, PACKAGES) and not inside(module, allowed)
    }
    assert wrong == set()


@pytest.mark.parametrize("folder", BANNED)
def test_a_folder_leaves_alone_libraries_that_are_not_its_business(folder):
    wrong = {
        (path.relative_to(ROOT).as_posix(), module)
        for path in files(folder)
        for module in imports(path)
        if inside(module, BANNED[folder])
    }
    assert wrong == set()


def test_only_files_named_for_it_bring_torch_into_the_mathematics():
    wrong = {
        path.name
        for path in files("stages/ops")
        if inside("torch", set(imports(path))) and not path.name.startswith("torch_")
    }
    assert wrong == set()


def test_two_files_import_ray():
    importers = {path.name for path in files("pipeline") if "ray" in set(imports(path))}
    assert importers == {"ray_connection.py", "ray_executor.py"}


def test_only_the_catalogue_imports_stages():
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in files("stages")
        if defines_a_stage(path)
    }
    assert len(modules) > 10
    wrong = {
        (path.name, module)
        for path in files("stages")
        for module in imports(path)
        if path.name != "catalogue.py" and module in modules
    }
    assert wrong == set()


def test_nothing_heavy_is_loaded_until_a_network_is_asked_for():
    code = (
        "import sys, steadymask.cli.run, stages.catalogue, pipeline.task_runner; "
        "steps, _ = stages.catalogue.build_steps({}, 'x'); "
        "heavy = {'torch', 'ptlflow', 'ray', 'onnxruntime', 'torchvision'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
