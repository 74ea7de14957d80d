"""What a report draws over the frames of a clip, thinned where there are very many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.arrays import neighbour_offsets
from stages.metrics.stability import Consistency

MOST_POINTS = 2000  # of a curve; of longer clips every n-th


def pair_errors(
    pairs: NDArray[np.int64],
    boundary: NDArray[np.int64],
    shots: Sequence[Sequence[int]],
    *,
    radius: int,
    area: int,
) -> NDArray[np.float64]:
    """Return E_cons of every frame and the next one alone, before and after; see `Consistency`.

    Parameters
    ----------
    pairs : ndarray, shape (T, 2, K2, 2), int64
    boundary : ndarray, shape (T, 2), int64
        Both as `measure` makes them.
    shots : sequence of (start, stop)
    radius : int
        Frames to either side that `pairs` holds.
    area : int
        Pixels of a frame.

    Returns
    -------
    ndarray, shape (2, T), float64
        NaN at the last frame of a shot, and where nothing can be compared.
    """
    following, previous = neighbour_offsets(radius).index(1), neighbour_offsets(radius).index(-1)
    errors = np.full((2, len(pairs)), math.nan)
    length = np.median(boundary, axis=0)
    for start, stop in shots:
        for t in range(start, stop - 1):
            for which in (0, 1):
                there, back = pairs[t, which, following], pairs[t + 1, which, previous]
                pair_consistency = Consistency()
                pair_consistency.add((int(there[0]), int(there[1])), (int(back[0]), int(back[1])))
                errors[which, t] = pair_consistency.value(area=area, boundary=float(length[which]))
    return errors


def thinned_curve(values: NDArray[np.float64]) -> dict[str, list[Any]]:
    """Return a curve as plain values: of every few frames the largest, and where it was."""
    every = thinning(len(values))
    frames, largest = [], []
    for start in range(0, len(values), every):
        part = values[start : start + every]
        blank = bool(np.isnan(part).all())
        at = 0 if blank else int(np.nanargmax(part))
        frames.append(start + at)
        largest.append(plain_number(float(part[at])))
    return {"frame": frames, "value": largest}


def changed_share(overlap: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how far the masks in and out differ: 1 less their IoU, frame by frame, in [0, 1].

    Parameters
    ----------
    overlap : ndarray, shape (T, 2), int64
        Pixels where both agree on a class; where either has one.
    """
    agreed, either = overlap.T.astype(np.float64)
    return np.where(either > 0, 1 - agreed / np.maximum(either, 1), 0.0)


def opening_frame(changed: NDArray[np.float64], flicker: NDArray[np.float64]) -> int:
    """Return the frame to look at first: where most was changed, else where most flicker is left.

    Parameters
    ----------
    changed, flicker : ndarray, shape (T,), float64
        NaN of the second are passed over.
    """
    for values in (changed, np.nan_to_num(flicker)):
        if len(values) and values.max() > 0:
            return int(np.argmax(values))
    return 0


def plain_number(value: float) -> float | None:
    """Return a number that JSON has, or None for NaN."""
    return None if math.isnan(value) else round(value, 4)


def area_summary(areas: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return for each class its areas, thinned for long clips, and how much they jump.

    A jump is the change of the area from one frame to the next, by the mean of the two: the mean
    over frames, in [0, 2].

    Parameters
    ----------
    areas : ndarray, shape (T, 2, C + 1), int64
        Pixels of each label before and after, the background first.
    """
    every = thinning(len(areas))
    return [
        {
            system: {
                "area": areas[::every, which, label].tolist(),
                "mean": float(areas[:, which, label].mean()),
                "jump": _frame_jump(areas[:, which, label]),
            }
            for which, system in enumerate(("before", "after"))
        }
        for label in range(1, areas.shape[-1])
    ]


def _frame_jump(counts: NDArray[np.int64]) -> float:
    if len(counts) < 2:
        return 0.0
    change, both = np.abs(np.diff(counts)), counts[1:] + counts[:-1]
    return float(np.mean(2 * change / np.maximum(both, 1)))


def thinning(frames: int) -> int:
    """Return how many frames there are to a point of a curve."""
    return max(-(-frames // MOST_POINTS), 1)
