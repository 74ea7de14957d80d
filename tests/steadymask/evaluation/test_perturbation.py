import numpy as np
import pytest

from stages.ops.warp import warp
from steadymask.evaluation.perturbation import (
    KINDS,
    Motion,
    exact_flow,
    perturbed_frame,
    random_motion,
)

SIZE = (60, 80)


def smooth():
    """A picture that is smooth enough to be sampled between pixels."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    planes = [rows * 2, columns * 2, 60 + rows + columns]
    return np.stack(planes, -1).astype(np.uint8)


def motion(kind, severity=4, frames=5, seed=0):
    return random_motion(kind, severity, SIZE, frames, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_the_flow_carries_one_frame_to_the_other_where_it_says_that_both_see_it(kind):
    labels = np.ones(SIZE, np.uint8)
    clip_motion = motion(kind)
    frames = [
        perturbed_frame(smooth(), labels, clip_motion, t, np.random.default_rng(t))[0].astype(
            np.float32
        )
        for t in range(5)
    ]
    seen_at_all = 0
    for i, j in ((0, 1), (1, 0), (2, 4), (4, 1)):
        flow, visible = exact_flow(clip_motion, i, j, SIZE)
        carried = warp(frames[j], flow)
        inner = visible & ~np.isnan(carried).any(axis=-1)
        # Noise of two levels in each, and rounding of 8 bits.
        assert np.abs(carried - frames[i])[inner].mean() < 3.5
        seen_at_all += inner.mean()
    assert seen_at_all > 2


@pytest.mark.parametrize("kind", KINDS)
def test_going_there_and_back_comes_home(kind):
    clip_motion = motion(kind, severity=2)
    there, visible = exact_flow(clip_motion, 1, 3, SIZE)
    back, _ = exact_flow(clip_motion, 3, 1, SIZE)
    home = there + np.moveaxis(warp(np.moveaxis(back, 0, -1).copy(), there), -1, 0)
    assert np.abs(home[:, visible]).max() < 1e-3


def test_a_shift_by_hand():
    places = np.tile(np.eye(3), (2, 1, 1))
    places[1, :2, 2] = 3, -2
    flow, visible = exact_flow(Motion(places, np.zeros((2, 4), int)), 0, 1, SIZE)
    np.testing.assert_allclose(flow[:, 10, 10], [3, -2])
    assert not visible[:2].any()
    assert not visible[:, -3:].any()
    assert visible[2:, :-3].all()


def test_what_an_occluder_covers_in_either_frame_is_not_seen():
    occluders = np.array([[10, 5, 20, 15], [40, 30, 50, 40]])
    clip_motion = Motion(np.tile(np.eye(3), (2, 1, 1)), occluders)
    flow, visible = exact_flow(clip_motion, 0, 1, SIZE)
    assert not flow.any()
    expected = np.ones(SIZE, bool)
    expected[5:15, 10:20] = expected[30:40, 40:50] = False
    np.testing.assert_array_equal(visible, expected)
    frame, labels = perturbed_frame(
        smooth(), np.ones(SIZE, np.uint8), clip_motion, 1, np.random.default_rng(0)
    )
    assert not labels[30:40, 40:50].any()
    assert abs(frame[30:40, 40:50].mean() - 127) < 2


def test_beyond_the_image_labels_are_to_be_ignored():
    places = np.tile(np.eye(3), (2, 1, 1))
    places[1, 0, 2] = 10
    clip_motion = Motion(places, np.zeros((2, 4), int))
    _, labels = perturbed_frame(
        smooth(), np.full(SIZE, 7, np.uint16), clip_motion, 1, np.random.default_rng(0)
    )
    assert (labels[:, :10] == 255).all()
    assert (labels[:, 10:] == 7).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_higher_severity_moves_or_covers_more(kind):
    def strength(severity):
        clip_motion = motion(kind, severity)
        flow, visible = exact_flow(clip_motion, 1, 2, SIZE)
        return np.abs(flow).max() if kind != "occlusion" else (~visible).mean()

    values = [strength(severity) for severity in (1, 3, 6)]
    assert values == sorted(values)
    assert values[0] < values[2]
    assert np.array_equal(motion(kind).places[0], np.eye(3))
