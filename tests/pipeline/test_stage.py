from typing import ClassVar

import numpy as np
import pytest

from pipeline.errors import GraphError
from pipeline.plan import check_steps, cut
from pipeline.stage import Span, Stage
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
    chunks = list(cut(shots, length))
    assert [t for a, b in chunks for t in range(a, b)] == list(range(40))
    assert max(b - a for a, b in chunks) <= length
    assert all(any(s <= a and b <= e for s, e in shots) for a, b in chunks)


@pytest.mark.parametrize(
    "steps", [(Mean(),), (Numbers(), Page(), Mean()), (Numbers(), Mean(), Mean())]
)
def test_a_plan_that_does_not_fit_is_refused(steps):
    with pytest.raises(GraphError):
        check_steps(steps)
