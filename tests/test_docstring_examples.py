"""The examples in docstrings run, and say what they show."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def modules_with_examples():
    paths = [
        path for top in ("pipeline", "stages", "steadymask") for path in ROOT.glob(f"{top}/**/*.py")
    ]
    for path in sorted(paths):
        if ">>> " in path.read_text(encoding="utf-8"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__")


@pytest.mark.parametrize("name", list(modules_with_examples()))
def test_the_examples_of_a_module_run(name):
    outcome = doctest.testmod(
        importlib.import_module(name),
        optionflags=doctest.IGNORE_EXCEPTION_DETAIL | doctest.ELLIPSIS,
    )
    assert outcome.attempted > 0
    assert outcome.failed == 0
