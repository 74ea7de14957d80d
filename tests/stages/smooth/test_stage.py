"""Smoothed masks have plain outlines, and only where they were voted."""

import cv2
import numpy as np
import pytest

from pipeline.stage import Span, Window
from stages.flow import Flow
from stages.ops.fixed_point import pack_mask
from stages.ops.soft_masks import softened_masks
from stages.smooth.stage import Smooth
from stages.smooth.vanishing import close_gaps, count_pixels, vanishing_classes
from tests.support.small_library import flicker, scene

FRAMES, SIZE = 10, (96, 144)


@pytest.fixture(scope="module")
def window():
    """Pictures with noise, flickering masks of two classes, and flow of a short clip."""
    rng = np.random.default_rng(3)
    pairs = [scene(t, SIZE) for t in range(FRAMES)]
    frames = np.stack([frame for frame, _ in pairs]).astype(np.int16)
    frames = np.clip(frames + rng.normal(0, 30, frames.shape), 0, 255).astype(np.uint8)
    labels = [flicker(labels, rng) for _, labels in pairs]
    arrays = {
        "ingest.frames": frames,
        "refine.masks": np.stack(
            [pack_mask(softened_masks(first, (3, 7), sigma=1.5)) for first in labels]
        ),
        "refine.labels": np.searchsorted([0, 3, 7], labels).astype(np.uint8),
        "refine.trust": np.tile(np.array([0, 255], np.uint8), (FRAMES, 1)),
    }
    spans = {name: Span(0, array) for name, array in arrays.items()}
    flow = Flow().run(Window(0, FRAMES, {}, spans))["flow"]
    return Window(0, FRAMES, {"sparse": False}, {**spans, "flow.flow": Span(0, flow)})


def outline_length(labels):
    contours = [cv2.findContours((frame_labels == 1).astype(np.uint8), cv2.RETR_CCOMP,
                                 cv2.CHAIN_APPROX_NONE)[0] for frame_labels in labels]  # fmt: skip
    return sum(cv2.arcLength(contour, True) for frame in contours for contour in frame)


def test_outlines_that_votes_frayed_are_plain_again(window):
    frayed, plain = (Smooth(blur=blur).run(window)["labels"] for blur in (0, 1))
    assert outline_length(plain) < 0.97 * outline_length(frayed)
    assert 0.95 < (plain == 1).sum() / (frayed == 1).sum() < 1.05


def test_a_class_that_needs_no_smoothing_is_not_blurred(window):
    out = Smooth().run(window)
    np.testing.assert_array_equal(out["masks"][..., 1], window["refine.masks"].array[..., 1])
    np.testing.assert_array_equal(out["labels"] == 2, window["refine.labels"].array == 2)


def test_without_filter_and_votes_nothing_is_changed(window):
    out = Smooth(method="none", votes=0).run(window)
    np.testing.assert_array_equal(out["masks"], window["refine.masks"].array)


@pytest.fixture(scope="module")
def poles():
    """A still wall with a pole, its mask a thin line that jumps by more than its own width."""
    rng = np.random.default_rng(4)
    wall = rng.integers(60, 200, (*SIZE, 3), dtype=np.uint8)
    wall = cv2.GaussianBlur(wall, (0, 0), 2)
    count = 24
    labels = np.zeros((count, *SIZE), np.uint8)
    labels[:, 60:, :] = 1
    for frame in labels:
        left = 70 + int(rng.integers(-6, 7))
        frame[10:80, left : left + 3] = 2
    arrays = {
        "ingest.frames": np.repeat(wall[None], count, axis=0),
        "refine.masks": np.stack(
            [pack_mask(softened_masks(frame, (1, 2), sigma=1.5)) for frame in labels]
        ),
        "refine.labels": labels,
        "refine.trust": np.zeros((count, 2), np.uint8),
        "flow.flow": np.zeros((count, 6, 2, SIZE[0] // 2, SIZE[1] // 2), np.int16),
    }
    spans = {name: Span(0, array) for name, array in arrays.items()}
    return Window(0, count, {"sparse": False, "classes": [1, 2]}, spans)


def test_a_thin_class_that_smoothing_would_wipe_out_stays_as_refined(poles, monkeypatch):
    out = Smooth().run(poles)["labels"]
    pixels = [(labels == 2).sum() for labels in out]
    assert min(pixels) > 0
    assert sum(pixels) > 0.7 * (poles["refine.labels"].array == 2).sum()
    monkeypatch.setattr("stages.smooth.vanishing.LEFT", 0.0)
    assert not (Smooth().run(poles)["labels"] == 2).any()


@pytest.mark.parametrize("method", ["static", "compensated", "none"])
def test_a_part_is_smoothed_as_in_the_whole_with_what_it_declares_to_read(poles, method):
    smooth = Smooth(method=method)
    whole = smooth.run(poles)
    reads = {f"{entry.stage}.{entry.array}": entry.reach for entry in smooth.inputs(poles.facts)}
    spans = {}
    for name, span in poles.spans.items():
        start, stop = max(10 - reads[name], 0), min(12 + reads[name], len(span.array))
        spans[name] = Span(start, span.array[start:stop])
    out = smooth.run(Window(10, 12, poles.facts, spans))
    for name in ("masks", "labels"):
        np.testing.assert_array_equal(out[name], whole[name][10:12])


def test_a_class_vanishes_if_less_than_seven_tenths_of_its_pixels_are_left():
    before = np.array([[100, 50, 0, 10], [100, 50, 0, 10]])
    after = np.array([[100, 20, 0, 14], [60, 20, 0, 0]])
    assert vanishing_classes(before, after).tolist() == [False, True, False, False]
    labels = np.array([[0, 1, 1], [3, 0, 0]], np.uint8)
    assert count_pixels(labels, classes=4).tolist() == [2, 0, 1, 0]


def test_classes_leave_no_gap_between_them_where_there_is_no_background():
    masks = np.array([[[60, 30], [0, 0], [60, 30], [200, 0]]], np.uint8)
    otherwise = np.array([[[60, 190], [0, 180], [60, 190], [200, 0]]], np.uint8)
    absent = np.array([[True, True, False, True]])
    out = close_gaps(masks, absent, otherwise, settled=np.array([False, False]))
    assert out[0, :2].tolist() == [[170, 85], [0, 180]]
    np.testing.assert_array_equal(out[0, 2:], masks[0, 2:])
    out = close_gaps(masks, absent, otherwise, settled=np.array([True, False]))
    assert out[0, :2].tolist() == [[60, 195], [0, 180]]
