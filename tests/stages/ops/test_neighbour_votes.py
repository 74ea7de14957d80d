import numpy as np
import pytest

from pipeline.errors import ShapeError
from stages.ops.neighbour_votes import count_votes
from tests.support.slow_trajectories import (
    CLASSES,
    COLUMNS,
    ROWS,
    slow_trajectory,
    slow_value,
    tiny_clip,
)

FRAME, PIXEL = 2, 2.0


def counted(clip, active=None, *, reach=2):
    images, labels, trust, flow = clip
    active = np.ones(labels.shape[1:], np.bool_) if active is None else active
    return count_votes(
        labels, trust, images, flow, FRAME, reach=reach, appearance=20.0, pixel=PIXEL,
        active=active, classes=CLASSES,
    )  # fmt: skip


def slow_votes(clip, *, reach):
    """C = Σ g τ [label] / Σ g τ, bilinear between the four pixels around each place."""
    images, labels, trust, flow = clip
    ballots = (labels[..., None] == np.arange(CLASSES + 1)) * (trust[..., None] / 255)
    votes = np.zeros((ROWS, COLUMNS, CLASSES + 1))
    for y, x in np.ndindex(ROWS, COLUMNS):
        for step in (-1, 1):
            way = slow_trajectory(
                images, flow, FRAME, x, y, step, reach=reach, appearance=20.0, pixel=PIXEL
            )
            votes[y, x] += sum(g * slow_value(ballots[t], px, py) for t, px, py, g in way)
    support = votes.sum(-1)
    return votes / np.maximum(support, 1e-12)[..., None], support


@pytest.mark.parametrize("reach", [1, 2, 8])
def test_equals_its_formula(reach):
    clip = tiny_clip()
    slow, slow_support = slow_votes(clip, reach=reach)
    votes, support = counted(clip, reach=reach)
    assert 0.3 < slow_support.mean() < 4
    np.testing.assert_allclose(support, slow_support, atol=1e-4)
    np.testing.assert_allclose(votes, slow, atol=1e-4)


def test_a_frame_has_no_vote_on_itself():
    images, labels, trust, flow = tiny_clip()
    other = labels.copy()
    other[FRAME] = 0
    for first, second in zip(
        counted((images, labels, trust, flow)), counted((images, other, trust, flow)), strict=True
    ):
        np.testing.assert_array_equal(first, second)


def test_where_it_is_not_asked_a_pixel_has_its_own_label():
    clip = tiny_clip()
    active = np.zeros((ROWS, COLUMNS), np.bool_)
    active[:5] = True
    votes, support = counted(clip, active)
    assert (votes[5:].argmax(-1) == clip[1][FRAME, 5:]).all()
    assert not support[5:].any()


def test_sizes_that_differ_are_named():
    images, labels, trust, flow = tiny_clip()
    with pytest.raises(ShapeError, match="trust"):
        counted((images, labels, trust[:, :5], flow))
