"""Key frames that contradict one another: an object cannot be where both say that it is."""

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
