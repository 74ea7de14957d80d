"""How right a mask is: region overlap and contour agreement with the truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes


def jaccard(prediction: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return the intersection over union J of two masks; higher is better, in [0, 1].

    Two empty masks agree: 1. See Perazzi et al., "A benchmark dataset and evaluation methodology
    for video object segmentation", CVPR 2016, sec. 4 (region similarity).
    """
    bind_shapes(prediction=(prediction, "H W"), truth=(truth, "H W"))
    union = np.count_nonzero(prediction | truth)
    return np.count_nonzero(prediction & truth) / union if union else 1.0


def contour(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the pixels whose right, lower or lower right neighbour has the other value.

    The one-pixel contour of the DAVIS toolkit (after Martin's `seg2bmap`).
    """
    inner = np.zeros(mask.shape, np.bool_)
    inner[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    inner[:-1] |= mask[:-1] != mask[1:]
    inner[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return inner


def boundary_f(
    prediction: NDArray[np.bool_], truth: NDArray[np.bool_], *, tolerance: float
) -> float:
    """Return the boundary F-measure of two masks; higher is better, in [0, 1].

    Parameters
    ----------
    prediction, truth : ndarray, shape (H, W), bool
    tolerance : float
        How far a contour pixel may be from the other contour: pixels where >= 1, else a share of
        the image diagonal (DAVIS: 0.008), rounded up.

    Returns
    -------
    float
        1 where both contours are empty, 0 where only one is.
    """
    dims = bind_shapes(prediction=(prediction, "H W"), truth=(truth, "H W"))
    if tolerance < 1:
        tolerance = np.ceil(tolerance * np.hypot(dims["H"], dims["W"]))
    ours, theirs = contour(prediction), contour(truth)
    if not ours.any() or not theirs.any():
        return float(ours.any() == theirs.any())
    precision = np.count_nonzero(ours & _widened_boundary(theirs, int(tolerance))) / ours.sum()
    recall = np.count_nonzero(theirs & _widened_boundary(ours, int(tolerance))) / theirs.sum()
    total = precision + recall
    return float(2 * precision * recall / total) if total else 0.0


def recall(prediction: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return the share of the true foreground that is found; higher is better, in [0, 1].

    Azulay et al., "Temporally stable video segmentation without video annotations", table 1. NaN
    where the truth is empty.
    """
    bind_shapes(prediction=(prediction, "H W"), truth=(truth, "H W"))
    true = np.count_nonzero(truth)
    return np.count_nonzero(prediction & truth) / true if true else float("nan")


@dataclass(frozen=True)
class Statistics:
    """A measure over the frames of a sequence, as the DAVIS benchmark sums it up.

    Perazzi et al., CVPR 2016, sec. 4. Frames that are NaN are left out; all are NaN without frames.

    Attributes
    ----------
    mean : float
    recall : float
        Share of frames above 0.5; higher is better.
    decay : float
        Mean of the first quarter of the frames minus that of the last; lower is better. Quarters
        share their border frames, as in the benchmark's toolkit.
    """

    mean: float
    recall: float
    decay: float


def statistics(values: Sequence[float]) -> Statistics:
    """Return mean, recall and decay of a measure's values, one a frame, in order."""
    known = np.asarray(values, np.float64)
    if np.isnan(known).all():
        return Statistics(*[float("nan")] * 3)
    cuts = np.round(np.linspace(1, len(known), 5) + 1e-10).astype(int) - 1
    first, last = known[cuts[0] : cuts[1] + 1], known[cuts[3] : cuts[4] + 1]
    decay = _known_mean(first) - _known_mean(last)
    above = known[~np.isnan(known)] > 0.5
    return Statistics(_known_mean(known), float(above.mean()), decay)


def objects(
    prediction: NDArray[np.integer],
    truth: NDArray[np.integer],
    labels: Iterable[int],
    *,
    ignore: int = 255,
) -> dict[int, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Return the masks of each object, predicted and true, for `jaccard` and `boundary_f`.

    Pont-Tuset et al., "The 2017 DAVIS challenge on video object segmentation", sec. 3: the measures
    of a sequence are means over its objects.

    Parameters
    ----------
    prediction, truth : ndarray, shape (H, W), uint8 or uint16
    labels : iterable of int
        The objects: all labels of the sequence's truth but 0 and `ignore`.
    ignore : int
        Label in the truth of pixels that do not count; they are empty in both masks.
    """
    bind_shapes(prediction=(prediction, "H W"), truth=(truth, "H W"))
    counts = truth != ignore
    return {label: ((prediction == label) & counts, truth == label) for label in labels}


def _known_mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _widened_boundary(marks: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Dilate by a disk, `x² + y² <= r²`."""
    span = np.arange(-radius, radius + 1)
    disk = (span[:, None] ** 2 + span**2 <= radius**2).astype(np.uint8)
    wide: NDArray[np.bool_] = cv2.dilate(marks.astype(np.uint8), disk).astype(np.bool_)
    return wide
