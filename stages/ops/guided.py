"""The 3D weighted guided filter: masks follow the picture's edges, in space and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

Kernel = tuple[int, int]
"""How many rows, columns or frames a box reaches (before, after) its centre."""


def kernel_reach(size: int) -> Kernel:
    """Return (before, after) of a box of `size` entries; an even box leans to the past."""
    return size // 2, size - 1 - size // 2


def fit_coefficients(
    guide: NDArray[np.float32] | NDArray[np.uint8],
    mask: NDArray[np.float32] | NDArray[np.uint8],
    weight: NDArray[np.float32],
    *,
    size: int,
    eps: float,
) -> NDArray[np.float32]:
    """Fit each class's mask as an affine function of the guide in every box.

    In each box k over all N frames and `size` x `size` pixels, minimises
    ``Σ w (a·I + b − p)² + ε|a|²`` [1]_ [2]_, so that
    ``a = (Cov_w(I) + εU)⁻¹ Cov_w(I, p)`` and ``b = E_w[p] − a·E_w[I]``. Boxes are cut at the
    border.

    Parameters
    ----------
    guide : ndarray, shape (N, H, W, 3), float32 or uint8
        RGB, roughly centred on 0 (the sums are then exact enough), range within [-1, 1]; 8-bit
        values v stand for v/255 - 0.5.
    mask : ndarray, shape (N, H, W, C), float32 or uint8
        Probability of each class, [0, 1]; 8-bit values in 255ths.
    weight : ndarray, shape (N, H, W), float32
        Trust in each voxel, >= 0. Where a whole box has none, a = 0 and b = 0.
    size : int, >= 1
        Rows and columns of a box; an even one reaches one further up and left.
    eps : float, > 0
        Guide variance under which a box counts as flat.

    Returns
    -------
    ndarray, shape (H, W, C, 4), float32
        (a_r, a_g, a_b, b) of the box around each pixel. Cost does not depend on `size`.

    Raises
    ------
    ShapeError
        If sizes do not agree.

    References
    ----------
    .. [1] He, Sun, Tang, "Guided image filtering", TPAMI 2013, eq. 18-20 (colour guide).
    .. [2] Liba et al., "Sky optimization", CVPRW 2020, sec. 3.3 (weights).
    """
    dims = bind_shapes(guide=(guide, "N H W 3"), mask=(mask, "N H W C"), weight=(weight, "N H W"))
    out = np.empty((dims["H"], dims["W"], dims["C"], 4), np.float32)
    before, after = kernel_reach(size)
    units = *_unit_factors(guide), _unit_factors(mask)[0]
    _fit_boxes(guide, mask, weight, units, before, after, eps, out)
    return out


def mean_over_boxes(coefficients: NDArray[np.float32], *, size: int) -> NDArray[np.float32]:
    """Return for each pixel the mean over all the boxes that contain it.

    Parameters
    ----------
    coefficients : ndarray, shape (H, W, C, 4), float32
        From `fit_coefficients` with the same `size`. An even box is mirrored here: the boxes that
        contain a pixel reach one further down and right.

    Returns
    -------
    ndarray, shape (H, W, C, 4), float32
    """
    dims = bind_shapes(coefficients=(coefficients, "H W C 4"))
    flat = coefficients.reshape(dims["H"], dims["W"], dims["C"] * 4)
    out = np.empty_like(flat)
    before, after = kernel_reach(size)
    _box_mean(flat, after, before, out)
    return out.reshape(coefficients.shape)


def apply_coefficients(
    fits: Sequence[NDArray[np.float32]], guide: NDArray[np.float32] | NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return ``a·I + b``, clipped to [0, 1] and scaled where foreground classes sum to over 1.

    Parameters
    ----------
    fits : sequence of ndarray, shape (H, W, C, 4), float32
        Coefficients of the boxes that hold the frame; a and b are their mean.
    guide : ndarray, shape (H, W, 3), float32 or uint8
        In the units that the fits used.

    Returns
    -------
    ndarray, shape (H, W, C), float32
        C foreground classes; the background is what is left to 1.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    for fit in fits:
        bind_shapes(
            first=(fits[0], "H W C 4"), coefficients=(fit, "H W C 4"), guide=(guide, "H W 3")
        )
    out = np.empty(fits[0].shape[:3], np.float32)
    _apply_boxes(tuple(fits), guide, _unit_factors(guide), np.float32(1 / len(fits)), out)
    return out


def _unit_factors(values: NDArray[Any]) -> tuple[np.float32, np.float32]:
    """Return factor and summand from stored values to those of the equations."""
    if values.dtype == np.uint8:
        return np.float32(1 / 255), np.float32(-0.5)
    return np.float32(1), np.float32(0)


@njit(nogil=True, cache=True)
def _weighted_products(
    guide: NDArray[np.float32],
    mask: NDArray[np.float32],
    weight: NDArray[np.float32],
    units: tuple[np.float32, np.float32, np.float32],
    y: int,
    row: NDArray[np.float64],
) -> None:
    """Sum over the N frames, in order: w, wI (3), wII (6), then wp, wIp (3) of each class."""
    frames, _, columns, classes = mask.shape
    factor, summand, of_mask = units
    row[:] = 0.0
    for n in range(frames):
        for x in range(columns):
            w = np.float64(weight[n, y, x])
            r = guide[n, y, x, 0] * factor + summand
            g = guide[n, y, x, 1] * factor + summand
            b = guide[n, y, x, 2] * factor + summand
            wr, wg, wb = w * r, w * g, w * b
            row[x, 0] += w
            row[x, 1] += wr
            row[x, 2] += wg
            row[x, 3] += wb
            row[x, 4] += wr * r
            row[x, 5] += wr * g
            row[x, 6] += wr * b
            row[x, 7] += wg * g
            row[x, 8] += wg * b
            row[x, 9] += wb * b
            for k in range(classes):
                p = mask[n, y, x, k] * of_mask
                row[x, 10 + 4 * k] += w * p
                row[x, 11 + 4 * k] += wr * p
                row[x, 12 + 4 * k] += wg * p
                row[x, 13 + 4 * k] += wb * p


@njit(nogil=True, cache=True)
def _solve_box(sums: NDArray[np.float64], eps: float, out: NDArray[np.float32]) -> None:
    """Write a and b of one box from its sums (symmetric 3x3 system by its adjugate)."""
    if sums[0] <= 0.0:
        out[:] = 0.0
        return
    n = 1.0 / sums[0]
    mr, mg, mb = sums[1] * n, sums[2] * n, sums[3] * n
    rr, rg, rb = sums[4] * n - mr * mr + eps, sums[5] * n - mr * mg, sums[6] * n - mr * mb
    gg, gb, bb = sums[7] * n - mg * mg + eps, sums[8] * n - mg * mb, sums[9] * n - mb * mb + eps
    i_rr, i_rg, i_rb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    i_gg, i_gb, i_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    scale = 1.0 / (rr * i_rr + rg * i_rg + rb * i_rb)
    for k in range(out.shape[0]):
        p = sums[10 + 4 * k] * n
        cr = sums[11 + 4 * k] * n - mr * p
        cg = sums[12 + 4 * k] * n - mg * p
        cb = sums[13 + 4 * k] * n - mb * p
        ar = (i_rr * cr + i_rg * cg + i_rb * cb) * scale
        ag = (i_rg * cr + i_gg * cg + i_gb * cb) * scale
        ab = (i_rb * cr + i_gb * cg + i_bb * cb) * scale
        out[k, 0], out[k, 1], out[k, 2] = ar, ag, ab
        out[k, 3] = p - ar * mr - ag * mg - ab * mb


@njit(nogil=True, cache=True)
def _fit_boxes(  # noqa: C901 (one sweep, in numba)
    guide: NDArray[np.float32],
    mask: NDArray[np.float32],
    weight: NDArray[np.float32],
    units: tuple[np.float32, np.float32, np.float32],
    before: int,
    after: int,
    eps: float,
    out: NDArray[np.float32],
) -> None:
    _, rows, columns, classes = mask.shape
    size, terms = before + after + 1, 10 + 4 * classes
    ring = np.zeros((size, columns, terms))  # the rows inside the box, to be taken out again
    below = np.zeros((columns, terms))  # their sum, in float64: it runs the whole height
    ahead = np.zeros((columns + 1, terms))  # running sum along the row
    sums = np.empty(terms)
    for lead in range(rows + after):
        row = ring[lead % size]
        if lead >= size:
            below -= row
        if lead < rows:
            _weighted_products(guide, mask, weight, units, lead, row)
            below += row
        else:
            row[:] = 0.0
        y = lead - after
        if y < 0:
            continue
        for x in range(columns):
            for k in range(terms):
                ahead[x + 1, k] = ahead[x, k] + below[x, k]
        for x in range(columns):
            first, last = max(x - before, 0), min(x + after, columns - 1) + 1
            for k in range(terms):
                sums[k] = ahead[last, k] - ahead[first, k]
            _solve_box(sums, eps, out[y, x])


@njit(nogil=True, cache=True)
def _box_mean(  # noqa: C901 (one sweep, in numba)
    values: NDArray[np.float32], before: int, after: int, out: NDArray[np.float32]
) -> None:
    rows, columns, terms = values.shape
    below = np.zeros((columns, terms))
    ahead = np.zeros((columns + 1, terms))  # running sum along the row
    for lead in range(rows + after):
        if lead < rows:
            below += values[lead]
        if lead - before - after - 1 >= 0:
            below -= values[lead - before - after - 1]
        y = lead - after
        if y < 0:
            continue
        height = min(y + after, rows - 1) - max(y - before, 0) + 1
        for x in range(columns):
            for k in range(terms):
                ahead[x + 1, k] = ahead[x, k] + below[x, k]
        for x in range(columns):
            first, last = max(x - before, 0), min(x + after, columns - 1) + 1
            share = 1.0 / (height * (last - first))
            for k in range(terms):
                out[y, x, k] = (ahead[last, k] - ahead[first, k]) * share


@njit(nogil=True, cache=True)
def _apply_boxes(
    fits: tuple[NDArray[np.float32], ...],
    guide: NDArray[np.float32],
    units: tuple[np.float32, np.float32],
    share: np.float32,
    out: NDArray[np.float32],
) -> None:
    rows, columns, classes = out.shape
    factor, summand = units
    for y in range(rows):
        for x in range(columns):
            r = guide[y, x, 0] * factor + summand
            g = guide[y, x, 1] * factor + summand
            b = guide[y, x, 2] * factor + summand
            total = np.float32(0)
            for k in range(classes):
                first = fits[0][y, x, k]
                ar, ag, ab, rest = first[0], first[1], first[2], first[3]
                for n in range(1, len(fits)):
                    more = fits[n][y, x, k]
                    ar, ag, ab, rest = ar + more[0], ag + more[1], ab + more[2], rest + more[3]
                ar, ag, ab, rest = ar * share, ag * share, ab * share, rest * share
                q = min(max(ar * r + ag * g + ab * b + rest, np.float32(0)), np.float32(1))
                out[y, x, k] = q
                total += q
            if total > 1:
                for k in range(classes):
                    out[y, x, k] /= total


def upsample_mask(
    mask: NDArray[np.float32],
    guide: NDArray[np.float32],
    full_guide: NDArray[np.float32],
    *,
    size: int,
    eps: float,
) -> NDArray[np.float32]:
    """Return a mask at the size of a larger picture, with that picture's edges.

    The mask's coefficients on the small guide are applied to what the large guide has beyond the
    small one: ``q = up(p) + up(a)·(I_full − up(I))``. At the same size it returns the mask itself.

    Parameters
    ----------
    mask : ndarray, shape (h, w, C), float32
    guide : ndarray, shape (h, w, 3), float32
        RGB, centred, see `fit_coefficients`.
    full_guide : ndarray, shape (H, W, 3), float32
        The same picture in full.
    size, eps :
        Of the boxes on the small guide; see `fit_coefficients`.

    Returns
    -------
    ndarray, shape (H, W, C), float32, in [0, 1]

    References
    ----------
    He, Sun, "Fast guided filter", 2015 (bilinear a and b); the form as a correction is ours.
    """
    dims = bind_shapes(
        mask=(mask, "h w C"), guide=(guide, "h w 3"), full_guide=(full_guide, "H W 3")
    )
    small, full = (dims["h"], dims["w"]), (dims["H"], dims["W"])
    if small == full:
        return mask
    ones = np.ones((1, *small), np.float32)
    fitted = fit_coefficients(guide[None], mask[None], ones, size=size, eps=eps)
    slopes = np.ascontiguousarray(mean_over_boxes(fitted, size=size)[..., :3])
    detail = full_guide - _enlarged_coefficients(guide, full)
    out = np.empty((*full, dims["C"]), np.float32)
    for k in range(dims["C"]):
        correction = np.einsum("hwc,hwc->hw", _enlarged_coefficients(slopes[:, :, k], full), detail)
        out[..., k] = np.clip(_enlarged_coefficients(mask[..., k], full) + correction, 0, 1)
    return out


def _enlarged_coefficients(
    values: NDArray[np.float32], size: tuple[int, int]
) -> NDArray[np.float32]:
    wide: NDArray[np.float32] = cv2.resize(
        np.ascontiguousarray(values), size[::-1], interpolation=cv2.INTER_LINEAR
    )
    return wide
