import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from stages.metrics.temporal import (
    StabilityRate,
    TemporalOverlap,
    VideoConsistency,
    VspwTemporalOverlap,
    VspwVideoConsistency,
    carried_labels,
    edge_band,
    vspw_carried_labels,
)

SIZE = (11, 17)
SEEDS = st.integers(0, 10_000)


def clip(seed, frames=6, classes=3, dtype=np.uint8):
    """Labels that change here and there, and flows between the frames."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, classes, SIZE)
    labels = np.stack([first] * frames)
    changed = rng.random(labels.shape) < 0.1
    labels[changed] = rng.integers(0, classes, changed.sum())
    flows = rng.normal(0, 2, (frames - 1, 2, *SIZE)).astype(np.float32)
    return labels.astype(dtype), flows


def slow_carried(labels, flow, outside):
    out = np.full_like(labels, outside)
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            px = int(np.floor(np.float32(x) + flow[0, y, x] + np.float32(0.5)))
            py = int(np.floor(np.float32(y) + flow[1, y, x] + np.float32(0.5)))
            if 0 <= px < SIZE[1] and 0 <= py < SIZE[0]:
                out[y, x] = labels[py, px]
    return out


def mean_iou(pairs):
    """Mean IoU over classes of all pairs together, pixels that are 255 in either left out."""
    values = []
    known = [(a != 255) & (b != 255) for a, b in pairs]
    pairs = [(a[k], b[k]) for (a, b), k in zip(pairs, known, strict=True)]
    for c in range(255):
        both = sum(((a == c) & (b == c)).sum() for a, b in pairs)
        either = sum(((a == c) | (b == c)).sum() for a, b in pairs)
        if either:
            values.append(both / either)
    return np.mean(values)


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.sampled_from([np.uint8, np.uint16]))
def test_temporal_consistency_equals_its_definition(seed, dtype):
    labels, flows = clip(seed, dtype=dtype)
    labels[1:3, :3] = 255
    total = TemporalOverlap()
    pairs = []
    for t in range(1, len(labels)):
        total.add(labels[t], labels[t - 1], flows[t - 1])
        pairs.append((labels[t], slow_carried(labels[t - 1], flows[t - 1], 255)))
    assert total.value() == pytest.approx(mean_iou(pairs), abs=1e-12)


def test_the_public_script_samples_as_grid_sample_does():
    labels, flows = clip(1)
    ys, xs = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    grid = torch.stack(
        [
            torch.from_numpy(2 * (xs + flows[0, 0]) / (SIZE[1] - 1) - 1),
            torch.from_numpy(2 * (ys + flows[0, 1]) / (SIZE[0] - 1) - 1),
        ],
        -1,
    )
    theirs = F.grid_sample(
        torch.from_numpy(labels[1].astype(np.float32))[None, None],
        grid[None],
        mode="nearest",
        align_corners=False,
    )[0, 0].numpy()
    ours = vspw_carried_labels(labels[1], flows[0])
    assert (ours != theirs).mean() < 0.01  # ties of rounding
    assert (carried_labels(labels[1], flows[0], outside=0) != theirs).mean() > 0.02
    total = VspwTemporalOverlap()
    total.add(labels[0], labels[1], flows[0])
    assert total.value() == pytest.approx(mean_iou([(ours, labels[0])]), abs=1e-12)


def test_the_public_script_counts_the_classes_of_the_frame_alone():
    frame, following = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    following[:, :4] = 7  # a class that only the carried frame has
    still = np.zeros((2, *SIZE), np.float32)
    carried = vspw_carried_labels(following, still)
    total = VspwTemporalOverlap()
    total.add(frame, following, still)
    assert total.value() == pytest.approx((carried == 0).mean())
    assert mean_iou([(carried, frame)]) < total.value()


def slow_video_consistency(predictions, truths, length, *, script):
    values = []
    for start in range(len(truths) - length + (0 if script else 1)):
        window = slice(start, start + length)
        same = (truths[window] == truths[start]).all(axis=0)
        if script:
            kept = (predictions[window] == predictions[start]).all(axis=0)
        else:
            same &= truths[start] != 255
            kept = (predictions[window] == truths[window]).all(axis=0)
        if same.any():
            values.append((kept & same).sum() / same.sum())
    return np.mean(values) if values else np.nan


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(2, 5))
def test_video_consistency_equals_its_definition(seed, length):
    predictions, _ = clip(seed, frames=7)
    truths, _ = clip(seed + 1, frames=7)
    truths[:, :2] = 255
    predictions[:, 4:8] = truths[:, 4:8]
    for kind, script in ((VideoConsistency, False), (VspwVideoConsistency, True)):
        total = kind(length)
        for prediction, truth in zip(predictions, truths, strict=True):
            total.add(prediction, truth)
        expected = slow_video_consistency(predictions, truths, length, script=script)
        assert total.value() == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_a_wrong_prediction_that_stays_is_consistent_for_the_script_alone():
    truth, wrong = np.ones(SIZE, np.uint8), np.full(SIZE, 2, np.uint8)
    ours, theirs = VideoConsistency(3), VspwVideoConsistency(3)
    for _ in range(5):
        ours.add(wrong, truth)
        theirs.add(wrong, truth)
    assert (ours.value(), theirs.value()) == (0, 1)


def test_a_video_shorter_than_the_window_has_no_video_consistency():
    total = VideoConsistency(8)
    for _ in range(7):
        total.add(np.ones(SIZE, np.uint8), np.ones(SIZE, np.uint8))
    assert np.isnan(total.value())
    assert np.isnan(TemporalOverlap().value())
    assert np.isnan(StabilityRate().value())


def disc(radius, centre):
    ys, xs = np.mgrid[:64, :64]
    return ((ys - 32) ** 2 + (xs - centre) ** 2 <= radius**2).astype(np.uint8)


def test_a_perfect_prediction_on_exact_flow_is_perfectly_stable():
    total = StabilityRate()
    flow = np.zeros((2, 64, 64), np.float32)
    for t in range(1, 5):  # the disc moves a pixel a frame to the right
        flow[0] = -1
        total.add(disc(10, 20 + t), disc(10, 19 + t), flow, np.ones((64, 64), bool))
    assert total.value() == 1


def test_a_jitter_of_one_pixel_costs_the_two_edges_of_the_disc():
    still = np.zeros((2, 64, 64), np.float32)
    total, local = StabilityRate(), StabilityRate()
    band = edge_band(disc(10, 32))
    for t in range(1, 4):
        here, before = disc(10, 32 + t % 2), disc(10, 32 + (t + 1) % 2)
        total.add(here, before, still, np.ones((64, 64), bool))
        local.add(here, before, still, band)
    # A disc of radius 10 has 21 rows; moved by one column each row gains one pixel and loses one.
    assert total.value() == pytest.approx(1 - 42 / 64**2)
    assert local.value() == pytest.approx(1 - 42 / band.sum())


def test_the_band_reaches_seven_pixels_to_either_side():
    truth = np.zeros((40, 60), np.uint16)
    truth[:, 30:] = 300
    assert np.flatnonzero(edge_band(truth)[20]).tolist() == list(range(23, 37))
    assert not edge_band(np.ones((40, 60), np.uint8)).any()


def test_stability_counts_tracked_pixels_that_stay_inside():
    labels, flows = clip(3)
    rng = np.random.default_rng(0)
    tracked = rng.random(SIZE) < 0.6
    total = StabilityRate()
    total.add(labels[1], labels[0], flows[0], tracked)
    carried = slow_carried(labels[0].astype(int), flows[0], -1)
    inside = tracked & (carried >= 0)
    assert total.value() == pytest.approx((carried == labels[1])[inside].mean())
    total.add(labels[1], labels[0], flows[0], np.zeros(SIZE, bool))
    assert total.value() == pytest.approx((carried == labels[1])[inside].mean())
