"""What a report draws over the frames of a clip, thinned where there are very many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.arrays import offsets
from stages.metrics.stability import Consistency

Labels = NDArray[np.uint8]

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
    following, previous = offsets(radius).index(1), offsets(radius).index(-1)
    errors = np.full((2, len(pairs)), math.nan)
    length = np.median(boundary, axis=0)
    for start, stop in shots:
        for t in range(start, stop - 1):
            for which in (0, 1):
                there, back = pairs[t, which, following], pairs[t + 1, which, previous]
                one = Consistency()
                one.add((int(there[0]), int(there[1])), (int(back[0]), int(back[1])))
                errors[which, t] = one.value(area=area, boundary=float(length[which]))
    return errors


def curve(values: NDArray[np.float64]) -> dict[str, list[Any]]:
    """Return a curve as plain values: of every few frames the largest, and where it was."""
    every = thinning(len(values))
    frames, largest = [], []
    for start in range(0, len(values), every):
        part = values[start : start + every]
        blank = bool(np.isnan(part).all())
        at = 0 if blank else int(np.nanargmax(part))
        frames.append(start + at)
        largest.append(plain(float(part[at])))
    return {"frame": frames, "value": largest}


def plain(value: float) -> float | None:
    """Return a number that JSON has, or None for NaN."""
    return None if math.isnan(value) else round(value, 4)


class Areas:
    """How many pixels each class has, frame by frame.

    Parameters
    ----------
    frames, classes : int
    """

    def __init__(self, frames: int, classes: int) -> None:
        self._counts = np.zeros((2, classes, frames), np.int64)

    def add(self, number: int, before: Labels, after: Labels) -> None:
        """Add the next frame."""
        classes = self._counts.shape[1]
        for which, labels in enumerate((before, after)):
            counts = cv2.calcHist([labels], [0], None, [256], [0, 256])  # as float: whole to 2^24
            self._counts[which, :, number] = counts[1 : classes + 1, 0]

    def summary(self) -> list[dict[str, Any]]:
        """Return for each class its areas, thinned for long clips, and how much they jump.

        A jump is the change of the area from one frame to the next, by the mean of the two: the
        mean over frames, in [0, 2].
        """
        every = thinning(self._counts.shape[-1])
        out = []
        for c in range(self._counts.shape[1]):
            entry: dict[str, Any] = {}
            for system, counts in zip(("before", "after"), self._counts[:, c], strict=True):
                entry[system] = {
                    "area": counts[::every].tolist(),
                    "mean": float(counts.mean()),
                    "jump": _jump(counts),
                }
            out.append(entry)
        return out


def _jump(counts: NDArray[np.int64]) -> float:
    if len(counts) < 2:
        return 0.0
    change, both = np.abs(np.diff(counts)), counts[1:] + counts[:-1]
    return float(np.mean(2 * change / np.maximum(both, 1)))


def thinning(frames: int) -> int:
    """Return how many frames there are to a point of a curve."""
    return max(-(-frames // MOST_POINTS), 1)
