"""Tiles of a mask: where it has one value for long, there is nothing to vote about."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

TILE = 16  # pixels


def flat_tiles(mask: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Mark the tiles of 16 x 16 pixels within which, and one beyond, the mask has one value.

    Parameters
    ----------
    mask : ndarray, shape (H, W, C), float32

    Returns
    -------
    ndarray, shape (ceil(H/16), ceil(W/16)), bool
    """
    dims = bind_shapes(mask=(mask, "H W C"))
    out = np.empty((-(-dims["H"] // TILE), -(-dims["W"] // TILE)), np.bool_)
    _mark_flat(mask, out)
    return out


@njit(nogil=True, cache=True)
def _mark_flat(mask: NDArray[np.float32], out: NDArray[np.bool_]) -> None:
    rows, columns, classes = mask.shape
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            same = True
            for y in range(i * TILE, min((i + 1) * TILE + 1, rows)):
                for x in range(j * TILE, min((j + 1) * TILE + 1, columns)):
                    for c in range(classes):
                        same &= mask[y, x, c] == mask[i * TILE, j * TILE, c]
                if not same:
                    break
            out[i, j] = same


@njit(nogil=True, cache=True)
def mark_active(
    masks: tuple[NDArray[np.float32], ...],
    flat: tuple[NDArray[np.bool_], ...],
    flows: tuple[NDArray[np.float32], ...],
    active: NDArray[np.bool_],
) -> None:
    """Mark the tiles where some neighbour may have another value than the frame itself.

    The others are left alone: wherever the flow leads from them, it meets flat tiles of the very
    same value.
    """
    tiles_down, tiles_across = active.shape
    for i in range(tiles_down):
        for j in range(tiles_across):
            active[i, j] = not flat[0][i, j]
            for k in range(len(flows)):
                if not active[i, j]:
                    active[i, j] = _may_differ(masks[0], masks[k + 1], flat[k + 1], flows[k], i, j)


@njit(nogil=True, cache=True)
def _may_differ(
    own: NDArray[np.float32],
    mask: NDArray[np.float32],
    flat: NDArray[np.bool_],
    flow: NDArray[np.float32],
    i: int,
    j: int,
) -> bool:
    """Whether the flow leads from a flat tile to anything but flat tiles of its value."""
    rows, columns, classes = mask.shape
    _, height, width = flow.shape
    down, across = height / rows, width / columns
    # The cells of the flow's grid that the tile's pixels are interpolated from.
    top = max(int((i * TILE + 0.5) * down - 0.5), 0)
    bottom = min(int(((i + 1) * TILE - 0.5) * down - 0.5) + 2, height)
    left = max(int((j * TILE + 0.5) * across - 0.5), 0)
    right = min(int(((j + 1) * TILE - 0.5) * across - 0.5) + 2, width)
    u_least = u_most = flow[0, top, left]
    v_least = v_most = flow[1, top, left]
    for y in range(top, bottom):
        for x in range(left, right):
            u_least, u_most = min(u_least, flow[0, y, x]), max(u_most, flow[0, y, x])
            v_least, v_most = min(v_least, flow[1, y, x]), max(v_most, flow[1, y, x])
    # Where its pixels lead, a pixel more for rounding; what leaves the picture has no vote.
    y0 = max(int(np.floor(i * TILE + v_least / down)) - 1, 0) // TILE
    y1 = min(int(np.ceil(min((i + 1) * TILE, rows) + v_most / down)) + 1, rows) - 1
    x0 = max(int(np.floor(j * TILE + u_least / across)) - 1, 0) // TILE
    x1 = min(int(np.ceil(min((j + 1) * TILE, columns) + u_most / across)) + 1, columns) - 1
    for y in range(y0, y1 // TILE + 1):
        for x in range(x0, x1 // TILE + 1):
            if not flat[y, x]:
                return True
            for c in range(classes):
                if mask[y * TILE, x * TILE, c] != own[i * TILE, j * TILE, c]:
                    return True
    return False


@njit(nogil=True, cache=True)
def end_of_run(active: NDArray[np.bool_], start: int, columns: int) -> int:
    """Return where a run of tiles that are all active, or all not, ends; in pixels."""
    j = start // TILE
    while j + 1 < active.size and active[j + 1] == active[start // TILE]:
        j += 1
    return min((j + 1) * TILE, columns)
