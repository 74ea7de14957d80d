import numpy as np
import pytest

from stages.ops.outline_jumps import UNKNOWN_JUMP, estimate_jump, neighbour_belief

COUNT = 20000


def outlines(jump, seed=11):
    """Distances that a frame and six others have of the same pixels, and the mean of all."""
    rng = np.random.default_rng(seed)
    own, others = rng.normal(0, jump, COUNT), rng.normal(0, jump, (6, COUNT))
    return own, others, (own + others.sum(axis=0)) / 7


@pytest.mark.parametrize("jump", [0.8, 1.5, 2.5])
def test_the_jump_is_that_of_outlines_drawn_at_random(jump):
    own, _, mean = outlines(jump)
    # Pixels on the own outline: all distances are relative to it.
    zero, weight = np.zeros(COUNT, np.float32), np.full(COUNT, 6, np.float32)
    assert estimate_jump(zero, np.float32(mean - own), weight) == pytest.approx(jump, rel=0.03)


def test_pixels_that_few_frames_know_do_not_make_the_jump_larger():
    own, _, mean = outlines(1.5)
    away, weight = np.float32(mean - own), np.full(COUNT, 6, np.float32)
    weight[::2], away[::2] = 1, 9
    jump = estimate_jump(np.zeros(COUNT, np.float32), away, weight)
    assert jump == pytest.approx(1.5, rel=0.05)


def test_the_jump_is_a_guess_where_no_frame_knows_the_outline():
    nothing = np.zeros(3, np.float32)
    assert estimate_jump(nothing, nothing + 5, nothing) == UNKNOWN_JUMP


@pytest.mark.parametrize("flow_error", [0.0, 2.0, 6.0])
def test_belief_is_the_root_of_what_jumps_explain(flow_error):
    jump = 1.5
    own, others, _ = outlines(jump)
    others = others + np.random.default_rng(3).normal(0, flow_error, others.shape)
    scatter = np.square(others - own).sum(axis=0)
    belief = neighbour_belief(
        np.zeros(COUNT, np.float32), np.full(COUNT, 6, np.float32), np.float32(scatter), jump=jump
    )
    expected = np.sqrt(2 * jump**2 / (2 * jump**2 + flow_error**2))
    assert belief == pytest.approx(expected, rel=0.03)


def test_neighbours_that_differ_less_than_the_jumps_are_believed():
    weight = np.ones(4, np.float32)
    assert neighbour_belief(0 * weight, weight, 0.1 * weight, jump=1.0) == 1.0
