"""A flow method of the user's: one file outside the tree, nothing else."""

import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest

import steadymask
from pipeline import plugins
from pipeline.errors import ConfigError, InputError
from pipeline.store.keys import record_of
from stages.flow import Flow
from stages.models.flow.registry import ENTRY_POINTS

CODE = """
import numpy as np

def still(first, second, shift=0.0):
    return np.full((2, *first.shape[:2]), shift, np.float32)

class Still:
    def __init__(self, shift):
        self.shift = shift
    def __call__(self, first, second):
        return still(first, second, self.shift)

def wrong(first, second):
    return np.zeros(first.shape, np.float32)

def failing(first, second):
    raise RuntimeError("no flow today")
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return the name of a module in the working folder, new for each test."""
    name = f"my_flow_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def clip():
    frames = np.random.default_rng(0).integers(0, 255, (3, 24, 32, 3), np.uint8)
    masks = np.zeros((3, 24, 32), np.uint8)
    masks[:, 4:12, 4:12] = 1
    return frames, masks


def run(method, **options):
    settings = {"flow": {"method": method, "radius": 1, "options": options}}
    return steadymask.stabilize(*clip(), settings=settings, workers=1)


def test_a_function_and_a_class_of_a_module_estimate_flow(module):
    assert len(run(f"{module}:still")) == 3
    function = run(f"{module}:still", shift=0.5)
    instance = run(f"{module}:Still", shift=0.5)
    np.testing.assert_array_equal(function.soft, instance.soft)


def test_an_entry_point_is_a_method(module, monkeypatch):
    point = EntryPoint("still", f"{module}:still", ENTRY_POINTS)
    monkeypatch.setattr(
        plugins, "entry_points", lambda group: [point] if group == ENTRY_POINTS else []
    )
    plugins.plugin_points.cache_clear()
    sys.path.append(".")
    assert len(run("still")) == 3
    monkeypatch.undo()
    plugins.plugin_points.cache_clear()


def test_what_a_method_answers_is_checked(module):
    with pytest.raises(InputError, match=r"expected finite floats \(2, 12, 16\), got float32"):
        run(f"{module}:wrong")
    with pytest.raises(InputError, match="RuntimeError: no flow today"):
        run(f"{module}:failing")
    with pytest.raises((ConfigError, InputError), match="unexpected keyword argument 'speed'"):
        run(f"{module}:Still", speed=3)


def test_an_unknown_name_lists_what_there_is(module):
    with pytest.raises(ConfigError, match="expected dis, deepflow, module:function, or one of"):
        run("dsi")
    with pytest.raises(InputError, match=r"AttributeError: module .* has no attribute 'stil'"):
        run(f"{module}:stil")
    with pytest.raises(ConfigError, match=r"flow\.options = .*: expected none"):
        run("dis", shift=1)


def test_other_code_or_options_have_another_key_and_none_the_key_of_before(module):
    def settings(**fields):
        return record_of(Flow(**fields).resolve(), (0, 1), {})["settings"]

    assert "options" not in settings()
    first = settings(method=f"{module}:still")
    assert first["weights_digest"] != ""
    assert settings(method=f"{module}:still", options={"shift": 1}) != first
    with open(f"{module}.py", "a") as file:  # noqa: PTH123 - in the working folder
        file.write("\n")
    assert settings(method=f"{module}:still") != first


def test_settings_do_no_work_when_they_are_constructed(monkeypatch):
    from stages.segment import Segment

    before = list(sys.path)
    Segment(segmenter="a_module_that_is_not_there:function", classes=(1,))
    Flow(method="gma", weights="/no/such/file")
    assert sys.path == before
