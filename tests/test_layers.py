"""The import rules of CONTRIBUTING.md, kept by machine."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"pipeline", "stages", "cli", "training", "evaluation"}

IN_TORCH = {
    "stages/ops/losses.py",
    *(f"stages/ops/torch_{name}.py" for name in ("guided", "visibility", "voting")),
}

RULES = [
    # folder, what its files must not import, files that may
    ("pipeline", {"stages", "cli", "torch", "cv2", "av", "ptlflow", "scenedetect"}, set()),
    ("pipeline", {"ray"}, {"pipeline/ray_executor.py"}),
    ("stages", {"ray", "cli", "rich", "training", "evaluation"}, set()),
    ("training", {"ray", "cli", "rich", "evaluation"}, set()),
    ("evaluation", {"ray", "cli", "rich", "training", "torch"}, set()),
    ("cli", {"ray"}, set()),
    ("stages/ops", {"av", "os", "pathlib", "logging", "yaml", "ptlflow"}, set()),
    ("stages/ops", {"torch"}, IN_TORCH),
    ("stages/ops", {"stages.io", "stages.models", "stages.metrics", "stages.artifacts"}, set()),
    ("stages/ops", {"pipeline"}, {"stages/ops/shapes.py", "stages/ops/losses.py"}),  # for errors
    ("stages/models", {"stages.io", "stages.metrics"}, set()),
    ("stages/metrics", {"stages.io", "stages.models"}, set()),
    ("stages/io", {"stages.models", "stages.metrics"}, set()),
]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize(("folder", "banned", "allowed_in"), RULES)
def test_a_layer_imports_only_what_lies_below_it(folder, banned, allowed_in):
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    wrong = {
        (name, module)
        for path in files
        if (name := path.relative_to(ROOT).as_posix()) not in allowed_in
        for module in imports(path)
        if any(module == ban or module.startswith(f"{ban}.") for ban in banned)
    }
    assert wrong == set()


def test_stages_do_not_import_each_other():
    stages = {path.stem for path in (ROOT / "stages").glob("*.py")}
    helpers = {
        "arithmetic",
        "artifacts",
        "voting",
        "filtering",
        "decoding",
        "exhibits",
        "curves",
        "judging",
        "resident",
    }
    steps = stages - helpers - {"__init__"}
    wrong = {
        (path.name, module)
        for path in (ROOT / "stages").glob("*.py")
        for module in imports(path)
        if module.startswith("stages.") and module.split(".")[1] in steps
    }
    assert wrong == set()


def test_nothing_heavy_is_loaded_until_a_network_is_asked_for():
    code = (
        "import sys, cli.run, cli.steps, pipeline.work; "
        "steps, _ = cli.steps.build_steps({}, 'x'); "
        "heavy = {'torch', 'ptlflow', 'ray', 'onnxruntime', 'torchvision'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
