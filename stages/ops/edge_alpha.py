"""Soft edges for hard labels, taken from the picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

RADIUS = 8.0  # pixels of the filter to either side, in a picture of LINES rows
LINES = 480
EPS = 10.0  # squared grey levels: variance of the picture under which an edge is left as it is


def edge_alpha(
    labels: NDArray[np.uint8], picture: NDArray[np.uint8], *, classes: int
) -> NDArray[np.float32]:
    """Return soft masks of hard labels, with the picture's own soft edges.

    A guided filter [1]_ of each class with the picture as its guide. What carries the label stays
    at one half or more and everything else at one half or less, so that the masks still win where
    the labels say, and lines of one pixel stay. Pixels further than twice the filter's radius from
    an outline are exactly 0 or 1.

    Parameters
    ----------
    labels : ndarray, shape (H, W), uint8
        0 is background, 1 to `classes` the classes.
    picture : ndarray, shape (H, W, 3), uint8
        RGB.
    classes : int, >= 0

    Returns
    -------
    ndarray, shape (H, W, classes), float32, in [0, 1]
        Classes that meet share what lies between them: they sum to 1 at most.

    Raises
    ------
    ShapeError
        If sizes do not agree.

    References
    ----------
    .. [1] He, Sun, Tang, "Guided image filtering", TPAMI 2013.
    """
    dims = bind_shapes(labels=(labels, "H W"), picture=(picture, "H W 3"))
    out = np.zeros((dims["H"], dims["W"], classes), np.float32)
    radius = max(round(RADIUS * min(dims["H"], dims["W"]) / LINES), 1)
    for k in range(classes):
        region = labels == k + 1
        box = _box_around(region, 2 * radius + 1)
        if box is not None:
            out[(*box, k)] = _soften_edges(region[box], np.ascontiguousarray(picture[box]), radius)
    if classes > 1:
        out /= np.maximum(out.sum(axis=-1, keepdims=True), 1)
    return out


def _soften_edges(
    region: NDArray[np.bool_], picture: NDArray[np.uint8], radius: int
) -> NDArray[np.float32]:
    alpha = cv2.ximgproc.guidedFilter(picture, region.astype(np.float32), radius, EPS)
    inside, outside = np.clip(alpha, 0.5 + 1 / 255, 1), np.clip(alpha, 0, 0.5)
    return np.asarray(np.where(region, inside, outside), np.float32)


def _box_around(region: NDArray[np.bool_], margin: int) -> tuple[slice, slice] | None:
    """Return the smallest box around a region, with a margin; None if there is no region."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if not rows.size:
        return None
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + 1 + margin),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + 1 + margin),
    )
