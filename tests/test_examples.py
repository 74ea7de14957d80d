"""The examples run, and show what they are to show."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def example(monkeypatch):
    """Return what imports an example as its own program would see it."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(EXAMPLES)])

    def load(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_every_example_is_run_by_a_test():
    text = Path(__file__).read_text(encoding="utf-8")
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names
    assert {name for name in names if f'example("{name}")' not in text} == set()


def test_arrays_before_after(example, tmp_path):
    picture = tmp_path / "plot.png"
    assert example("arrays_before_after").main(str(picture)) < 0.8
    assert picture.stat().st_size > 10_000


def test_own_segmenter(example):
    stable = example("own_segmenter").main()
    assert stable.class_ids == (1,)
    assert stable.labels.any(axis=(1, 2)).all()


def test_own_flow(example):
    stable = example("own_flow").main()
    assert np.count_nonzero(stable.labels[4]) > 800


def test_own_refine(example):
    stable = example("own_refine").main()
    square = np.zeros((48, 64), np.uint8)
    square[10:30, 20:44] = 1
    different = np.argwhere((stable.labels[3] > 0) != (square > 0))
    # smooth.blur rounds the four corners by a pixel each, and nothing else differs.
    assert {tuple(pixel) for pixel in different.tolist()} <= {
        (10, 20),
        (10, 43),
        (29, 20),
        (29, 43),
    }
