from typing import ClassVar

import numpy as np
import pytest

from pipeline.errors import GraphError, ShapeError
from pipeline.plan import check_steps, cut_into_chunks
from pipeline.stage import ArrayHandle, Input, Span, Stage, check_arrays
from tests.support.toy_stages import Mean, Numbers, Page


def test_a_stage_without_a_version_is_refused_where_it_is_defined():
    with pytest.raises(TypeError, match=r"stage .*Forgetful lacks version"):

        class Forgetful(Stage):
            name: ClassVar[str] = "forgetful"

            def run(self, window):
                return {}


def test_a_frame_outside_the_reach_cannot_be_looked_at():
    span = Span(10, np.arange(3))
    assert span[12] == 2
    with pytest.raises(IndexError, match="frame 9: expected 10 to 12"):
        span[9]


@pytest.mark.parametrize("length", [1, 3, 7, 8, 100])
def test_chunks_cover_each_shot_once_and_are_not_longer_than_asked(length):
    shots = [(0, 10), (10, 11), (11, 40)]
    chunks = list(cut_into_chunks(shots, length))
    assert [t for a, b in chunks for t in range(a, b)] == list(range(40))
    assert max(b - a for a, b in chunks) <= length
    assert all(any(s <= a and b <= e for s, e in shots) for a, b in chunks)


@pytest.mark.parametrize(
    "steps", [(Mean(),), (Numbers(), Page(), Mean()), (Numbers(), Mean(), Mean())]
)
def test_a_plan_that_does_not_fit_is_refused(steps):
    with pytest.raises(GraphError):
        check_steps(steps)


class Lost(Mean):
    name: ClassVar[str] = "lost"
    reads: tuple[str, str] = ("nowhere", "x")

    def inputs(self, facts):
        return (Input(*self.reads),)


def test_an_input_that_names_no_stage_is_told_before_anything_runs():
    with pytest.raises(GraphError, match=r"lost reads nowhere\.x: .*one of numbers, mean"):
        check_steps((Numbers(), Mean(), Lost(), Page()))


def test_a_stage_that_comes_later_cannot_be_read():
    with pytest.raises(GraphError, match=r"lost reads mean\.y: .*one of numbers"):
        check_steps((Numbers(), Lost(reads=("mean", "y")), Mean()))


X = ArrayHandle("some", "x", "int16", ("K", 2, "h", "w"))
Y = ArrayHandle("some", "y", "bool", ("h", "w"))


class Declared(Mean):
    name: ClassVar[str] = "some"
    writes: ClassVar[tuple[ArrayHandle, ...]] = (X, Y)


def test_an_input_that_its_stage_does_not_write_is_told_before_anything_runs():
    with pytest.raises(GraphError, match=r"lost reads some\.z: .*arrays x, y"):
        check_steps((Numbers(), Declared(), Lost(reads=("some", "z"))))


def arrays(x_shape=(5, 3, 2, 4, 6), x_type=np.int16, y_shape=(5, 4, 6)):
    return {"x": np.zeros(x_shape, x_type), "y": np.zeros(y_shape, np.bool_)}


def test_arrays_as_declared_pass():
    check_arrays((X, Y), arrays())


def test_an_optional_array_may_be_left_out():
    may = ArrayHandle("some", "z", "bool", optional=True)
    check_arrays((X, Y, may), arrays())
    with pytest.raises(ShapeError, match="z: expected bool"):
        check_arrays((X, Y, may), arrays() | {"z": np.zeros(5, np.int8)})


@pytest.mark.parametrize(
    ("own_arrays", "message"),
    [
        (arrays(x_type=np.float32), r"some\.x: expected int16 .* got float32"),
        (arrays(x_shape=(5, 3, 3, 4, 6)), r"some\.x: expected int16 \(T, K, 2, h, w\)"),
        (arrays(x_shape=(5, 3, 2, 4)), r"some\.x: .* got int16 \(5, 3, 2, 4\)"),
        (arrays(y_shape=(5, 4, 7)), r"some\.y: .* w = 6, got bool \(5, 4, 7\)"),
        ({"x": arrays()["x"]}, "expected the arrays x, y, got x"),
    ],
)
def test_arrays_that_differ_from_what_is_declared_are_refused(own_arrays, message):
    with pytest.raises(ShapeError, match=message):
        check_arrays((X, Y), own_arrays)
