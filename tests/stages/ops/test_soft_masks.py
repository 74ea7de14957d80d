import numpy as np
import pytest
import skimage.data

from stages.ops.corruption import corrupted_mask
from stages.ops.shots import Changes, find_cuts, shots_between
from stages.ops.soft_masks import (
    far_from_background,
    keep_labels,
    leave_alone,
    mask_confidence,
    softened_masks,
    winning_classes,
)

LABELS = np.array([[0, 0, 3, 3], [0, 7, 7, 3], [255, 7, 7, 3]], np.uint16)


def test_hard_masks_win_back_their_labels():
    back = winning_classes(softened_masks(LABELS, (3, 7), sigma=0))
    np.testing.assert_array_equal(np.array([0, 3, 7])[back], np.where(LABELS == 255, 0, LABELS))


def test_softened_classes_and_background_sum_to_one():
    soft = softened_masks(LABELS, (3, 7), sigma=1.5)
    background = softened_masks((~np.isin(LABELS, (3, 7))).astype(np.uint16), (1,), sigma=1.5)
    np.testing.assert_allclose(soft.sum(-1) + background[..., 0], 1, atol=1e-6)


def test_a_mask_without_classes_is_all_background():
    soft = softened_masks(LABELS, (), sigma=1.5)
    assert soft.shape == (3, 4, 0)
    assert not winning_classes(soft).any()


def test_a_tie_goes_to_the_background():
    assert winning_classes(np.full((1, 1, 1), 0.5, np.float32))[0, 0] == 0
    assert winning_classes(np.array([[[0.0, 0.5]]], np.float32))[0, 0] == 0


@pytest.mark.parametrize(("p", "expected"), [(0.0, 1.0), (1.0, 1.0), (0.5, 0.01), (0.11, 0.5)])
def test_confidence_is_one_minus_the_entropy(p, expected):
    sure = mask_confidence(np.full((2, 2, 1), round(255 * p), np.uint8), floor=0.01)
    np.testing.assert_allclose(sure, expected, atol=7e-3)


def test_an_unsure_mask_of_many_classes_has_the_least_confidence():
    assert mask_confidence(np.full((1, 1, 3), 64, np.uint8), floor=0.05)[0, 0] == np.float32(0.05)


def test_a_cut_is_found_where_the_picture_changes():
    scenes = skimage.data.astronaut(), skimage.data.coffee()
    changes = Changes()
    for t in range(24):
        changes.add_frame(scenes[t >= 11][100:280, 2 * t : 2 * t + 320])
    assert find_cuts(changes.values, 3.0) == [11]


def test_cuts_outside_the_clip_are_left_out():
    assert shots_between([30, 0, 10, 10, 99], 40) == [(0, 10), (10, 30), (30, 40)]


def test_corruption_is_seeded_and_grows_with_its_axes():
    mask = np.zeros((80, 100), bool)
    mask[20:60, 30:70] = True

    def error(**how):
        rng = np.random.default_rng(5)
        return np.mean([(corrupted_mask(mask, rng, **how) != mask).sum() for _ in range(8)])

    assert error(growth=0, displacement=0) == 0
    assert error(growth=0, displacement=4) < error(growth=0, displacement=8)
    assert error(growth=5, displacement=0) < error(growth=10, displacement=0)
    assert error(growth=5, displacement=4) == error(growth=5, displacement=4)


def test_what_is_trusted_stays_and_the_rest_is_taken_as_smoothed():
    mask = np.full((2, 3, 3), 0.2, np.float32)
    before = np.full((2, 3, 3), 204, np.uint8)
    out = leave_alone(mask, before, np.array([255, 51, 0], np.uint8))
    np.testing.assert_allclose(out[1, 2], [0.8, 0.32, 0.2], atol=1e-6)


def test_a_class_trusted_by_more_than_half_neither_loses_nor_gains_a_pixel():
    labels = np.array([[1, 0, 1, 2, 0, 2, 0]], np.uint8)
    before = np.array([[0, 1, 2, 1, 2, 0, 0]], np.uint8)
    for trust, kept in (
        ([128, 127], [[0, 1, 2, 1, 0, 2, 0]]),  # class 1 alone
        ([0, 0], labels),
        ([255, 255], before),
    ):
        actual = keep_labels(labels, before, np.array(trust, np.uint8))
        np.testing.assert_array_equal(actual, kept)


def test_only_what_is_far_from_all_background_is_without_it():
    background = np.zeros((50, 60), np.bool_)
    background[25, 30] = True
    expected = np.ones((50, 60), np.bool_)
    expected[25 - 16 : 25 + 17, 30 - 16 : 30 + 17] = False
    np.testing.assert_array_equal(far_from_background(background), expected)
