"""Agreement of labels along a flow of a coarser grid, counted where something can differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.fixed_point import FLOW_STEPS
from stages.ops.shapes import bind_shapes

TILE = 16  # pixels
MIXED = -1  # label of a tile that has several


def tile_labels(labels: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return the one label of each tile of 16 x 16 pixels, `MIXED` where there are several.

    Parameters
    ----------
    labels : ndarray, shape (H, W), uint8

    Returns
    -------
    ndarray, shape (ceil(H/16), ceil(W/16)), int16
    """
    dims = bind_shapes(labels=(labels, "H W"))
    out = np.empty((-(-dims["H"] // TILE), -(-dims["W"] // TILE)), np.int16)
    _find_labels(labels, out)
    return out


def count_agreement(
    pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]],
    tiles: Sequence[tuple[NDArray[np.int16], NDArray[np.int16]]],
    flow: NDArray[np.int16],
    visible: NDArray[np.bool_],
    count: int,
) -> NDArray[np.int64]:
    """Count by label what `stages.metrics.stability.label_agreement` counts, for several systems.

    A tile of one label from which the flow leads to tiles of one label is counted as a whole. The
    flow is read bilinearly, visibility at the nearest pixel of its grid.

    Parameters
    ----------
    pairs : sequence of (labels, others), shape (H, W), uint8
        For each system its labels of frames i and j.
    tiles : sequence of (labels, others)
        Of the same frames, by `tile_labels`.
    flow : ndarray, shape (2, h, w), int16
        From i to j in 1/64 px of its own grid, which covers the same picture.
    visible : ndarray, shape (h, w), bool
        Pixels of i that j shows; one that lands outside the image is not counted.
    count : int
        Labels are under it.

    Returns
    -------
    ndarray, shape (systems, count, 3), int64
        Counted pixels that have a label in frame i, in frame j where the flow leads, and in both.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    bind_shapes(flow=(flow, "2 h w"), visible=(visible, "h w"))
    for labels, others in pairs:
        bind_shapes(first=(pairs[0][0], "H W"), labels=(labels, "H W"), others=(others, "H W"))
    out = np.zeros((len(pairs), count, 3), np.int64)
    (rows, columns), (height, width) = pairs[0][0].shape, visible.shape
    nearest = (
        np.minimum(np.arange(rows) * height // rows, height - 1),
        np.minimum(np.arange(columns) * width // columns, width - 1),
    )
    reach = np.empty((*tiles[0][0].shape, 4), np.int32)
    shown = np.empty(reach.shape[:2], np.int32)
    _survey_tiles(flow, visible, nearest, reach, shown)
    for k, (own, other) in enumerate(pairs):
        _count_tiles(own, other, *tiles[k], reach, shown, flow, visible, nearest, out[k])
    return out


@njit(nogil=True, cache=True)
def _find_labels(labels: NDArray[np.uint8], out: NDArray[np.int16]) -> None:
    rows, columns = labels.shape
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            first = labels[i * TILE, j * TILE]
            differ = False
            for y in range(i * TILE, min((i + 1) * TILE, rows)):
                for x in range(j * TILE, min((j + 1) * TILE, columns)):
                    differ |= labels[y, x] != first
                if differ:
                    break
            out[i, j] = MIXED if differ else first


@njit(nogil=True, cache=True)
def _cells(start: int, stop: int, size: int, grid: int) -> tuple[int, int]:
    """Return the cells of a coarser axis that pixels `start` to `stop` are interpolated from."""
    share = grid / size
    first = max(int(np.floor((start + 0.5) * share - 0.5)), 0)
    last = min(int(np.floor((stop - 0.5) * share - 0.5)) + 2, grid)
    return first, max(last, first + 1)


@njit(nogil=True, cache=True)
def _bounds(
    plane: NDArray[np.int16], first: int, last: int, left: int, right: int
) -> tuple[int, int]:
    """Return the least and the most of a part of a plane."""
    least = most = plane[first, left]
    for y in range(first, last):
        for x in range(left, right):
            least, most = min(least, plane[y, x]), max(most, plane[y, x])
    return least, most


@njit(nogil=True, cache=True)
def _survey_tiles(
    flow: NDArray[np.int16],
    visible: NDArray[np.bool_],
    nearest: tuple[NDArray[np.int64], NDArray[np.int64]],
    reach: NDArray[np.int32],
    shown: NDArray[np.int32],
) -> None:
    """Write for each tile the tiles that the flow leads to, and how many pixels are visible.

    First and last row and column of tiles; -1 for the first row where some pixel may land outside.
    """
    rows, columns = len(nearest[0]), len(nearest[1])
    _, height, width = flow.shape
    along, down = columns / width / FLOW_STEPS, rows / height / FLOW_STEPS
    for i in range(reach.shape[0]):
        top, bottom = i * TILE, min((i + 1) * TILE, rows)
        y0, y1 = _cells(top, bottom, rows, height)
        for j in range(reach.shape[1]):
            left, right = j * TILE, min((j + 1) * TILE, columns)
            x0, x1 = _cells(left, right, columns, width)
            u_least, u_most = _bounds(flow[0], y0, y1, x0, x1)
            v_least, v_most = _bounds(flow[1], y0, y1, x0, x1)
            # Where places are rounded to, with a little to spare.
            first_x, last_x = left + u_least * along + 0.49, right - 1 + u_most * along + 0.51
            first_y, last_y = top + v_least * down + 0.49, bottom - 1 + v_most * down + 0.51
            reach[i, j, 0] = -1
            if first_x >= 0 and first_y >= 0 and last_x < columns and last_y < rows:
                reach[i, j, 0], reach[i, j, 1] = int(first_y) // TILE, int(last_y) // TILE
                reach[i, j, 2], reach[i, j, 3] = int(first_x) // TILE, int(last_x) // TILE
            shown[i, j] = _count_visible(visible, nearest[0][top:bottom], nearest[1][left:right])


@njit(nogil=True, cache=True)
def _one_label(tiles: NDArray[np.int16], reach: NDArray[np.int32]) -> int:
    """Return the one label of some tiles; `MIXED` if there are several, or if it may be outside."""
    if reach[0] < 0:
        return MIXED
    label = tiles[reach[0], reach[2]]
    for i in range(reach[0], reach[1] + 1):
        for j in range(reach[2], reach[3] + 1):
            if tiles[i, j] != label:
                return MIXED
    return int(label)


@njit(nogil=True, cache=True)
def _count_visible(
    visible: NDArray[np.bool_], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> int:
    """Count the visible pixels of a tile whose rows and columns lie at those of `visible`."""
    total, in_row = 0, 0
    for k in range(len(rows)):
        if k == 0 or rows[k] != rows[k - 1]:
            in_row = 0
            for x in columns:
                in_row += visible[rows[k], x]
        total += in_row
    return total


@njit(nogil=True, cache=True)
def _count_pixels(
    labels: NDArray[np.uint8],
    others: NDArray[np.uint8],
    flow: NDArray[np.int16],
    visible: NDArray[np.bool_],
    nearest: tuple[NDArray[np.int64], NDArray[np.int64]],
    box: tuple[int, int, int, int],
    counts: NDArray[np.int64],
) -> None:
    """Count a tile pixel by pixel."""
    rows, columns = labels.shape
    _, height, width = flow.shape
    down, across = height / rows, width / columns
    along, below = np.float32(1 / across / FLOW_STEPS), np.float32(1 / down / FLOW_STEPS)
    for y in range(box[0], box[1]):
        v = min(max((y + 0.5) * down - 0.5, 0.0), height - 1.0)
        top = int(v)
        low, fy = min(top + 1, height - 1), np.float32(v - top)
        for x in range(box[2], box[3]):
            if not visible[nearest[0][y], nearest[1][x]]:
                continue
            u = min(max((x + 0.5) * across - 0.5, 0.0), width - 1.0)
            left = int(u)
            right, fx = min(left + 1, width - 1), np.float32(u - left)
            a, b = (1 - fx) * (1 - fy), fx * (1 - fy)
            c, d = (1 - fx) * fy, fx * fy
            dx = flow[0, top, left] * a + flow[0, top, right] * b
            dx += flow[0, low, left] * c + flow[0, low, right] * d
            dy = flow[1, top, left] * a + flow[1, top, right] * b
            dy += flow[1, low, left] * c + flow[1, low, right] * d
            px = int(np.floor(x + dx * along + np.float32(0.5)))
            py = int(np.floor(y + dy * below + np.float32(0.5)))
            if 0 <= px < columns and 0 <= py < rows:
                own, other = labels[y, x], others[py, px]
                counts[own, 0] += 1
                counts[other, 1] += 1
                if own == other:
                    counts[own, 2] += 1


@njit(nogil=True, cache=True)
def _count_tiles(
    labels: NDArray[np.uint8],
    others: NDArray[np.uint8],
    own_tiles: NDArray[np.int16],
    other_tiles: NDArray[np.int16],
    reach: NDArray[np.int32],
    shown: NDArray[np.int32],
    flow: NDArray[np.int16],
    visible: NDArray[np.bool_],
    nearest: tuple[NDArray[np.int64], NDArray[np.int64]],
    counts: NDArray[np.int64],
) -> None:
    rows, columns = labels.shape
    for i in range(own_tiles.shape[0]):
        for j in range(own_tiles.shape[1]):
            top, left = i * TILE, j * TILE
            bottom, right = min(top + TILE, rows), min(left + TILE, columns)
            box = (top, bottom, left, right)
            own, other = int(own_tiles[i, j]), MIXED
            if own != MIXED:
                other = _one_label(other_tiles, reach[i, j])
            if other == MIXED:
                _count_pixels(labels, others, flow, visible, nearest, box, counts)
                continue
            counts[own, 0] += shown[i, j]
            counts[other, 1] += shown[i, j]
            if own == other:
                counts[own, 2] += shown[i, j]
