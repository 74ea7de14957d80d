"""Along the flow from frame to frame: how neighbours label a pixel, and where their outlines are.

A trajectory follows the flow to the next and the previous frame step by step, so that it reaches
as far as wanted with no other flows. A step counts as far as the flow leads back, and a frame as
far as it looks like the one that asks; so what is hidden, or not the same thing, has no say.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.fixed_point import FLOW_STEPS
from stages.ops.shapes import bind_shapes

STEP = np.float32(1 / FLOW_STEPS)
RETURN = 8.0  # squared pixels at working size by which a trajectory may miss its start (2 sigma²)
LOST = 6.0  # exponent from which a trajectory counts for nothing


def mark_disagreement(
    labels: NDArray[np.uint8], flow: NDArray[np.int16], frame: int, *, reach: int, margin: int
) -> NDArray[np.bool_]:
    """Mark the blocks of 4 x 4 pixels that some frame within reach may label differently.

    Parameters
    ----------
    labels : ndarray, shape (T, h, w), uint8
    flow : ndarray, shape (T, 2, 2, h, w), int16
        To the frame before and the frame after, in 1/64 px, x before y.
    frame : int
        Index in T.
    reach : int
        Frames to either side.
    margin : int
        Pixels around a block's trajectory in which all labels have to be the same.

    Returns
    -------
    ndarray, shape (h, w), bool
    """
    bind_shapes(labels=(labels, "T h w"), flow=(flow, "T 2 2 h w"))
    uniform = np.stack([uniform_labels(frame_labels, margin) for frame_labels in labels])
    out = np.zeros(labels.shape[1:], np.bool_)
    _mark(uniform, flow, frame, reach, out)
    return out


def uniform_labels(labels: NDArray[np.uint8], margin: int) -> NDArray[np.int16]:
    """Return the one label within `margin` pixels of each pixel, -1 where there are several.

    Parameters
    ----------
    labels : ndarray, shape (h, w), uint8
    margin : int

    Returns
    -------
    ndarray, shape (h, w), int16
    """
    box = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    low, high = cv2.erode(labels, box), cv2.dilate(labels, box)
    return np.where(low == high, low.astype(np.int16), np.int16(-1))


@njit(nogil=True, cache=True)
def _mark(
    uniform: NDArray[np.int16],
    flow: NDArray[np.int16],
    frame: int,
    reach: int,
    out: NDArray[np.bool_],
) -> None:
    rows, columns = uniform.shape[1:]
    for top in range(0, rows, 4):
        for left in range(0, columns, 4):
            y, x = min(top + 2, rows - 1), min(left + 2, columns - 1)
            label = uniform[frame, y, x]
            differs = label < 0
            for way in range(2):
                if differs:
                    break
                differs = _meets_other(uniform, flow, frame, reach, way, y, x)
            if differs:
                out[top : top + 4, left : left + 4] = True


@njit(nogil=True, cache=True)
def _meets_other(
    uniform: NDArray[np.int16],
    flow: NDArray[np.int16],
    frame: int,
    reach: int,
    way: int,
    y: int,
    x: int,
) -> bool:
    """Return whether the trajectory that starts at a pixel meets another label."""
    count, rows, columns = uniform.shape
    step = 2 * way - 1
    px, py = np.float32(x), np.float32(y)
    j = frame
    for _ in range(reach):
        if not 0 <= j + step < count:
            return False
        row, column = int(py), int(px)
        px += flow[j, way, 0, row, column] * STEP
        py += flow[j, way, 1, row, column] * STEP
        px = min(max(px, np.float32(0)), np.float32(columns - 1))
        py = min(max(py, np.float32(0)), np.float32(rows - 1))
        j += step
        if uniform[j, int(py), int(px)] != uniform[frame, y, x]:
            return True
    return False


def count_votes(
    labels: NDArray[np.uint8],
    trust: NDArray[np.uint8],
    images: NDArray[np.uint8],
    flow: NDArray[np.int16],
    frame: int,
    *,
    reach: int,
    appearance: float,
    pixel: float,
    active: NDArray[np.bool_],
    classes: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return how the frames around label each pixel of a frame, which itself has no vote.

    ``C = Σ_j g_j τ_j [label_j] / Σ_j g_j τ_j`` along the pixel's trajectory, with
    ``g = exp(−|I_t − I_j|²/2σ² − Σ |w + w'|²/8)``, the last sum over the steps to frame j, and τ
    the trust in frame j there. The method is this project's own.

    Parameters
    ----------
    labels, trust : ndarray, shape (T, h, w), uint8
        Trust in 255ths.
    images : ndarray, shape (T, h, w, 3), uint8
    flow : ndarray, shape (T, 2, 2, h, w), int16
        See `mark_disagreement`.
    frame : int
        Index in T.
    reach : int
        Frames to either side.
    appearance : float
        Standard deviation of the colours of one thing, in grey levels.
    pixel : float
        Size of a pixel of this grid, in pixels at working size.
    active : ndarray, shape (h, w), bool
        Where to count; elsewhere all are taken to agree with the frame.
    classes : int
        C; labels are 0 to C.

    Returns
    -------
    votes : ndarray, shape (h, w, C + 1), float32
        Shares of the labels; they sum to 1, or are all 0 where nobody votes.
    support : ndarray, shape (h, w), float32
        Sum of the weights.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    dims = bind_shapes(
        labels=(labels, "T h w"), trust=(trust, "T h w"), images=(images, "T h w 3"),
        flow=(flow, "T 2 2 h w"), active=(active, "h w"),
    )  # fmt: skip
    votes = np.zeros((dims["h"], dims["w"], classes + 1), np.float32)
    support = np.zeros((dims["h"], dims["w"]), np.float32)
    likeness, homing = np.float32(1 / (2 * appearance**2)), np.float32(pixel**2 / RETURN)
    _count(labels, trust, images, flow, frame, reach, likeness, homing, active, votes, support)
    return votes, support


@njit(nogil=True, cache=True)
def _between(plane: NDArray[np.int16], x: np.float32, y: np.float32) -> np.float32:
    """Return flow in pixels, bilinear."""
    rows, columns = plane.shape
    x0, y0 = int(x), int(y)
    x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
    fx, fy = np.float32(x - x0), np.float32(y - y0)
    top = plane[y0, x0] * (1 - fx) + plane[y0, x1] * fx
    low = plane[y1, x0] * (1 - fx) + plane[y1, x1] * fx
    return np.float32((top * (1 - fy) + low * fy) * STEP)


@njit(nogil=True, cache=True)
def _step(
    flow: NDArray[np.int16], j: int, way: int, x: np.float32, y: np.float32
) -> tuple[np.float32, np.float32, np.float32]:
    """Return where a step leads, and by how much squared it misses its way back; -1 if outside."""
    rows, columns = flow.shape[3:]
    u, v = _between(flow[j, way, 0], x, y), _between(flow[j, way, 1], x, y)
    px, py = x + u, y + v
    if not (px >= 0 and py >= 0 and px <= columns - 1 and py <= rows - 1):
        return px, py, np.float32(-1)
    there = j + 2 * way - 1
    u += _between(flow[there, 1 - way, 0], px, py)
    v += _between(flow[there, 1 - way, 1], px, py)
    return px, py, u * u + v * v


@njit(nogil=True, cache=True)
def _unlike(
    images: NDArray[np.uint8], j: int, x: np.float32, y: np.float32, colour: NDArray[np.float32]
) -> np.float32:
    """Return the squared distance of a colour to that of frame j at a place."""
    rows, columns = images.shape[1:3]
    x0, y0 = int(x), int(y)
    x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
    fx, fy = np.float32(x - x0), np.float32(y - y0)
    total = np.float32(0)
    for k in range(3):
        top = images[j, y0, x0, k] * (1 - fx) + images[j, y0, x1, k] * fx
        low = images[j, y1, x0, k] * (1 - fx) + images[j, y1, x1, k] * fx
        total += (top * (1 - fy) + low * fy - colour[k]) ** 2
    return total


@njit(nogil=True, cache=True)
def _count(  # noqa: C901 (one sweep, in numba)
    labels: NDArray[np.uint8],
    trust: NDArray[np.uint8],
    images: NDArray[np.uint8],
    flow: NDArray[np.int16],
    frame: int,
    reach: int,
    likeness: np.float32,
    homing: np.float32,
    active: NDArray[np.bool_],
    votes: NDArray[np.float32],
    support: NDArray[np.float32],
) -> None:
    count, rows, columns = labels.shape
    colour = np.empty(3, np.float32)
    share = np.empty(4, np.float32)
    for y in range(rows):
        for x in range(columns):
            if not active[y, x]:
                votes[y, x, labels[frame, y, x]] = 1
                continue
            for k in range(3):
                colour[k] = images[frame, y, x, k]
            for way in range(2):
                px, py, missed = np.float32(x), np.float32(y), np.float32(0)
                j = frame
                for _ in range(reach):
                    if not 0 <= j + 2 * way - 1 < count:
                        break
                    px, py, miss = _step(flow, j, way, px, py)
                    j += 2 * way - 1
                    missed += miss * homing
                    if miss < 0 or missed > LOST:
                        break
                    g = np.exp(-_unlike(images, j, px, py, colour) * likeness - missed)
                    x0, y0 = int(px), int(py)
                    x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
                    fx, fy = np.float32(px - x0), np.float32(py - y0)
                    share[0], share[1] = (1 - fx) * (1 - fy), fx * (1 - fy)
                    share[2], share[3] = (1 - fx) * fy, fx * fy
                    for corner in range(4):
                        row = y0 if corner < 2 else y1
                        column = x0 if corner % 2 == 0 else x1
                        weight = g * share[corner] * trust[j, row, column] * np.float32(1 / 255)
                        votes[y, x, labels[j, row, column]] += weight
                        support[y, x] += weight
            if support[y, x] > 0:
                votes[y, x] /= support[y, x]


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
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean signed distance to an outline as a frame and those around it have it.

    Averaged distances keep corners and thin parts that averaged masks would round off.

    Parameters
    ----------
    distances : ndarray, shape (T, H, W), int8
        `stages.ops.outlines.signed_distance`.
    trust : ndarray, shape (T, h, w), uint8
        In 255ths.
    images, flow : ndarray
        See `count_votes`; of a grid (h, w) that covers the same picture as (H, W).
    frame : int
    places : ndarray, shape (N, 2), int32
        Row and column of each pixel wanted.
    reach, appearance : int, float
        See `count_votes`.
    fading : float, in (0, 1]
        Factor of the weight for each trusted frame that lies between.
    own : float
        Weight of the frame itself; that of a neighbour is 1 at most.

    Returns
    -------
    mean : ndarray, shape (N,), float32
        Units of `distances`.
    weight : ndarray, shape (N,), float32
        Sum of the weights of the neighbours.
    others : ndarray, shape (N,), float32
        Mean of the frames before and of the frames after without the frame itself, each side
        counting the same; NaN where a side has a weight below 1.
    """
    bind_shapes(
        distances=(distances, "T H W"), trust=(trust, "T h w"), images=(images, "T h w 3"),
        flow=(flow, "T 2 2 h w"), places=(places, "N 2"),
    )  # fmt: skip
    out = np.empty((3, len(places)), np.float32)
    pixel = distances.shape[1] / images.shape[1]
    likeness, homing = np.float32(1 / (2 * appearance**2)), np.float32(pixel**2 / RETURN)
    settings = (np.float32(fading), np.float32(own))
    _carry(
        distances, trust, images, flow, frame, places, reach, likeness, homing, *settings, out
    )  # fmt: skip
    return out[0], out[1], out[2]


@njit(nogil=True, cache=True)
def _distance(plane: NDArray[np.int8], x: np.float32, y: np.float32) -> np.float32:
    rows, columns = plane.shape
    x = min(max(x, np.float32(0)), np.float32(columns - 1))
    y = min(max(y, np.float32(0)), np.float32(rows - 1))
    x0, y0 = int(x), int(y)
    x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
    fx, fy = np.float32(x - x0), np.float32(y - y0)
    top = plane[y0, x0] * (1 - fx) + plane[y0, x1] * fx
    low = plane[y1, x0] * (1 - fx) + plane[y1, x1] * fx
    return np.float32(top * (1 - fy) + low * fy)


@njit(nogil=True, cache=True)
def _colour(
    images: NDArray[np.uint8], j: int, x: np.float32, y: np.float32, out: NDArray[np.float32]
) -> None:
    rows, columns = images.shape[1:3]
    x0, y0 = int(x), int(y)
    x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
    fx, fy = np.float32(x - x0), np.float32(y - y0)
    for k in range(3):
        top = images[j, y0, x0, k] * (1 - fx) + images[j, y0, x1, k] * fx
        low = images[j, y1, x0, k] * (1 - fx) + images[j, y1, x1, k] * fx
        out[k] = top * (1 - fy) + low * fy


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
        _colour(images, frame, hx, hy, colour)
        total, weights = own * distances[frame, y, x], np.float32(0)
        sides, others = 0, np.float32(0)
        for way in range(2):
            px, py, missed, fade = hx, hy, np.float32(0), np.float32(1)
            number, weight = np.float32(0), np.float32(0)
            j = frame
            for _ in range(reach):
                if not 0 <= j + 2 * way - 1 < count:
                    break
                px, py, miss = _step(flow, j, way, px, py)
                j += 2 * way - 1
                missed += miss * homing
                if miss < 0 or missed > LOST:
                    break
                tau = trust[j, int(py + half), int(px + half)] * np.float32(1 / 255)
                g = np.exp(-_unlike(images, j, px, py, colour) * likeness - missed) * tau * fade
                if tau > half:
                    fade *= fading
                fx, fy = (px + half) / across - half, (py + half) / down - half
                number += g * _distance(distances[j], fx, fy)
                weight += g
            total += number
            weights += weight
            if weight >= 1:
                others += number / weight
                sides += 1
        out[0, n] = total / max(weights + own, np.float32(1e-6))
        out[1, n] = weights
        out[2, n] = others / 2 if sides == 2 else np.nan
