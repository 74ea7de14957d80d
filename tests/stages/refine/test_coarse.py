"""Coarse masks are voted and decoded, class by class; what is sharp is not touched."""

import cv2
import numpy as np
import pytest

from pipeline.stage import Span, Window
from stages.flow import Flow
from stages.metrics.accuracy import jaccard
from stages.models.decoders.load import build_decoder, save_decoder
from stages.ops.fixed_point import pack_mask
from stages.ops.soft_masks import softened_masks
from stages.refine.coarse import keep_small_classes, mark_absent_background
from stages.refine.mending import is_coarse
from stages.refine.stage import Refine
from stages.trust.outlines import OutlineCounts
from stages.trust.structure import TRUSTED
from tests.support.small_library import flicker, scene

FRAMES, SIZE = 12, (96, 144)
COARSE, SHARP = (100, 10, 0, 0, 0, 0), (100, 60, 0, 0, 0, 0)  # a tenth on edges, and most


@pytest.fixture(scope="module")
def clip():
    """Pictures, true labels and flow of a short clip."""
    pairs = [scene(t, SIZE) for t in range(FRAMES)]
    frames, truth = (np.stack(part) for part in zip(*pairs, strict=True))
    window = Window(0, FRAMES, {}, {"ingest.frames": Span(0, frames)})
    return frames, truth, Flow().run(window)["flow"]


def window_of(clip, outlines, frames=range(FRAMES)):
    """Return a window of flickering masks, one tuple of outline counts a class."""
    pictures, truth, flow = clip
    rng = np.random.default_rng(0)
    labels = [flicker(labels, rng) for labels in truth]
    soft = np.stack([pack_mask(softened_masks(first, (3, 7), sigma=1.5)) for first in labels])
    arrays = {
        "ingest.frames": pictures,
        "flow.flow": flow,
        "segment.masks": soft,
        "segment.labels": np.searchsorted([0, 3, 7], labels).astype(np.uint8),
        "trust.trust": np.full((FRAMES, *flow.shape[-2:], 2), TRUSTED, np.uint8),
        "trust.outlines": np.tile(np.array(outlines, np.float32), (FRAMES, 1, 1)),
    }
    facts = {"sparse": False}
    spans = {name: Span(0, array) for name, array in arrays.items()}
    return Window(frames.start, frames.stop, facts, spans)


def class_jaccard(masks, truth, c):
    return np.mean(
        [jaccard(m[..., c] > 127, t == (3, 7)[c]) for m, t in zip(masks, truth, strict=True)]
    )


def test_coarse_masks_are_better_decoded_than_voted(clip):
    window = window_of(clip, [COARSE, COARSE])
    voted, decoded = (Refine(decode=how).run(window)["masks"] for how in (False, True))
    gains = [class_jaccard(decoded, clip[1], c) - class_jaccard(voted, clip[1], c) for c in (0, 1)]
    assert np.mean(gains) > 0.01


def test_a_sharp_class_beside_a_coarse_one_comes_out_bit_for_bit(clip):
    window = window_of(clip, [COARSE, SHARP])
    out = Refine().run(window)
    np.testing.assert_array_equal(out["masks"][..., 1], window["segment.masks"].array[..., 1])
    assert (out["masks"][..., 0] != window["segment.masks"].array[..., 0]).any()
    np.testing.assert_array_equal(out["trust"], np.tile([0, 255], (FRAMES, 1)))


def test_a_decoder_that_adds_nothing_leaves_what_voting_gives(clip, tmp_path):
    path = tmp_path / "untrained.safetensors"
    save_decoder(path, build_decoder("aligned"))
    window = window_of(clip, [COARSE, COARSE])
    decoded = Refine(weights=str(path)).run(window)["masks"]
    np.testing.assert_array_equal(decoded, Refine(decode=False).run(window)["masks"])


@pytest.mark.parametrize("passes", [0, 2])
def test_a_part_is_decoded_as_in_the_whole_with_what_it_declares_to_read(clip, passes):
    refine = Refine(passes=passes, reach=1)
    whole = refine.run(window_of(clip, [COARSE, COARSE]))
    part = window_of(clip, [COARSE, COARSE], range(5, 6))
    reads = {
        f"{entry.stage}.{entry.array}": entry.reach for entry in refine.inputs({"sparse": False})
    }
    spans = {}
    for name, span in part.spans.items():
        start, stop = max(5 - reads[name], 0), min(6 + reads[name], FRAMES)
        spans[name] = Span(start, span.array[start:stop])
    out = refine.run(Window(5, 6, part.facts, spans))
    np.testing.assert_array_equal(out["masks"][0], whole["masks"][5])


def test_the_decoder_is_in_the_key_and_only_where_it_is_used():
    assert Refine().weights_digest != ""
    assert Refine(decode=False).weights_digest == ""


@pytest.mark.parametrize(
    ("counts", "coarse"),
    [
        ((100, 10, 0, 0, 0, 0), True),  # off all edges, and nobody can tell whether it jumps
        ((100, 10, 100, 20, 100, 10), True),
        ((100, 10, 100, 4, 100, 10), False),  # a faint object, drawn with care
        ((100, 25, 100, 20, 100, 26), True),
        ((100, 25, 100, 4, 100, 26), False),
        ((100, 25, 100, 60, 100, 50), False),  # restless, not coarse
        ((100, 60, 0, 0, 0, 0), False),
        ((0, 0, 0, 0, 0, 0), False),  # no outline
    ],
)
def test_outlines_are_coarse_off_the_edges_unless_they_follow_the_motion(counts, coarse):
    assert is_coarse(OutlineCounts(*counts)) == coarse


def test_background_is_absent_only_far_from_where_the_classes_leave_some():
    masks = np.full((60, 80, 2), 0.5, np.float32)
    masks[:, :10] = 0.1
    expected = np.zeros((60, 80), np.bool_)
    expected[:, 10 + 16 :] = True
    np.testing.assert_array_equal(mark_absent_background(masks), expected)
    assert mark_absent_background(masks[..., :1]) is None


def test_a_class_of_which_decoding_leaves_too_little_stays_as_voted():
    voted = np.zeros((20, 20, 2), np.float32)
    voted[..., 0] = 1
    voted[5:9, 5:10] = 0, 0.9  # 20 pixels
    decoded = voted.copy()
    decoded[5:7, 5:8] = 0.8, 0.1  # 14 are left, as many as there have to be
    np.testing.assert_array_equal(keep_small_classes(decoded, voted), decoded)
    decoded[8, 5] = 0.8, 0.1
    decoded[15, 15] = 0.7, 0
    out = keep_small_classes(decoded, voted)
    np.testing.assert_array_equal(out[5:9, 5:10], voted[5:9, 5:10])
    np.testing.assert_array_equal(out[15, 15], decoded[15, 15])


def test_classes_that_leave_no_background_are_decoded_without_any(clip):
    pictures, truth, flow = clip
    whole = pictures, np.where(truth == 3, 3, 7), flow
    decoded, voted = (
        Refine(decode=how).run(window_of(whole, [COARSE, COARSE]))["masks"].astype(int)
        for how in (True, False)
    )
    background, before = ((255 - out.sum(axis=-1)) > out.max(axis=-1) for out in (decoded, voted))
    near = [cv2.dilate(b.astype(np.uint8), np.ones((33, 33), np.uint8)) > 0 for b in before]
    assert not (background & ~np.stack(near)).any()
