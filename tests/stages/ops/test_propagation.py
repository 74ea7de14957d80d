import cv2
import numpy as np
import pytest

from stages.ops.propagation import (
    CarriedMask,
    carry_on,
    labelled_mask,
    learn_colours,
    local_separation,
    mix_sides,
    search_region,
)

SIZE = (60, 80)
STILL = np.zeros((2, *SIZE), np.float32)


def textured(seed, low, high):
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.uniform(low, high, (*SIZE, 3)), (0, 0), 1.5)
    return noise.astype(np.uint8)


def scene(shift):
    """Return a picture with a bright square on a dark ground, and the square's mask."""
    picture, mask = textured(1, 0, 90), np.zeros(SIZE, np.float32)
    region = np.s_[20:40, 20 + shift : 45 + shift]
    picture[region] = textured(2, 160, 255)[20:40, 20:45]
    mask[region] = 1
    return picture, mask


def moved_flow(shift):
    """Return the flow to the frame `shift` further, on the square's and its ground's own grid."""
    flow = STILL.copy()
    flow[0, 20:40, 20:45] = shift
    return flow


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def carry(shift, back, there, mask=None, picture=None):
    before, own = scene(0)
    after, truth = scene(shift)
    own = own if mask is None else mask
    result = carry_on(
        labelled_mask(own), before, after if picture is None else picture, back, there,
        learn_colours(before, own), local_weight=local_separation(before, own),
    )  # fmt: skip
    return result, truth


def test_where_nothing_moves_the_mask_stays():
    result, truth = carry(0, STILL, STILL)
    assert iou(result.probability > 0.5, truth > 0.5) > 0.98
    assert result.confidence.min() > 0.9


def test_a_mask_goes_where_the_flow_leads():
    back = STILL.copy()
    back[0, 20:40, 26:51] = -6
    result, truth = carry(6, back, moved_flow(6))
    assert iou(result.probability > 0.5, truth > 0.5) > 0.9


def test_colour_finds_what_the_flow_loses():
    result, truth = carry(6, STILL, STILL)
    without_colour = scene(0)[1] > 0.5
    assert iou(result.probability > 0.5, truth > 0.5) > iou(without_colour, truth > 0.5) + 0.15


def test_a_step_that_flow_and_picture_deny_lowers_the_confidence():
    result, _ = carry(6, STILL, STILL)
    assert result.confidence[30, 47] < result.confidence[5, 5]


def test_colours_that_cannot_tell_have_no_weight():
    picture = textured(3, 0, 255)
    mask = scene(0)[1]
    shuffled = np.random.default_rng(0).permutation(picture.reshape(-1, 3)).reshape(picture.shape)
    assert learn_colours(shuffled, mask).weight < 0.4
    assert learn_colours(*scene(0)).weight == 1
    assert local_separation(*scene(0)) == 1
    assert learn_colours(picture, np.zeros(SIZE, np.float32)).weight == 0


ONES = np.ones(SIZE, np.float32)
GREY = np.full((*SIZE, 3), 90, np.uint8)
NOTHING_ALIKE = 0.5 * ONES, 1e3 * ONES


def test_the_nearer_side_counts_more_and_a_doubtful_one_less():
    yes, no = CarriedMask(2 * ONES, ONES), CarriedMask(-2 * ONES, ONES)

    def mixed(*sides):
        return mix_sides(sides, GREY, NOTHING_ALIKE)

    assert (mixed((yes, 1), (no, 5)) > 0.5).all()
    assert (mixed((yes, 5), (no, 1)) < 0.5).all()
    np.testing.assert_allclose(mixed((yes, 3), (no, 3)), 0.5, atol=1e-6)
    doubtful = CarriedMask(2 * ONES, 0.01 * ONES)
    assert (mixed((doubtful, 2), (no, 5)) < 0.5).all()
    assert (mixed((yes, 7)) > 0.5).all()


def test_what_looks_alike_in_the_labelled_frames_overrules_a_doubtful_side_only():
    no, doubtful_no = CarriedMask(-4 * ONES, ONES), CarriedMask(-4 * ONES, 0.5 * ONES)
    alike, unlike = (ONES, 0 * ONES), (ONES, 0.5 * ONES)
    assert (mix_sides([(doubtful_no, 3)], GREY, alike) > 0.9).all()
    assert (mix_sides([(no, 3)], GREY, unlike) < 0.1).all()
    assert (mix_sides([(doubtful_no, 3)], GREY, unlike) < 0.5).all()


def test_pixels_are_looked_for_where_a_mask_may_be_and_around_it():
    mask = np.zeros(SIZE, np.float32)
    mask[20:30, 20:30] = 1
    region = search_region([labelled_mask(mask)])
    assert not region.all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_object_that_is_nowhere_or_everywhere_stays_so(value):
    mask = np.full(SIZE, value, np.float32)
    result, _ = carry(0, STILL, STILL, mask=mask)
    assert ((result.probability > 0.5) == (value > 0.5)).all()
