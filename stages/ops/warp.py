"""Flow fields: to another size, one after the other, and sampling along them."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes


def resize_flow(flow: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return `flow` on a grid of another size, in pixels of that grid.

    Parameters
    ----------
    flow : ndarray, shape (2, H, W), float32
        Pixels of its own grid, x before y.
    size : (rows, columns)
        The grid wanted; the same scene is taken to fill both.

    Returns
    -------
    ndarray, shape (2, *size), float32
        Bilinear in between, the border repeated; `flow` itself where the size is the same.

    Raises
    ------
    ShapeError
        If `flow` is not (2, H, W).
    """
    dims = bind_shapes(flow=(flow, "2 H W"))
    rows, columns = size
    if (dims["H"], dims["W"]) == (rows, columns):
        return flow
    out = np.empty((2, rows, columns), np.float32)
    for axis, scale in enumerate((columns / dims["W"], rows / dims["H"])):
        plane = cv2.resize(flow[axis], (columns, rows), interpolation=cv2.INTER_LINEAR)
        np.multiply(plane, np.float32(scale), out=out[axis])
    return out


def compose_flows(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the motion of going along `first` and then along `second`.

    ``F[i→k](x) = F[i→j](x) + F[j→k](x + F[i→j](x))``.

    Parameters
    ----------
    first, second : ndarray, shape (2, H, W), float32
        Flow from i to j on i's grid and from j to k on j's grid, pixels, x before y.

    Returns
    -------
    ndarray, shape (2, H, W), float32
        On i's grid. Where `first` leaves the image, `second` is read at the nearest border pixel,
        so that what has left goes on as its surroundings do.

    Raises
    ------
    ShapeError
        If the two differ in shape or are not (2, H, W).
    """
    bind_shapes(first=(first, "2 H W"), second=(second, "2 H W"))
    out = np.empty_like(first)
    _compose_pixels(first, second, out)
    return out


@njit(nogil=True, cache=True)
def _compose_pixels(
    first: NDArray[np.float32], second: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    _, rows, columns = first.shape
    for y in range(rows):
        for x in range(columns):
            u, v = first[0, y, x], first[1, y, x]
            px = min(max(x + u, np.float32(0)), np.float32(columns - 1))
            py = min(max(y + v, np.float32(0)), np.float32(rows - 1))
            x0, y0 = int(px), int(py)
            x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
            fx, fy = px - x0, py - y0
            for axis in range(2):
                top = second[axis, y0, x0] * (1 - fx) + second[axis, y0, x1] * fx
                low = second[axis, y1, x0] * (1 - fx) + second[axis, y1, x1] * fx
                out[axis, y, x] = first[axis, y, x] + top * (1 - fy) + low * fy


def warp(values: NDArray[np.float32], flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `values` of frame j seen from frame i's grid: ``values(x + F[i→j](x))``.

    Parameters
    ----------
    values : ndarray, shape (H, W, C), float32
        On frame j's grid.
    flow : ndarray, shape (2, H, W), float32
        From i to j, pixels, x before y.

    Returns
    -------
    ndarray, shape (H, W, C), float32
        Bilinear; NaN where the sample lies outside the image.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    dims = bind_shapes(values=(values, "H W C"), flow=(flow, "2 H W"))
    rows, columns = np.mgrid[: dims["H"], : dims["W"]].astype(np.float32)
    x, y = columns + flow[0], rows + flow[1]
    inside = (x >= 0) & (y >= 0) & (x <= dims["W"] - 1) & (y <= dims["H"] - 1)
    out = np.full(values.shape, np.nan, np.float32)
    x, y = x[inside], y[inside]
    x0, y0 = x.astype(np.intp), y.astype(np.intp)
    x1, y1 = np.minimum(x0 + 1, dims["W"] - 1), np.minimum(y0 + 1, dims["H"] - 1)
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    top = values[y0, x0] * (1 - fx) + values[y0, x1] * fx
    low = values[y1, x0] * (1 - fx) + values[y1, x1] * fx
    out[inside] = top * (1 - fy) + low * fy
    return out
