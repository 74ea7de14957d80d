"""Smoothed masks have plain outlines, and only where they were voted."""

import cv2
import numpy as np
import pytest

from pipeline.stage import Span, Window
from stages.flow import Flow
from stages.ops.fixed_point import pack_mask
from stages.ops.soft_masks import softened_masks
from stages.smooth.stage import Smooth
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
