"""How much the shape of a mask's outline changes from frame to frame, in a way of our own.

The T of the DAVIS benchmark's program is `stages.metrics.davis_instability`.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

POINTS = 100  # on an outline
RINGS, SECTORS = 5, 12
INNERMOST, OUTERMOST = 1 / 8, 2.0  # radii, in mean distances between points


def contour_instability(mask: NDArray[np.bool_], following: NDArray[np.bool_]) -> float:
    """Return the cost of turning a mask's outline into that of the next; lower is stabler.

    Perazzi et al., "A benchmark dataset and evaluation methodology for video object segmentation",
    CVPR 2016, sec. 4 (temporal stability): the outlines, as polygons, are described point by point
    with shape contexts (Belongie et al., PAMI 2002) and matched by dynamic time warping; the cost
    is the mean over the matched points. The paper leaves free, and here is: the longest outer
    outline of each mask, 100 points at equal distances, rings from an eighth to twice the mean
    distance between points, χ² costs, the best of all starting points. Like the benchmark's it
    counts a change of shape, not a move or a change of size; comparable with our own values only.

    Parameters
    ----------
    mask, following : ndarray, shape (H, W), bool
        Of neighbouring frames.

    Returns
    -------
    float, in [0, 1]
        NaN where a mask is empty or a single point.
    """
    bind_shapes(mask=(mask, "H W"), following=(following, "H W"))
    outlines = [_object_outline(each) for each in (mask, following)]
    if any(len(outline) < 2 for outline in outlines):
        return float("nan")
    first, second = (shape_contexts(_resampled_outline(outline)) for outline in outlines)
    return float(_cheapest_path(_chi_squared(first, second)))


def shape_contexts(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each point of an outline where the others lie: histograms (N, 60) that sum to 1.

    Five rings, their radii in a geometric series, by twelve sectors; what lies outside the
    outermost ring is left out, inside the innermost counts with it.
    """
    gaps = points[None] - points[:, None]
    distance = np.hypot(gaps[..., 0], gaps[..., 1])
    count = len(points)
    scale = distance.sum() / (count * (count - 1))
    edges = np.geomspace(INNERMOST, OUTERMOST, RINGS) * scale
    ring = np.searchsorted(edges, distance, side="left")
    angle = np.arctan2(gaps[..., 1], gaps[..., 0]) % (2 * np.pi)
    sector = (angle / (2 * np.pi) * SECTORS).astype(int) % SECTORS
    counted = (ring < RINGS) & ~np.eye(count, dtype=bool)
    out = np.zeros((count, RINGS * SECTORS))
    rows = np.nonzero(counted)[0]
    np.add.at(out, (rows, ring[counted] * SECTORS + sector[counted]), 1)
    return np.asarray(out / np.maximum(out.sum(axis=1, keepdims=True), 1), np.float64)


def _object_outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return np.zeros((0, 2))
    longest = max(outlines, key=len)
    return np.asarray(longest[:, 0], np.float64)


def _resampled_outline(outline: NDArray[np.float64]) -> NDArray[np.float64]:
    closed = np.concatenate([outline, outline[:1]])
    lengths = np.hypot(*np.diff(closed, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    places = np.linspace(0, along[-1], POINTS, endpoint=False)
    return np.stack([np.interp(places, along, closed[:, axis]) for axis in (0, 1)], axis=-1)


@njit(nogil=True, cache=True)
def _chi_squared(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.zeros((len(first), len(second)))
    for i in range(len(first)):
        for j in range(len(second)):
            total = 0.0
            for k in range(first.shape[1]):
                both = first[i, k] + second[j, k]
                if both > 0:
                    total += (first[i, k] - second[j, k]) ** 2 / both
            out[i, j] = total / 2
    return out


@njit(nogil=True, cache=True)
def _cheapest_path(cost: NDArray[np.float64]) -> float:
    """Return the mean cost along the cheapest warping path, over all starts on the second."""
    count = len(cost)
    best = np.inf
    for start in range(count):
        total = np.full((count, count), np.inf)
        steps = np.zeros((count, count))
        for i in range(count):
            for j in range(count):
                before, length = 0.0, 0.0
                if i or j:
                    before = np.inf
                    for di, dj in ((1, 1), (1, 0), (0, 1)):
                        if i >= di and j >= dj and total[i - di, j - dj] < before:
                            before = total[i - di, j - dj]
                            length = steps[i - di, j - dj]
                total[i, j] = before + cost[i, (j + start) % count]
                steps[i, j] = length + 1
        best = min(best, total[-1, -1] / steps[-1, -1])
    return best
