import numpy as np
import pytest

from stages.ops.identities import ObjectMatcher
from stages.ops.object_views import number_changes, shrink_labels
from tests.support.object_scenes import (
    matched_labels,
    number_switches,
    overlap_labels,
    scene_with_crossings,
    shuffled_numbers,
)


# Objects of one colour that come back a few pixels at a time cannot always be told apart.
@pytest.mark.parametrize(("alike", "share"), [(False, 0.05), (True, 0.2)])
def test_objects_that_cross_leave_and_return_keep_their_numbers(alike, share):
    switches = overlap_switches = 0
    for seed in range(3):
        pictures, labels = scene_with_crossings(seed, alike=alike)
        mixed = shuffled_numbers(labels, seed)
        switches += number_switches(labels, matched_labels(pictures, mixed))
        overlap_switches += number_switches(labels, overlap_labels(mixed))
    assert overlap_switches > 30
    assert switches <= share * overlap_switches


def test_masks_that_are_missing_now_and_then_hardly_change_numbers():
    rng = np.random.default_rng(0)
    switches = overlap_switches = 0
    for seed in range(3):
        pictures, labels = scene_with_crossings(seed)
        for t in range(len(labels)):
            for label in np.flatnonzero(rng.uniform(size=5) < 0.1) + 1:
                labels[t][labels[t] == label] = 0
        mixed = shuffled_numbers(labels, seed)
        switches += number_switches(labels, matched_labels(pictures, mixed))
        overlap_switches += number_switches(labels, overlap_labels(mixed))
    assert overlap_switches > 60
    assert switches <= 0.05 * overlap_switches


def test_objects_of_different_categories_are_never_one():
    picture = np.full((40, 60, 3), 90, np.uint8)
    plane = np.zeros((40, 60), np.uint16)
    plane[10:30, 20:40] = 1
    matcher = ObjectMatcher()
    assert matcher.add_frame(picture, plane, {1: 7}) == {1: 1}
    assert matcher.add_frame(picture, plane, {1: 8}) == {1: 2}
    assert matcher.joined_numbers() == {1: 1, 2: 2}


def test_one_mask_over_two_objects_is_noted():
    picture = np.random.default_rng(0).integers(0, 255, (60, 90, 3)).astype(np.uint8)
    apart = np.zeros((60, 90), np.uint16)
    apart[20:40, 10:40], apart[20:40, 41:70] = 1, 2
    matcher = ObjectMatcher()
    matcher.add_frame(picture, apart)
    matcher.add_frame(picture, (apart > 0).astype(np.uint16))
    assert matcher.joints == [(1, (1, 2))]


def test_a_frame_without_objects_and_tiny_pictures():
    matcher = ObjectMatcher()
    for size in ((1, 1), (1, 1)):
        assert matcher.add_frame(np.zeros((*size, 3), np.uint8), np.ones(size, np.uint16)) == {1: 1}
    empty = np.zeros((1, 1), np.uint16)
    assert matcher.add_frame(np.zeros((1, 1, 3), np.uint8), empty) == {}
    assert ObjectMatcher().joined_numbers() == {}


def test_an_object_that_is_too_small_for_the_small_picture_keeps_a_pixel():
    labels = np.zeros((400, 600), np.uint16)
    labels[399, 599] = 9
    assert int((shrink_labels(labels, (100, 150)) == 9).sum()) == 1


def test_changes_of_numbers_are_counted_only_where_objects_overlap():
    before = np.array([[1, 1, 2, 2, 3, 3]], np.uint16)
    after = np.array([[1, 1, 5, 5, 0, 0]], np.uint16)
    assert number_changes(before, after) == (1, 2)
    assert number_changes(before, np.zeros_like(before)) == (0, 0)
