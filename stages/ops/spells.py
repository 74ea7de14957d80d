"""Bad spells: frames whose mask is unlike those before and after, which are like each other.

The Jaccard distance is a metric, so a mask b on the way from one mask to another obeys
``d(i, b) + d(b, j) ≈ d(i, j)``. What the sum is longer by (twice the Gromov product) tells how
far b lies off the way; an empty mask is at distance 1 from all others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import islice, product
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

ROWS = 120  # of the grid on which shapes are compared
SPEED = 8.0  # rows of that grid that an object may move from a frame to the next
JUMP = 0.25  # distance from which two shapes are unlike
DETOUR = 0.38  # longer way over a mask than past it, from which it is off the way
STEADY = 0.75  # share of the distance to a frame within which witnesses have another like them
CANDIDATES = 4  # frames on either side that are tried as witnesses
AWAY = 0.12  # of that way that farther witnesses must gain, times the root of the frames between

AGREE = 0.5  # overlap of what both sides carry to a frame, at least
OFF = 0.3  # Gromov product of the frame's own mask with these two, at least
SPOKEN = 0.0  # mean log odds of the colours in favour of what both sides say, at least
LINE = 2  # pixels on a grid of 240 rows: half the width up to which a difference is only a line


class Shape(NamedTuple):
    """A mask on a coarse grid: its pixels (R, S) in a box, and where they are.

    Attributes
    ----------
    pixels : ndarray, float32, in [0, 1]
    corner : ndarray, shape (2,)
        Row and column of the box.
    centre : ndarray, shape (2,)
        Of gravity.
    energy : float
        Sum of the squared pixels; 0 for an empty mask.
    """

    pixels: NDArray[np.float32]
    corner: NDArray[np.int64]
    centre: NDArray[np.float64]
    energy: float


def coarse_shape(mask: NDArray[np.bool_]) -> Shape:
    """Return a mask's shape on a grid of 120 rows.

    Parameters
    ----------
    mask : ndarray, shape (H, W), bool
    """
    dims = bind_shapes(mask=(mask, "H W"))
    size = max(round(dims["W"] * ROWS / dims["H"]), 1), ROWS
    small = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    rows, columns = np.flatnonzero(small.any(axis=1)), np.flatnonzero(small.any(axis=0))
    if not rows.size:
        return Shape(small[:0, :0], np.zeros(2, np.int64), np.zeros(2), 0.0)
    pixels = small[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    corner = np.array([rows[0], columns[0]])
    total = float(pixels.sum())
    down = float((pixels.sum(axis=1) * np.arange(len(pixels))).sum()) / total
    right = float((pixels.sum(axis=0) * np.arange(pixels.shape[1])).sum()) / total
    centre = corner + np.array([down, right])
    return Shape(pixels, corner, centre, float((pixels**2).sum()))


def shape_distance(first: Shape, second: Shape, frames: int) -> float:
    """Return the Jaccard distance of two shapes after one is shifted onto the other.

    Parameters
    ----------
    first, second : Shape
    frames : int, >= 1
        Between them: an object moves by no more than 8 rows in each.

    Returns
    -------
    float, in [0, 1]
        1 if one of them is empty, 0 if both are.
    """
    if not (first.energy and second.energy):
        return float(first.energy != second.energy)
    way = second.centre - first.centre
    shift = np.rint(way * min(1.0, SPEED * frames / max(float(np.hypot(*way)), 1e-6)))
    low = second.corner - first.corner - shift.astype(np.int64)
    start, stop = np.maximum(low, 0), np.minimum(first.pixels.shape, low + second.pixels.shape)
    if (stop <= start).any():
        return 1.0
    own = first.pixels[start[0] : stop[0], start[1] : stop[1]]
    start, stop = start - low, stop - low
    other = second.pixels[start[0] : stop[0], start[1] : stop[1]]
    common = float((own * other).sum())
    return 1 - common / (first.energy + second.energy - common)


class Witnesses(NamedTuple):
    """The frames before and after a bad spell, which are like each other."""

    before: int
    after: int


def find_witnesses(
    frame: int,
    before: Sequence[int],
    after: Sequence[int],
    distance: Callable[[int, int], float],
) -> Witnesses | None:
    """Return the frames on either side that a frame is most off the way between.

    Parameters
    ----------
    frame : int
    before, after : sequences of int
        Frames on either side that have a mask, the nearest first.
    distance : callable
        Of two frames' shapes; see `shape_distance`.

    Returns
    -------
    Witnesses, or None if the frame is as could be expected

    Examples
    --------
    >>> areas = [9.0, 9.0, 9.0, 4.0, 4.0, 9.0, 9.0]
    >>> def distance(i, j):
    ...     return 1 - min(areas[i] / areas[j], areas[j] / areas[i])
    >>> find_witnesses(3, [2, 1, 0], [4, 5, 6], distance)
    Witnesses(before=2, after=5)
    >>> find_witnesses(1, [0], [2, 3, 4, 5, 6], distance) is None
    True
    """
    sides = [
        list(islice((other for other in side if distance(frame, other) > JUMP), CANDIDATES))
        for side in (before, after)
    ]
    detours = {
        Witnesses(i, j): distance(i, frame)
        + distance(frame, j)
        - distance(i, j)
        - AWAY * math.sqrt(j - i - 2)
        for i, j in product(*sides)
        if min(distance(i, i + 1), distance(j - 1, j)) > JUMP / 2
    }
    best = max(detours, key=lambda pair: detours[pair], default=None)
    if best is None or detours[best] <= DETOUR:
        return None
    steady = all(
        _is_steady(witness, frame, side, distance)
        for witness, side in zip(best, (before, after), strict=True)
    )
    return best if steady else None


def _is_steady(
    witness: int, frame: int, side: Sequence[int], distance: Callable[[int, int], float]
) -> bool:
    """Return whether the next frame beyond a witness is like it; true at a clip's ends."""
    farther = (other for other in side if abs(other - frame) > abs(witness - frame))
    following = next(farther, None)
    limit = STEADY * distance(witness, frame)
    return following is None or distance(witness, following) < limit


def overlap(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the Jaccard index of two masks; 1 if both are empty."""
    either = int(np.count_nonzero(first | second))
    return np.count_nonzero(first & second) / either if either else 1.0


def judge_spell(
    own: NDArray[np.bool_],
    sides: Sequence[NDArray[np.bool_]],
    carried: NDArray[np.float32],
    odds: NDArray[np.float32],
) -> NDArray[np.bool_] | None:
    """Return the pixels of a mask that are wrong by what both sides of a spell and the colours say.

    Parameters
    ----------
    own : ndarray, shape (h, w), bool
    sides : two ndarrays, shape (h, w), bool
        The masks before and after the spell, carried to the frame.
    carried : ndarray, shape (h, w), float32
        Probability of the class by both together.
    odds : ndarray, shape (h, w), float32
        Log odds of the colours for the class.

    Returns
    -------
    ndarray, shape (h, w), bool
        None if the sides do not agree, or the own mask lies on the way between them.
    """
    bind_shapes(own=(own, "h w"), carried=(carried, "h w"), odds=(odds, "h w"))
    agreement = overlap(*sides)
    off = sum(1 - overlap(own, side) for side in sides) - (1 - agreement)
    if agreement < AGREE or off < 2 * OFF:
        return None
    stated = carried > 0.5
    unit = own.shape[0] / 240
    side = 2 * max(round(LINE * unit), 1) + 1
    thick = cv2.morphologyEx(
        (stated != own).astype(np.uint8), cv2.MORPH_OPEN, np.ones((side, side), np.uint8)
    )
    count, pieces = cv2.connectedComponents(thick, connectivity=8)
    out = np.zeros(own.shape, np.bool_)
    for piece in range(1, count):
        inside = pieces == piece
        way = 1 if stated[inside].mean() > 0.5 else -1
        if way * float(odds[inside].mean()) >= SPOKEN:
            out |= inside
    return out if out.any() else None
