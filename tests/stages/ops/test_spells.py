import numpy as np
import pytest

from stages.ops.spells import (
    coarse_shape,
    find_witnesses,
    judge_spell,
    overlap,
    shape_distance,
)

SIZE = (120, 200)
FLAT = np.zeros(SIZE, np.float32)


def box(top, bottom, left, right):
    mask = np.zeros(SIZE, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


OBJECT = box(30, 80, 60, 110)
HALF = OBJECT & box(0, 55, 0, 200)
EMPTY = np.zeros(SIZE, np.bool_)


def between(first, second, frames=1):
    return shape_distance(coarse_shape(first), coarse_shape(second), frames)


def test_a_distance_is_that_of_jaccard_once_one_shape_lies_on_the_other():
    assert between(OBJECT, OBJECT) == 0
    assert between(OBJECT, HALF) == pytest.approx(
        1 - overlap(OBJECT, np.roll(HALF, 12, 0)), abs=0.03
    )
    assert between(OBJECT, np.roll(OBJECT, 5, 1)) == 0


def test_a_shape_that_jumps_farther_than_things_move_is_another():
    far = np.roll(OBJECT, 70, 1)
    assert between(OBJECT, far) > 0.9
    assert between(OBJECT, far, frames=10) == 0


def test_empty_masks_are_like_each_other_and_unlike_all_else():
    assert between(EMPTY, EMPTY) == 0
    assert between(EMPTY, OBJECT) == between(OBJECT, EMPTY) == 1


def test_distances_obey_the_triangle_inequality():
    rng = np.random.default_rng(1)
    ends = rng.integers((0, 60, 60, 90), (50, 110, 80, 130), (12, 4))
    masks = [box(top, bottom, left, right) for top, bottom, left, right in ends]
    shapes = [coarse_shape(mask) for mask in masks]
    d = [[shape_distance(a, b, 30) for b in shapes] for a in shapes]
    # Shifts are whole rows, so a little is left over.
    assert all(d[i][k] <= d[i][j] + d[j][k] + 0.1 for i, j, k in np.ndindex(12, 12, 12))


def witnesses(masks, frame):
    shapes = [coarse_shape(mask) for mask in masks]
    sides = (range(frame - 1, -1, -1), range(frame + 1, len(masks)))
    known = [[k for k in side if shapes[k].energy] for side in sides]
    return find_witnesses(
        frame, *known, lambda i, j: shape_distance(shapes[i], shapes[j], abs(j - i))
    )


@pytest.mark.parametrize("bad", [EMPTY, HALF])
@pytest.mark.parametrize("length", [1, 3, 12])
def test_a_bad_spell_has_witnesses_and_they_have_none(bad, length):
    masks = [OBJECT] * 14 + [bad] * length + [OBJECT] * 14
    for t in range(14, 14 + length):
        assert witnesses(masks, t) == (13, 14 + length)
    assert not any(witnesses(masks, t) for t in range(13))


def test_what_comes_goes_or_changes_for_good_has_no_witnesses():
    for masks in (
        [EMPTY] * 5 + [OBJECT] * 5,
        [OBJECT] * 5 + [HALF] * 5,
        [OBJECT] * 5 + [EMPTY] * 5,
    ):
        assert not any(witnesses(masks, t) for t in range(10))


def test_what_changes_little_by_little_has_no_witnesses():
    masks = [box(30, 80 - 3 * min(t, 18 - t), 60, 110) for t in range(19)]
    assert not any(witnesses(masks, t) for t in range(19))


def test_a_flash_of_one_frame_has_no_witnesses():
    """Empty masks vouch for nothing."""
    assert witnesses([EMPTY] * 4 + [OBJECT] + [EMPTY] * 4, 4) is None


def test_masks_that_jump_all_the_time_have_no_witnesses():
    """Where masks jump between places nobody knows which is right."""
    for count in (2, 3):
        masks = [np.roll(OBJECT, 60 * (t % count), 1) for t in range(12)]
        assert not any(witnesses(masks, t) for t in range(2, 10))


def judged(own, sides, odds=0.0):
    carried = np.mean([side.astype(np.float32) for side in sides], axis=0, dtype=np.float32)
    return judge_spell(own, sides, carried, FLAT + np.float32(odds))


@pytest.mark.parametrize("own", [EMPTY, HALF, OBJECT | box(30, 80, 110, 160)])
def test_what_both_sides_contradict_is_wrong(own):
    np.testing.assert_array_equal(judged(own, [OBJECT, OBJECT]), own != OBJECT)


def test_sides_that_do_not_agree_tell_nothing():
    assert judged(EMPTY, [OBJECT, np.roll(OBJECT, 30, 1)]) is None


def test_a_mask_on_the_way_from_one_side_to_the_other_is_right():
    later = np.roll(OBJECT, 12, 1)
    assert judged(np.roll(OBJECT, 6, 1), [OBJECT, later]) is None


def test_colours_that_speak_for_the_mask_are_believed():
    assert judged(HALF, [OBJECT, OBJECT], odds=-1) is None
    assert judged(OBJECT | box(30, 80, 110, 160), [OBJECT, OBJECT], odds=1) is None
    assert judged(HALF, [OBJECT, OBJECT], odds=1).sum() == (OBJECT & ~HALF).sum()


def test_a_line_along_the_outline_is_not_wrong():
    assert judged(HALF | box(30, 78, 60, 110), [OBJECT, OBJECT]) is None
