"""Look-ups in all-pairs correlation: what RAFT and its kin do most often, on a CPU."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

Pyramid = list[NDArray[np.float32]]
"""Correlation of every pixel with all of the other picture, at (H, W), then at half of it, …"""


def correlation_pyramid(volume: NDArray[np.float32], levels: int) -> Pyramid:
    """Return a volume of correlations and its averages over 2 x 2, 4 x 4, … pixels.

    Teed, Deng, "RAFT: Recurrent all-pairs field transforms for optical flow", ECCV 2020, sec. 3.2.

    Parameters
    ----------
    volume : ndarray, shape (N, H, W), float32
        Of each of N pixels of one picture with all pixels of the other.
    levels : int, >= 1
        Members of the pyramid.

    Returns
    -------
    list of ndarray, shapes (N, H // 2**k, W // 2**k), float32
        The first is `volume` itself. A last row or column without a partner is left out.

    Raises
    ------
    ShapeError
        If `volume` is not (N, H, W).
    """
    bind_shapes(volume=(volume, "N H W"))
    pyramid = [volume]
    for _ in range(levels - 1):
        count, rows, columns = pyramid[-1].shape
        coarse = np.empty((count, rows // 2, columns // 2), np.float32)
        _halve_picture(pyramid[-1], coarse)
        pyramid.append(coarse)
    return pyramid


def transposed_volume(volume: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the volume of (j, i) from that of (i, j).

    Parameters
    ----------
    volume : ndarray, shape (N, H, W), float32
        Of each of the N pixels of picture i, row by row, with all pixels of j.
    size : (rows, columns)
        Of picture i; their product is N.

    Returns
    -------
    ndarray, shape (H W, *size), float32
        Of each pixel of j with all pixels of i.

    Raises
    ------
    ShapeError
        If `volume` is not (N, H, W).
    """
    dims = bind_shapes(volume=(volume, "N H W"))
    flat = volume.reshape(dims["N"], -1)
    out = np.empty((flat.shape[1], dims["N"]), np.float32)
    _transpose_pair(flat, out)
    return out.reshape(-1, *size)


def look_up(pyramid: Pyramid, at: NDArray[np.float32], *, radius: int) -> NDArray[np.float32]:
    """Return the correlations around a place, for each pixel and at each level.

    Entry ``(k, dx, dy)`` of pixel n is ``pyramid[k][n]`` at ``at[:, n] / 2**k + (dx, dy)``, with dx
    and dy from -radius to radius, dy fastest: RAFT, sec. 3.2 and its implementation.

    Parameters
    ----------
    pyramid : list of ndarray
        From `correlation_pyramid`.
    at : ndarray, shape (2, N), float32
        Place in the other picture, in pixels of the pyramid's first level, x before y. Any value
        will do, NaN too.
    radius : int, >= 0
        In pixels of each level.

    Returns
    -------
    ndarray, shape (N, levels (2 radius + 1)²), float32
        Bilinear in between; pixels outside the picture count as 0.

    Raises
    ------
    ShapeError
        If the numbers of pixels do not agree.
    """
    for k, level in enumerate(pyramid):
        bind_shapes(at=(at, "2 N"), **{f"level_{k}": (level, "N h w")})
    area = (2 * radius + 1) ** 2
    out = np.empty((at.shape[1], len(pyramid) * area), np.float32)
    for k, level in enumerate(pyramid):
        _sample_patch(level, at, np.float32(0.5**k), radius, out[:, k * area : (k + 1) * area])
    return out


def feature_pyramid(features: NDArray[np.float32], levels: int) -> Pyramid:
    """Return features and their averages over 2 x 2, 4 x 4, … pixels, for `look_up_features`.

    Parameters
    ----------
    features : ndarray, shape (H, W, C), float32
    levels : int, >= 1

    Returns
    -------
    list of ndarray, shapes (H // 2**k, W // 2**k, C), float32
        The first is `features` itself. A last row or column without a partner is left out.

    Raises
    ------
    ShapeError
        If `features` is not (H, W, C).
    """
    bind_shapes(features=(features, "H W C"))
    pyramid = [features]
    for _ in range(levels - 1):
        rows, columns, channels = pyramid[-1].shape
        whole = pyramid[-1][: rows // 2 * 2, : columns // 2 * 2]
        parts = whole.reshape(rows // 2, 2, columns // 2, 2, channels)
        coarse = (parts[:, 0, :, 0] + parts[:, 0, :, 1]) + (parts[:, 1, :, 0] + parts[:, 1, :, 1])
        pyramid.append(coarse * np.float32(0.25))
    return pyramid


def look_up_features(
    own: NDArray[np.float32], pyramid: Pyramid, at: NDArray[np.float32], *, radius: int
) -> NDArray[np.float32]:
    """Return the samples of `look_up`, from features: no volume is made.

    Correlation is linear in the other picture's features, so that its averages are correlations
    with averaged features (RAFT, sec. 3.2, "efficient computation for high resolution images").

    Parameters
    ----------
    own : ndarray, shape (N, C), float32
        Features of each pixel, scaled as those of the volume would be.
    pyramid : list of ndarray
        The other picture's, from `feature_pyramid`.
    at, radius :
        See `look_up`.

    Returns
    -------
    ndarray, shape (N, levels (2 radius + 1)²), float32

    Raises
    ------
    ShapeError
        If the numbers of pixels or of channels do not agree.
    """
    for k, level in enumerate(pyramid):
        bind_shapes(at=(at, "2 N"), own=(own, "N C"), **{f"level_{k}": (level, "h w C")})
    area = (2 * radius + 1) ** 2
    out = np.empty((at.shape[1], len(pyramid) * area), np.float32)
    for k, level in enumerate(pyramid):
        part = out[:, k * area : (k + 1) * area]
        _sample_features(own, level, at, np.float32(0.5**k), radius, part)
    return out


@njit(nogil=True, cache=True)
def _halve_picture(fine: NDArray[np.float32], coarse: NDArray[np.float32]) -> None:
    count, rows, columns = coarse.shape
    for n in range(count):
        for y in range(rows):
            for x in range(columns):
                top = fine[n, 2 * y, 2 * x] + fine[n, 2 * y, 2 * x + 1]
                low = fine[n, 2 * y + 1, 2 * x] + fine[n, 2 * y + 1, 2 * x + 1]
                coarse[n, y, x] = (top + low) * np.float32(0.25)


@njit(nogil=True, cache=True)
def _transpose_pair(values: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    tile = 32
    rows, columns = values.shape
    for j in range(0, columns, tile):
        for i in range(0, rows, tile):
            for b in range(j, min(j + tile, columns)):
                for a in range(i, min(i + tile, rows)):
                    out[b, a] = values[a, b]


@njit(nogil=True, cache=True)
def _sample_patch(
    level: NDArray[np.float32],
    at: NDArray[np.float32],
    scale: np.float32,
    radius: int,
    out: NDArray[np.float32],
) -> None:
    count, rows, columns = level.shape
    side = 2 * radius + 1
    patch = np.empty((side + 1, side + 1), np.float32)
    for n in range(count):
        x, y = at[0, n] * scale, at[1, n] * scale
        near = -radius - 1 < x < columns + radius and -radius - 1 < y < rows + radius
        if not near:  # NaN comes here too
            out[n, :] = 0
            continue
        left, top = int(np.floor(x)), int(np.floor(y))
        _cut_out(level[n], left - radius, top - radius, patch)
        _interpolate_patch(patch, x - np.float32(left), y - np.float32(top), out[n])


@njit(nogil=True, cache=True)
def _sample_features(
    own: NDArray[np.float32],
    level: NDArray[np.float32],
    at: NDArray[np.float32],
    scale: np.float32,
    radius: int,
    out: NDArray[np.float32],
) -> None:
    rows, columns, _ = level.shape
    side = 2 * radius + 1
    patch = np.empty((side + 1, side + 1), np.float32)
    for n in range(len(own)):
        x, y = at[0, n] * scale, at[1, n] * scale
        near = -radius - 1 < x < columns + radius and -radius - 1 < y < rows + radius
        if not near:  # NaN comes here too
            out[n, :] = 0
            continue
        left, top = int(np.floor(x)), int(np.floor(y))
        _correlate_pixel(own[n], level, left - radius, top - radius, patch)
        _interpolate_patch(patch, x - np.float32(left), y - np.float32(top), out[n])


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})  # sums in vectors
def _correlate_pixel(
    own: NDArray[np.float32],
    level: NDArray[np.float32],
    left: int,
    top: int,
    patch: NDArray[np.float32],
) -> None:
    """Correlate a pixel with a square of the other picture, 0 outside."""
    rows, columns, channels = level.shape
    side = len(patch)
    patch[:] = 0
    for b in range(max(0, -top), min(side, rows - top)):
        for a in range(max(0, -left), min(side, columns - left)):
            other, total = level[top + b, left + a], np.float32(0)
            for c in range(channels):
                total += own[c] * other[c]
            patch[b, a] = total


@njit(nogil=True, cache=True)
def _cut_out(picture: NDArray[np.float32], left: int, top: int, patch: NDArray[np.float32]) -> None:
    """Copy a square out of a picture, 0 outside."""
    rows, columns = picture.shape
    side = len(patch)
    if left >= 0 and top >= 0 and left + side <= columns and top + side <= rows:
        for b in range(side):
            for a in range(side):
                patch[b, a] = picture[top + b, left + a]
    else:
        patch[:] = 0
        for b in range(max(0, -top), min(side, rows - top)):
            for a in range(max(0, -left), min(side, columns - left)):
                patch[b, a] = picture[top + b, left + a]


@njit(nogil=True, cache=True)
def _interpolate_patch(
    patch: NDArray[np.float32], fx: np.float32, fy: np.float32, out: NDArray[np.float32]
) -> None:
    """Move a patch by part of a pixel: all samples of a pixel lie at one offset from the grid."""
    side = len(patch) - 1
    unit = np.float32(1)
    for b in range(side):
        for a in range(side + 1):
            patch[b, a] = patch[b, a] * (unit - fy) + patch[b + 1, a] * fy
        for a in range(side):
            out[a * side + b] = patch[b, a] * (unit - fx) + patch[b, a + 1] * fx
