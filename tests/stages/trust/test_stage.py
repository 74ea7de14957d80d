"""Good masks come out as they went in; what is wrong is taken from the frames around."""

import numpy as np
import pytest

from pipeline.stage import Span, Window
from stages.flow import Flow
from stages.metrics.accuracy import jaccard
from stages.ops.fixed_point import pack_mask
from stages.ops.soft_masks import softened_masks
from stages.refine.stage import Refine
from stages.trust.stage import Trust
from stages.trust.structure import TRUSTED, WRONG
from tests.support.small_library import scene

FRAMES, LONG, SIZE = 14, 34, (160, 240)
BAD = range(6, 9)


@pytest.fixture(scope="module")
def clip():
    """Pictures, true labels (1 a disc, 2 a bar) and flow of a short clip."""
    scenes = [scene(t, SIZE) for t in range(FRAMES)]
    frames, truth = (np.stack(part) for part in zip(*scenes, strict=True))
    window = Window(0, FRAMES, {}, {"ingest.frames": Span(0, frames)})
    return frames, np.searchsorted([0, 3, 7], truth).astype(np.uint8), Flow().run(window)["flow"]


def refined(clip, labels, part=range(FRAMES)):
    """Return trust, and what refine makes of labels; of the frames of `part` alone."""
    frames, _, flow = (array[part.start : part.stop] for array in clip)
    labels = labels[part.start : part.stop]
    soft = np.stack(
        [
            pack_mask(softened_masks(frame_labels.astype(np.uint16), (1, 2), sigma=1.5))
            for frame_labels in labels
        ]
    )
    spans = {
        "ingest.frames": Span(0, frames),
        "segment.labels": Span(0, labels),
        "segment.masks": Span(0, soft),
        "flow.flow": Span(0, flow),
    }
    window = Window(
        0, len(labels), {"classes": [3, 7], "sparse": False, "shots": [[0, len(labels)]]}, spans
    )
    trust = Trust().run(window)
    spans |= {f"trust.{name}": Span(0, array) for name, array in trust.items()}
    return trust["trust"], soft, Refine().run(window)


def test_true_masks_come_out_bit_for_bit(clip):
    trust, soft, out = refined(clip, clip[1])
    assert not (trust == WRONG).any()
    np.testing.assert_array_equal(out["labels"], clip[1])
    np.testing.assert_array_equal(out["masks"], soft)


def spoil(labels, how):
    """Return labels that are wrong in the frames BAD."""
    labels = labels.copy()
    bad = labels[BAD.start : BAD.stop]
    if how == "missing":
        bad[bad == 1] = 0
    elif how == "half":
        columns = np.argwhere(bad[0] == 1)[:, 1]
        half = np.arange(SIZE[1]) < np.median(columns)
        bad[(bad == 1) & half] = 0
    elif how == "leak":
        bad[:, 10:60, 150:210][bad[:, 10:60, 150:210] == 0] = 1
    elif how == "swapped":
        bad[...] = np.array([0, 2, 1], np.uint8)[bad]
    return labels


@pytest.mark.parametrize("how", ["missing", "half", "leak", "swapped"])
def test_a_bad_spell_is_mended_from_either_side(clip, how):
    labels = spoil(clip[1], how)
    trust, _, out = refined(clip, labels)
    for t in range(FRAMES):
        if t in BAD:
            assert (trust[t] == WRONG).any()
            for c in (1, 2):
                assert jaccard(out["labels"][t] == c, clip[1][t] == c) > (0.85, 0.7)[c - 1], (t, c)
        else:
            np.testing.assert_array_equal(out["labels"][t], clip[1][t])


def test_where_classes_touch_a_mended_frame_has_no_background_between_them(clip):
    """A class for every pixel: only the classes that touch may win at a carried outline."""
    truth = clip[1].copy()
    truth[truth == 0] = 2  # the disc lies on the other class, which leaves nothing over
    labels = truth.copy()
    bad = labels[BAD.start : BAD.stop]
    bad[bad == 1] = 2
    _, _, out = refined((clip[0], truth, clip[2]), labels)
    for t in BAD:
        assert jaccard(out["labels"][t] == 1, truth[t] == 1) > 0.85
        assert not (out["labels"][t] == 0).any()
    sums = out["masks"].astype(int).sum(axis=-1)
    assert np.abs(sums - 255).max() <= 2


@pytest.fixture(scope="module")
def long_clip():
    """As `clip`, of 34 frames."""
    made = [scene(t, SIZE) for t in range(LONG)]
    frames, truth = (np.stack(part) for part in zip(*made, strict=True))
    window = Window(0, LONG, {}, {"ingest.frames": Span(0, frames)})
    return frames, np.searchsorted([0, 3, 7], truth).astype(np.uint8), Flow().run(window)["flow"]


@pytest.mark.parametrize(("how", "length"), [("empty", 20), ("half", 11)])
def test_a_spell_longer_than_the_votes_reach_is_bridged(long_clip, how, length):
    labels, truth = long_clip[1].copy(), long_clip[1]
    rows = np.arange(SIZE[0])[:, None]
    spell = range(7, 7 + length)
    for t in spell:
        gone = truth[t] == 1
        labels[t][gone if how == "empty" else gone & (rows < SIZE[0] // 2)] = 0
    _, _, out = refined(long_clip, labels, range(LONG))
    overlaps = [jaccard(out["labels"][t] == 1, truth[t] == 1) for t in range(LONG)]
    # What is seen through the disc does not move with it, which is hard on flow.
    assert min(overlaps[t] for t in spell) > 0.5
    assert np.mean([overlaps[t] for t in spell]) > 0.65
    for t in set(range(LONG)) - set(spell):
        np.testing.assert_array_equal(out["labels"][t], truth[t])


def test_an_object_that_left_and_came_back_is_not_put_where_the_picture_shows_none(long_clip):
    frames, truth, flow = (array.copy() for array in long_clip)
    hidden = range(7, 27)
    for t in hidden:
        frames[t][truth[t] == 1] = frames[t][0, 0]
        truth[t][truth[t] == 1] = 0
    flow = Flow().run(Window(0, LONG, {}, {"ingest.frames": Span(0, frames)}))["flow"]
    _, _, out = refined((frames, truth, flow), truth, range(LONG))
    np.testing.assert_array_equal(out["labels"], truth)


def test_only_the_class_that_is_wrong_is_distrusted(clip):
    trust, _, _ = refined(clip, spoil(clip[1], "missing"))
    assert (trust[..., 1] == TRUSTED).all()


def test_where_every_frame_is_wrong_nothing_is_invented(clip):
    empty = np.zeros_like(clip[1])
    _, _, out = refined(clip, empty)
    assert not out["labels"].any()
    scattered = np.stack([np.roll(clip[1][0], 85 * t % SIZE[1], 1) for t in range(FRAMES)])
    _, _, out = refined(clip, scattered)
    assert not ((out["labels"] > 0) & (scattered == 0)).any()


@pytest.mark.parametrize("count", [1, 2])
def test_one_frame_and_two_come_out_as_they_went_in(clip, count):
    labels = spoil(clip[1], "missing")
    _, soft, out = refined(clip, labels, range(6, 6 + count))
    np.testing.assert_array_equal(out["labels"], labels[6 : 6 + count])
    np.testing.assert_array_equal(out["masks"], soft)


def test_a_clip_without_classes_passes(clip):
    frames, _, flow = clip
    spans = {
        "ingest.frames": Span(0, frames),
        "segment.labels": Span(0, np.zeros(frames.shape[:3], np.uint8)),
        "flow.flow": Span(0, flow),
    }
    out = Trust().run(
        Window(0, FRAMES, {"classes": [], "sparse": False, "shots": [[0, FRAMES]]}, spans)
    )
    assert out["trust"].shape == (FRAMES, SIZE[0] // 2, SIZE[1] // 2, 0)
