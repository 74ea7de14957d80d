"""How the frames around label the pixels of a frame, along the flow."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes
from stages.ops.trajectories import LOST, RETURN, find_corners, follow_step, squared_colour_distance


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
        To the frame before and the frame after, in 1/64 px, x before y.
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
                    px, py, miss = follow_step(flow, j, way, px, py)
                    j += 2 * way - 1
                    missed += miss * homing
                    if miss < 0 or missed > LOST:
                        break
                    g = np.exp(
                        -squared_colour_distance(images, j, px, py, colour) * likeness - missed
                    )
                    x0, y0, x1, y1, fx, fy = find_corners(px, py, rows, columns)
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
