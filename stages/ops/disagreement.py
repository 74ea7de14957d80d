"""Where frames along a trajectory may be labelled differently, so that it pays to ask them."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes
from stages.ops.trajectories import STEP


def mark_disagreement(
    uniform: NDArray[np.int16], flow: NDArray[np.int16], frame: int, *, reach: int
) -> NDArray[np.bool_]:
    """Mark the blocks of 4 x 4 pixels that some frame within reach may label differently.

    Parameters
    ----------
    uniform : ndarray, shape (T, h, w), int16
        Labels, as `uniform_labels` gives them for each frame: along a block's trajectory they have
        to be the same as far around as its margin.
    flow : ndarray, shape (T, 2, 2, h, w), int16
        To the frame before and the frame after, in 1/64 px, x before y.
    frame : int
        Index in T.
    reach : int
        Frames to either side.

    Returns
    -------
    ndarray, shape (h, w), bool
    """
    bind_shapes(uniform=(uniform, "T h w"), flow=(flow, "T 2 2 h w"))
    out = np.zeros(uniform.shape[1:], np.bool_)
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
