import numpy as np

from stages.metrics.key_frame_conflicts import Conflict, find_conflicts, find_isolated

STEPS = (-2, -1, 1, 2)


def counts(pairs, frames=6, classes=2):
    """Return counts in which every two masks agree, but for {(frame, step, class): IoU}."""
    carried = np.zeros((frames, len(STEPS), classes + 1, 3), np.int64)
    carried[..., :] = 1000
    for (frame, step, number), iou in pairs.items():
        carried[frame, STEPS.index(step), number + 1, 2] = round(2000 * iou / (1 + iou))
    return carried


def test_two_key_frames_that_cannot_both_be_right_are_named_once():
    carried = counts({(2, 1, 1): 0.0, (3, -1, 1): 0.0})
    assert find_conflicts(carried, STEPS, [0, 2, 3]) == [Conflict(2, 3, 1)]


def test_masks_that_overlap_do_not_contradict_each_other():
    assert find_conflicts(counts({(2, 2, 0): 0.2}), STEPS, [2, 4]) == []


def test_a_frame_that_is_no_key_frame_contradicts_nobody():
    assert find_conflicts(counts({(2, 1, 0): 0.0}), STEPS, [2, 4]) == []


def test_an_object_that_one_of_them_lacks_is_a_contradiction_but_not_a_speck():
    carried = counts({})
    carried[1, 3, 1] = 500, 0, 0
    carried[1, 3, 2] = 40, 0, 0
    assert find_conflicts(carried, STEPS, [1, 3]) == [Conflict(1, 3, 0)]


def test_a_key_frame_that_the_masks_on_both_sides_do_not_fit_is_isolated():
    carried = counts({(2, 1, 1): 0.02, (2, -1, 1): 0.05, (4, 1, 0): 0.02})
    assert find_isolated(carried, STEPS, [2, 4]) == [(2, 1)]
    assert find_isolated(carried, STEPS, [1, 2]) == [(2, 1)]  # one side is a key frame
    assert find_isolated(carried, STEPS, [1, 2, 3]) == []


def test_an_object_that_appears_at_a_key_frame_is_not_isolated():
    carried = counts({})
    carried[2, :, 1] = 500, 0, 0
    assert find_isolated(carried, STEPS, [2]) == []
