"""Where the frames around have the outlines of a frame, along the flow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes
from stages.ops.trajectories import (
    LOST,
    RETURN,
    find_corners,
    follow_step,
    read_colour,
    squared_colour_distance,
)


class CarriedDistances(NamedTuple):
    """What frames around say of N pixels, all (N,), float32; in units of the distances.

    Attributes
    ----------
    mean : ndarray
        The value at the frame of a line through the distances over time.
    weight : ndarray
        Sum of the weights of the neighbours.
    others : ndarray
        Mean of the frames before and of the frames after without the frame itself, each side
        counting the same; NaN where a side has a weight below 1.
    scatter : ndarray
        Weighted sum of the squares by which neighbours are away from the frame's own distance,
        with the weights before `tolerance` and `belief`.
    """

    mean: NDArray[np.float32]
    weight: NDArray[np.float32]
    others: NDArray[np.float32]
    scatter: NDArray[np.float32]


def carry_distances(
    distances: NDArray[np.int8],
    trust: NDArray[np.uint8],
    images: NDArray[np.uint8],
    flow: NDArray[np.int16],
    frame: int,
    places: NDArray[np.int32],
    *,
    reach: int,
    appearance: float,
    fading: float,
    own: float,
    stiffness: float = np.inf,
    tolerance: float = np.inf,
    belief: float = 1.0,
) -> CarriedDistances:
    """Return the mean signed distance to an outline as a frame and those around it have it.

    Averaged distances keep corners and thin parts that averaged masks would round off.

    Parameters
    ----------
    distances : ndarray, shape (T, H, W), int8
        `stages.ops.outlines.signed_distance`.
    trust : ndarray, shape (T, h, w), uint8
        In 255ths.
    images, flow : ndarray
        See `stages.ops.neighbour_votes.count_votes`; of a grid (h, w) that covers the same
        picture as (H, W).
    frame : int
    places : ndarray, shape (N, 2), int32
        Row and column of each pixel wanted.
    reach, appearance : int, float
        See `stages.ops.neighbour_votes.count_votes`.
    fading : float, in (0, 1]
        Factor of the weight for each trusted frame that lies between.
    own : float
        Weight of the frame itself; that of a neighbour is 1 at most.
    stiffness : float, > 0
        Squared frames that speak against a drift. Flow that is a little wrong moves the outline
        farther with each frame, and where one side knows less of it than the other, that does
        not cancel: so a line over time is fitted (ridge regression), whose slope is 0 if this is
        infinite.
    tolerance : float, > 0
        Units of `distances` (1 sigma): a neighbour that is much farther away from the frame's own
        distance was led astray by the flow, and does not count.
    belief : float, in [0, 1]
        Factor of the weights of all neighbours.

    Returns
    -------
    CarriedDistances
    """
    bind_shapes(
        distances=(distances, "T H W"), trust=(trust, "T h w"), images=(images, "T h w 3"),
        flow=(flow, "T 2 2 h w"), places=(places, "N 2"),
    )  # fmt: skip
    out = np.empty((4, len(places)), np.float32)
    pixel = distances.shape[1] / images.shape[1]
    likeness, homing = np.float32(1 / (2 * appearance**2)), np.float32(pixel**2 / RETURN)
    settings = (np.float32(fading), np.float32(own), np.float32(stiffness))
    doubts = (np.float32(1 / (2 * tolerance**2)), np.float32(belief))
    _carry(
        distances, trust, images, flow, frame, places, reach, likeness, homing, *settings,
        *doubts, out,
    )  # fmt: skip
    return CarriedDistances(*out)


@njit(nogil=True, cache=True)
def _distance(plane: NDArray[np.int8], x: np.float32, y: np.float32) -> np.float32:
    """Return the distance at a place, bilinear, the border repeated."""
    rows, columns = plane.shape
    x = min(max(x, np.float32(0)), np.float32(columns - 1))
    y = min(max(y, np.float32(0)), np.float32(rows - 1))
    x0, y0, x1, y1, fx, fy = find_corners(x, y, rows, columns)
    top = plane[y0, x0] * (1 - fx) + plane[y0, x1] * fx
    low = plane[y1, x0] * (1 - fx) + plane[y1, x1] * fx
    return np.float32(top * (1 - fy) + low * fy)


@njit(nogil=True, cache=True)
def _carry(  # noqa: PLR0915 (one sweep, in numba)
    distances: NDArray[np.int8],
    trust: NDArray[np.uint8],
    images: NDArray[np.uint8],
    flow: NDArray[np.int16],
    frame: int,
    places: NDArray[np.int32],
    reach: int,
    likeness: np.float32,
    homing: np.float32,
    fading: np.float32,
    own: np.float32,
    stiffness: np.float32,
    astray: np.float32,
    belief: np.float32,
    out: NDArray[np.float32],
) -> None:
    count, height, width = distances.shape
    rows, columns = images.shape[1:3]
    down, across = np.float32(rows / height), np.float32(columns / width)
    half = np.float32(0.5)
    colour = np.empty(3, np.float32)
    for n in range(len(places)):
        y, x = places[n, 0], places[n, 1]
        hx = min(max((x + half) * across - half, np.float32(0)), np.float32(columns - 1))
        hy = min(max((y + half) * down - half, np.float32(0)), np.float32(rows - 1))
        read_colour(images, frame, hx, hy, colour)
        at = np.float32(distances[frame, y, x])
        total, weights, scatter = own * at, np.float32(0), np.float32(0)
        sides, others = 0, np.float32(0)
        lean, spread, slanted = np.float32(0), stiffness, np.float32(0)
        for way in range(2):
            px, py, missed, fade = hx, hy, np.float32(0), np.float32(1)
            number, weight = np.float32(0), np.float32(0)
            j = frame
            for _ in range(reach):
                if not 0 <= j + 2 * way - 1 < count:
                    break
                px, py, miss = follow_step(flow, j, way, px, py)
                j += 2 * way - 1
                missed += miss * homing
                if miss < 0 or missed > LOST:
                    break
                tau = trust[j, int(py + half), int(px + half)] * np.float32(1 / 255)
                g = (
                    np.exp(-squared_colour_distance(images, j, px, py, colour) * likeness - missed)
                    * tau
                    * fade
                )
                if tau > half:
                    fade *= fading
                fx, fy = (px + half) / across - half, (py + half) / down - half
                distance = _distance(distances[j], fx, fy)
                away = (distance - at) * (distance - at)
                scatter += g * away
                g *= belief * np.exp(-away * astray)
                number += g * distance
                weight += g
                after = np.float32(j - frame)
                lean += g * after
                spread += g * after * after
                slanted += g * after * distance
            total += number
            weights += weight
            if weight >= 1:
                others += number / weight
                sides += 1
        total -= lean * slanted / spread
        out[0, n] = total / max(weights + own - lean * lean / spread, np.float32(1e-6))
        out[1, n] = weights
        out[2, n] = others / 2 if sides == 2 else np.nan
        out[3, n] = scatter
