"""How right a mask is: region overlap and contour agreement with the truth."""

from __future__ import annotations

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
    precision = np.count_nonzero(ours & _widened(theirs, int(tolerance))) / ours.sum()
    recall = np.count_nonzero(theirs & _widened(ours, int(tolerance))) / theirs.sum()
    total = precision + recall
    return float(2 * precision * recall / total) if total else 0.0


def _widened(marks: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Dilate by a disk, `x² + y² <= r²`."""
    span = np.arange(-radius, radius + 1)
    disk = (span[:, None] ** 2 + span**2 <= radius**2).astype(np.uint8)
    wide: NDArray[np.bool_] = cv2.dilate(marks.astype(np.uint8), disk).astype(np.bool_)
    return wide
