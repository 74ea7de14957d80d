"""The measures on real frames, against other ways to compute them."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, map_coordinates

from stages.media.masks.palette import read_labels
from stages.metrics.accuracy import boundary_f, jaccard
from stages.metrics.semantic import Confusion
from stages.metrics.stability import disagreement
from stages.metrics.temporal import StabilityRate, TemporalOverlap, VideoConsistency
from stages.models.flow.dis import DisFlow
from stages.ops.visibility import visible

FRAMES = range(10, 20)


@pytest.fixture(scope="module")
def libby(data):
    """Pictures, one network's masks and true masks of a few frames."""
    root = data / "sequences" / "libby"
    if not root.is_dir():
        pytest.skip(f"real footage not there: {root}")
    parts = [
        sorted((root / n).iterdir()) for n in ("JPEGImages", "Predictions_osvos", "Annotations")
    ]
    pictures = [cv2.imread(str(parts[0][t]))[..., ::-1].copy() for t in FRAMES]
    masks, truths = (
        [(read_labels(part[t]) > 0).astype(np.uint8) for t in FRAMES] for part in parts[1:]
    )
    return pictures, masks, truths


def test_boundary_f_equals_distances_to_the_other_contour(libby):
    _, masks, truths = libby

    def contour(mask):
        padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
        here = padded[:-1, :-1]
        return (here != padded[:-1, 1:]) | (here != padded[1:, :-1]) | (here != padded[1:, 1:])

    for mask, truth in zip(masks, truths, strict=True):
        ours, theirs = contour(mask), contour(truth)
        radius = np.ceil(0.008 * np.hypot(*mask.shape))
        precision = (distance_transform_edt(~theirs)[ours] <= radius).mean()
        recall = (distance_transform_edt(~ours)[theirs] <= radius).mean()
        expected = 2 * precision * recall / (precision + recall)
        assert boundary_f(mask > 0, truth > 0, tolerance=0.008) == pytest.approx(expected, abs=1e-9)
        inter, union = (mask & truth).sum(), (mask | truth).sum()
        assert jaccard(mask > 0, truth > 0) == pytest.approx(inter / union, abs=1e-12)


def test_measures_along_real_flow_equal_their_sums(libby):
    pictures, masks, _ = libby
    search = DisFlow("fast")
    overlap, rate = TemporalOverlap(), StabilityRate()
    inter, union, rates = np.zeros(2), np.zeros(2), []
    rows, columns = np.mgrid[: masks[0].shape[0], : masks[0].shape[1]].astype(np.float32)
    for t in range(1, 4):
        there, back = search(pictures[t], pictures[t - 1]), search(pictures[t - 1], pictures[t])
        visible_pixels = visible(there, back)
        overlap.add(masks[t], masks[t - 1], there)
        rate.add(masks[t], masks[t - 1], there, visible_pixels)
        wrong, count = disagreement(masks[t], masks[t - 1], there, visible_pixels)
        places = np.floor(np.stack([rows + there[1], columns + there[0]]) + np.float32(0.5))
        carried = map_coordinates(masks[t - 1], places, order=0, mode="constant", cval=9)
        inside = carried != 9
        for c in (0, 1):
            inter[c] += ((masks[t] == c) & (carried == c)).sum()
            union[c] += (((masks[t] == c) | (carried == c)) & inside).sum()
        counted = visible_pixels & inside
        rates.append((carried == masks[t])[counted].mean())
        assert (wrong, count) == ((carried != masks[t])[counted].sum(), counted.sum())
    assert overlap.value() == pytest.approx((inter / union).mean(), abs=1e-9)
    assert rate.value() == pytest.approx(np.mean(rates), abs=1e-9)


def test_classes_on_a_drive_equal_their_definitions(data):
    root = data / "sequences" / "camvid-0016E5-15hz"
    if not root.is_dir():
        pytest.skip(f"real footage not there: {root}")
    predicted, true = (
        [read_labels(path) for path in sorted((root / name).glob("*.png"))[:9]]
        for name in ("Predictions_deeplab-edgetpu-cityscapes", "Annotations")
    )
    total, run = Confusion(12), VideoConsistency(8)
    for prediction, truth in zip(predicted, true, strict=True):
        total.add(prediction, truth)
        run.add(prediction, truth)
    prediction, truth = np.stack(predicted), np.stack(true)
    counted = (truth != 255) & (truth < 12)
    iou = []
    for c in range(12):
        ours, theirs = (prediction == c) & counted, (truth == c) & counted
        if (ours | theirs).any():
            iou.append((ours & theirs).sum() / (ours | theirs).sum())
    assert total.mean_iou() == pytest.approx(np.mean(iou), abs=1e-9)
    shares = []
    for start in (0, 1):
        window = slice(start, start + 8)
        common = (truth[window] == truth[start]).all(axis=0) & (truth[start] != 255)
        right = (prediction[window] == truth[window]).all(axis=0)
        shares.append((right & common).sum() / common.sum())
    assert run.value() == pytest.approx(np.mean(shares), abs=1e-9)
