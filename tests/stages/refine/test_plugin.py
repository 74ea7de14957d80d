"""A refine method of the user's: one file outside the tree, nothing else."""

import sys

import numpy as np
import pytest

import steadymask
from pipeline.errors import ConfigError, InputError

CODE = """
import numpy as np

def same(masks, frames, flows, index, scale=1.0):
    assert frames.shape[:3] == masks.shape[:3] and set(flows) <= {-1, 1}
    assert all(flow.shape == (2, *masks.shape[1:3]) for flow in flows.values())
    return masks[index] * np.float32(scale)

def wrong(masks, frames, flows, index):
    return masks * 2
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    name = f"my_refine_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def run(method, chunk=64, **options):
    frames = np.random.default_rng(0).integers(0, 255, (5, 24, 32, 3), np.uint8)
    masks = np.zeros((5, 24, 32), np.uint8)
    masks[:, 4:12, 4:12] = 1
    settings = {
        "refine": {"method": method, "reach": 2, "options": options},
        "flow": {"radius": 1},
        "smooth": {"method": "none", "votes": 0},
        "engine": {"chunk": chunk},
    }
    return steadymask.stabilize(frames, masks, settings=settings, workers=1)


def test_a_function_of_a_module_refines_and_gets_its_options(module):
    assert run(f"{module}:same").labels.any()
    assert not run(f"{module}:same", scale=0.0).labels.any()


def test_the_law_of_chunks_holds_for_it(module):
    whole = run(f"{module}:same", scale=0.9)
    np.testing.assert_array_equal(run(f"{module}:same", chunk=2, scale=0.9).labels, whole.labels)


def test_what_it_answers_is_checked_and_unknown_names_list_what_there_is(module):
    with pytest.raises(InputError, match=r"expected floats \(24, 32, 1\) in \[0, 1\], got"):
        run(f"{module}:wrong")
    with pytest.raises(ConfigError, match="expected module:function, or one of trust, vote, align"):
        run("votes")
