"""Key frames that contradict one another, or the masks on both sides: both cannot be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

ALIKE = 0.1  # IoU below which two masks of one object cannot both be right
LEAST_PIXELS = 64  # of both together, at working size: what is smaller may be drawn anyhow


@dataclass(frozen=True)
class Conflict:
    """Two key frames, and the number of the class that they contradict each other about."""

    first: int
    second: int
    number: int


def find_conflicts(
    carried: NDArray[np.int64], steps: Sequence[int], key_frames: Sequence[int]
) -> list[Conflict]:
    """Return the pairs of neighbouring key frames whose masks of an object do not fit together.

    Parameters
    ----------
    carried : ndarray, shape (T, K2, L, 3), int64
        Of the masks in, per neighbour and label, background first: pixels here, there, in both;
        of those that both frames show. See `stages.arrays.CARRIED`.
    steps : sequence of K2 int
        Distance of each neighbour, in frames.
    key_frames : sequence of int
    """
    bind_shapes(carried=(carried, "T K L 3"))
    known, conflicts = set(key_frames), []
    for first in sorted(known):
        for k, step in enumerate(steps):
            if step > 0 and first + step in known:
                own, other, both = np.moveaxis(carried[first, k, 1:], -1, 0)
                union = own + other - both
                wrong = (union >= LEAST_PIXELS) & (both < ALIKE * union)
                conflicts += [Conflict(first, first + step, int(c)) for c in np.flatnonzero(wrong)]
    return conflicts


def find_isolated(
    carried: NDArray[np.int64], steps: Sequence[int], key_frames: Sequence[int]
) -> list[tuple[int, int]]:
    """List the key frames, with the number of a class, that no mask beside them fits.

    An inverted key frame, or one of another clip, is such. Other key frames don't count here.

    Parameters
    ----------
    carried, steps, key_frames
        As of `find_conflicts`, but of the masks out, in which good key frames have mended those
        beside them.

    Returns
    -------
    list of (frame, number)
        Rising; the class counts from 0, without the background.
    """
    bind_shapes(carried=(carried, "T K L 3"))
    known, isolated = set(key_frames), []
    for t in sorted(known):
        unlike, alike = np.zeros((2, carried.shape[2] - 1), np.bool_)
        for k, step in enumerate(steps):
            if abs(step) == 1 and t + step not in known:
                own, other, both = np.moveaxis(carried[t, k, 1:], -1, 0)
                present = np.minimum(own, other) >= LEAST_PIXELS
                wrong = both < ALIKE * (own + other - both)
                unlike |= present & wrong
                alike |= present & ~wrong
        isolated += [(t, int(c)) for c in np.flatnonzero(unlike & ~alike)]
    return isolated
