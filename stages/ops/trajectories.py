"""Along the flow from frame to frame, as far as wanted with no other flows than to the next.

A trajectory follows the flow to the next or the previous frame step by step. A step counts as far
as the flow leads back, and a frame as far as it looks like the one that asks; so what is hidden,
or not the same thing, has no say.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.fixed_point import FLOW_STEPS

STEP = np.float32(1 / FLOW_STEPS)
RETURN = 8.0  # squared pixels at working size by which a trajectory may miss its start (2 sigma²)
LOST = 6.0  # exponent from which a trajectory counts for nothing


@njit(nogil=True, cache=True)
def find_corners(
    x: np.float32, y: np.float32, rows: int, columns: int
) -> tuple[int, int, int, int, np.float32, np.float32]:
    """Return the pixels around a place, x0, y0, x1, y1, and its share of the way between them."""
    x0, y0 = int(x), int(y)
    x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
    return x0, y0, x1, y1, np.float32(x - x0), np.float32(y - y0)


@njit(nogil=True, cache=True)
def interpolate_flow(plane: NDArray[np.int16], x: np.float32, y: np.float32) -> np.float32:
    """Return flow in pixels, bilinear."""
    rows, columns = plane.shape
    x0, y0, x1, y1, fx, fy = find_corners(x, y, rows, columns)
    top = plane[y0, x0] * (1 - fx) + plane[y0, x1] * fx
    low = plane[y1, x0] * (1 - fx) + plane[y1, x1] * fx
    return np.float32((top * (1 - fy) + low * fy) * STEP)


@njit(nogil=True, cache=True)
def follow_step(
    flow: NDArray[np.int16], j: int, way: int, x: np.float32, y: np.float32
) -> tuple[np.float32, np.float32, np.float32]:
    """Return where a step leads, and by how much squared it misses its way back; -1 if outside."""
    rows, columns = flow.shape[3:]
    u, v = interpolate_flow(flow[j, way, 0], x, y), interpolate_flow(flow[j, way, 1], x, y)
    px, py = x + u, y + v
    if not (px >= 0 and py >= 0 and px <= columns - 1 and py <= rows - 1):
        return px, py, np.float32(-1)
    there = j + 2 * way - 1
    u += interpolate_flow(flow[there, 1 - way, 0], px, py)
    v += interpolate_flow(flow[there, 1 - way, 1], px, py)
    return px, py, u * u + v * v


@njit(nogil=True, cache=True)
def squared_colour_distance(
    images: NDArray[np.uint8], j: int, x: np.float32, y: np.float32, colour: NDArray[np.float32]
) -> np.float32:
    """Return the squared distance of a colour to that of frame j at a place."""
    rows, columns = images.shape[1:3]
    x0, y0, x1, y1, fx, fy = find_corners(x, y, rows, columns)
    total = np.float32(0)
    for k in range(3):
        top = images[j, y0, x0, k] * (1 - fx) + images[j, y0, x1, k] * fx
        low = images[j, y1, x0, k] * (1 - fx) + images[j, y1, x1, k] * fx
        total += (top * (1 - fy) + low * fy - colour[k]) ** 2
    return total


@njit(nogil=True, cache=True)
def read_colour(
    images: NDArray[np.uint8], j: int, x: np.float32, y: np.float32, out: NDArray[np.float32]
) -> None:
    """Write the colour of frame j at a place, bilinear."""
    rows, columns = images.shape[1:3]
    x0, y0, x1, y1, fx, fy = find_corners(x, y, rows, columns)
    for k in range(3):
        top = images[j, y0, x0, k] * (1 - fx) + images[j, y0, x1, k] * fx
        low = images[j, y1, x0, k] * (1 - fx) + images[j, y1, x1, k] * fx
        out[k] = top * (1 - fy) + low * fy
