"""Which frames of a clip are worth labelling: neighbours show nearly the same."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

THUMB = 8  # rows and columns of a thumbnail


def by_motion(
    lengths: NDArray[np.float64], shots: Sequence[Sequence[int]], *, threshold: float
) -> list[int]:
    """Return the first frame of each shot, and every frame that `threshold` has moved to since.

    Parameters
    ----------
    lengths : ndarray, shape (T,), float64
        Mean length of the flow from each frame to the next, pixels; a shot's last is not looked at.
    shots : sequence of (start, stop)
    threshold : float, > 0
        Pixels, summed since the frame chosen before.
    """
    bind_shapes(lengths=(lengths, "T"))
    chosen = []
    for start, stop in shots:
        moved = threshold
        for t in range(start, stop):
            if moved >= threshold:
                chosen.append(t)
                moved = 0.0
            moved += float(lengths[t])
    return chosen


def by_diversity(thumbs: NDArray[np.uint8], *, count: int) -> list[int]:
    """Return frames as unlike each other as can be: greedily the one farthest from those chosen.

    The first is frame 0; a tie goes to the earlier frame; frames that equal a chosen one are never
    chosen. Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical
    Computer Science 38, 1985: no choice has less than half its largest distance.

    Parameters
    ----------
    thumbs : ndarray, shape (T, D), uint8
        Frames as `colour_thumbnail` gives them. Distances are exact: sums of squared integers.
    count : int
        Of frames, at most.

    Returns
    -------
    list of int
        Rising.
    """
    dims = bind_shapes(thumbs=(thumbs, "T D"))
    if not dims["T"] or count < 1:
        return []
    chosen = [0]
    distance = _squared_distance(thumbs, 0)
    while len(chosen) < count:
        farthest = int(np.argmax(distance))
        if not distance[farthest]:
            break
        chosen.append(farthest)
        distance = np.minimum(distance, _squared_distance(thumbs, farthest))
    return sorted(chosen)


def colour_thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the colours of a frame (H, W, 3) on a small grid, areas averaged, (8 · 8 · 3,)."""
    small = cv2.resize(frame, (THUMB, THUMB), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8).ravel()


def _squared_distance(thumbs: NDArray[np.uint8], t: int) -> NDArray[np.int64]:
    gap = thumbs.astype(np.int32) - thumbs[t].astype(np.int32)
    return np.asarray(np.einsum("td,td->t", gap, gap, dtype=np.int64))
