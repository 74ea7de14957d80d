"""Which pixels of a frame another frame shows too."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes


def visible(
    forward: NDArray[np.float32],
    backward: NDArray[np.float32],
    *,
    slack: float = 0.01,
    floor: float = 0.5,
) -> NDArray[np.bool_]:
    """Mark the pixels of frame i that come home after going to frame j and back.

    With ``w = F[i→j](x)`` and ``w' = F[j→i](x + w)`` (bilinear), True where ``x + w`` lies inside
    the image and ``|w + w'|² < slack · (|w|² + |w'|²) + floor`` [1]_.

    Parameters
    ----------
    forward, backward : ndarray, shape (2, H, W), float32
        Flow from i to j on i's grid and from j to i on j's grid, pixels, x before y.
    slack : float, >= 0
        Error allowed per squared pixel of motion.
    floor : float, >= 0
        Error always allowed, in squared pixels.

    Returns
    -------
    ndarray, shape (H, W), bool

    Raises
    ------
    ShapeError
        If the two flows differ in shape or are not (2, H, W).

    References
    ----------
    .. [1] Sundaram, Brox, Keutzer, "Dense point trajectories by GPU-accelerated large displacement
       optical flow", ECCV 2010; constants as in Ruder, Dosovitskiy, Brox, "Artistic style transfer
       for videos", GCPR 2016, eq. 5.
    """
    bind_shapes(forward=(forward, "2 H W"), backward=(backward, "2 H W"))
    out = np.empty(forward.shape[1:], np.bool_)
    _visible_pixels(forward, backward, np.float32(slack), np.float32(floor), out)
    return out


@njit(nogil=True, cache=True)
def _visible_pixels(
    forward: NDArray[np.float32],
    backward: NDArray[np.float32],
    slack: np.float32,
    floor: np.float32,
    out: NDArray[np.bool_],
) -> None:
    _, rows, columns = forward.shape
    for y in range(rows):
        for x in range(columns):
            u, v = forward[0, y, x], forward[1, y, x]
            px, py = x + u, y + v
            if not (px >= 0 and py >= 0 and px <= columns - 1 and py <= rows - 1):
                out[y, x] = False
                continue
            x0, y0 = int(px), int(py)
            x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
            fx, fy = np.float32(px - x0), np.float32(py - y0)
            a, b = (1 - fx) * (1 - fy), fx * (1 - fy)
            c, d = (1 - fx) * fy, fx * fy
            bu = backward[0, y0, x0] * a + backward[0, y0, x1] * b
            bu += backward[0, y1, x0] * c + backward[0, y1, x1] * d
            bv = backward[1, y0, x0] * a + backward[1, y0, x1] * b
            bv += backward[1, y1, x0] * c + backward[1, y1, x1] * d
            gap = (u + bu) * (u + bu) + (v + bv) * (v + bv)
            out[y, x] = gap < slack * (u * u + v * v + bu * bu + bv * bv) + floor
