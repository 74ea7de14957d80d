"""Where masks out are worse than those in: which kinds are told, where, and of what cause."""

import math

import numpy as np
import pytest

from stages.metrics.harm import (
    blank_cause,
    blank_kind,
    find_blank,
    find_gone,
    find_restless,
    find_unlike,
    name_frames,
    runs_of,
)

PIXELS = 10_000


def areas(*classes):
    """Return (T, L) areas from the areas of each class, the background first."""
    own = np.array(classes, np.int64).T
    return np.concatenate([PIXELS - own.sum(axis=1, keepdims=True), own], axis=1)


def gone(before, after, stretch=6, share=0.2):
    labels = range(3, 3 + before.shape[1] - 1)
    return find_gone(before, after, labels=labels, stretch=stretch, share=share)


def test_masks_without_foreground_in_any_frame_are_empty():
    assert blank_kind(areas([0] * 5)) == "empty"
    assert blank_kind(areas([0, 0, 1, 0, 0])) is None
    assert blank_kind(areas(*[[0] * 4] * 3)) == "empty"


def test_masks_of_one_class_all_over_every_frame_are_full():
    assert blank_kind(areas([PIXELS] * 5)) == "full"
    assert blank_kind(areas([PIXELS] * 4 + [PIXELS // 2])) is None
    assert blank_kind(areas([PIXELS, 0], [0, PIXELS])) == "full"


def test_masks_in_which_classes_share_every_pixel_are_not_full():
    assert blank_kind(areas([6000] * 5, [4000] * 5)) is None


def test_a_clip_without_frames_or_classes_is_no_harm():
    assert blank_kind(np.zeros((0, 2), np.int64)) is None
    assert find_blank(np.zeros((0, 2), np.int64), np.zeros((0, 2), np.int64)) == []
    assert gone(np.zeros((0, 2), np.int64), np.zeros((0, 2), np.int64)) == []


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ([0] * 4, [0] * 4, "empty"),
        ([PIXELS] * 4, [PIXELS] * 4, "full"),
        ([500] * 4, [0] * 4, "emptied"),
        ([500] * 4, [PIXELS] * 4, "filled"),
    ],
)
def test_each_blank_is_of_one_kind_and_covers_the_clip(before, after, kind):
    (harm,) = find_blank(areas(before), areas(after), cause="because")
    assert (harm.kind, harm.frames) == (kind, ((0, 4),))
    assert harm.cause == ("because" if kind in ("empty", "full") else "")


def test_masks_that_come_and_go_are_no_blank():
    assert find_blank(areas([0, 500, 0]), areas([0, 500, 500])) == []


def test_a_class_that_is_gone_for_a_stretch_is_told_with_its_frames():
    before, after = np.full(30, 500), np.full(30, 500)
    after[10:18] = 20
    (harm,) = gone(areas([400] * 30, before), areas([400] * 30, after))
    assert (harm.kind, harm.label, harm.frames) == ("gone", 4, ((10, 18),))
    assert "class 4 is gone in frames 10–17" in harm.words


def test_a_class_that_is_gone_for_less_than_a_stretch_is_no_harm():
    after = np.full(30, 500)
    after[10:15] = 0
    assert gone(areas([500] * 30), areas(after)) == []
    assert gone(areas([500] * 30), areas(after), stretch=5) != []


def test_a_spell_in_the_masks_in_that_is_cleared_away_is_no_harm():
    before = np.zeros(30, int)
    before[[4, 5, 6, 20]] = 500
    assert gone(areas(before), areas([0] * 30)) == []


def test_a_class_with_gaps_that_is_gone_altogether_is_told():
    before = np.tile([500, 0], 15)
    (harm,) = gone(areas(before), areas([0] * 30))
    assert harm.frames == tuple((t, t + 1) for t in range(0, 30, 2))


def test_stray_pixels_that_go_are_no_harm():
    before = np.full(40, 15)
    before[:10] = 800
    after = np.zeros(40, int)
    after[:10] = 800
    assert gone(areas(before), areas(after)) == []


def test_a_clip_shorter_than_a_stretch_is_one_window():
    (harm,) = gone(areas([500] * 3), areas([0, 0, 1]))
    assert harm.frames == ((0, 3),)


def test_a_rise_of_inconsistency_is_told_with_the_frames_of_the_largest_rise():
    flicker = np.full((2, 9), 0.1)
    flicker[1, [2, 5]] = 0.4, 0.3
    flicker[:, 8] = math.nan
    (harm,) = find_restless(1.0, 1.2, flicker, slack=0.02)
    assert (harm.kind, harm.frames) == ("restless", ((2, 3), (5, 6)))
    assert "from 1.00 to 1.20" in harm.words


@pytest.mark.parametrize(("before", "after"), [(1.0, 1.01), (1.0, 0.5), (None, 2.0), (1.0, None)])
def test_what_is_no_rise_or_cannot_be_measured_is_no_harm(before, after):
    assert find_restless(before, after, np.zeros((2, 4)), slack=0.02) == []


@pytest.mark.parametrize(
    ("kind", "meaning", "highest", "words"),
    [
        ("empty", "soft", 1, "segment.kind=labels"),
        ("empty", "soft", 110, "never pass one half (largest 0.43)"),
        ("empty", "labels", 0, "segment.kind=binary"),
        ("empty", "binary", 0, "one half of the largest"),
        ("full", "labels", 255, "inverted"),
        ("empty", None, 80, "segment.mean, segment.std"),
        ("empty", None, 80, "0.31"),
        ("full", None, 255, "segment.mean, segment.std"),
    ],
)
def test_the_cause_names_what_to_set(kind, meaning, highest, words):
    assert words in blank_cause(kind, meaning=meaning, highest=highest)


def test_without_a_blank_there_is_no_cause():
    assert blank_cause(None, meaning="soft", highest=9) == ""


def test_runs_are_those_of_marked_frames():
    assert runs_of(np.array([1, 1, 0, 1, 0, 0, 1], bool)) == ((0, 2), (3, 4), (6, 7))
    assert runs_of(np.zeros(3, bool)) == ()


def test_frames_are_named_as_people_do():
    assert name_frames(((31, 34),)) == "frames 31–33"
    assert name_frames(((31, 32),)) == "frame 31"
    assert name_frames(((1, 2), (4, 6))) == "frames 1, 4–5"
    many = tuple((k, k + 1) for k in range(0, 10, 2))
    assert name_frames(many) == "frames 0, 2, 4 and 2 more stretches"


def one_class(inter, only_in, only_out, pixels=1000):
    """Return overlap (T, 2) and areas (T, 2, 2) of frames with a class's pixels on either side."""
    counts = np.array([inter, only_in, only_out], np.int64).T
    union = counts.sum(axis=1)
    sides = counts[:, :1] + counts[:, 1:]
    return np.stack([counts[:, 0], union], axis=1), np.stack([pixels - sides, sides], axis=-1)


def test_masks_that_have_little_in_common_with_those_in_are_told():
    overlap, areas = one_class([30, 30, 30], [40, 40, 20], [30, 30, 30])
    (harm,) = find_unlike(overlap, areas, least_iou=0.5)
    assert (harm.kind, harm.frames) == ("unlike", ((0, 3),))
    assert "share only 32%" in harm.words
    assert "another clip" in harm.cause
    assert find_unlike(overlap, areas, least_iou=0.3) == []


def test_masks_that_were_missing_and_are_there_now_are_not_unlike():
    overlap, areas = one_class([90, 0, 0], [5, 0, 0], [5, 100, 100])
    assert find_unlike(overlap, areas, least_iou=0.5) == []


def test_without_foreground_nothing_is_unlike():
    overlap, areas = one_class([0, 0], [0, 0], [0, 0])
    assert find_unlike(overlap, areas, least_iou=0.5) == []
