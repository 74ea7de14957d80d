"""The 3D weighted guided filter: masks follow the picture's edges, in space and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.guided_fit import Kernel, empty_sums, fit_boxes
from stages.ops.guided_mean import apply_boxes, average_boxes, scale_to_one
from stages.ops.shapes import bind_shapes


def kernel_reach(size: int) -> Kernel:
    """Return (before, after) of a box of `size` entries; an even box leans to the past."""
    return size // 2, size - 1 - size // 2


class BoxFits(NamedTuple):
    """For each class and pixel the affine function ``a·I + b`` of a box, or of several.

    Attributes
    ----------
    values : ndarray, shape (C, H, W, 4), float32
        (a_r, a_g, a_b, b); without meaning where the masks do not vary.
    varied : ndarray, shape (C, H, W), bool
        Where the masks differ within the box, or some have no weight. Elsewhere a is 0, and b the
        one value that they have.
    plain : ndarray, shape (H, W, C), float32 or uint8
        Masks of one of the frames: that value, where they do not differ.
    """

    values: NDArray[np.float32]
    varied: NDArray[np.bool_]
    plain: NDArray[np.float32] | NDArray[np.uint8]

    def dense(self) -> NDArray[np.float32]:
        """Return the coefficients of all pixels: (H, W, C, 4), float32."""
        out = np.zeros((*self.plain.shape, 4), np.float32)
        out[..., 3] = self.plain * _unit_factors(self.plain)[0]
        varied = np.moveaxis(self.varied, 0, -1)
        out[varied] = np.moveaxis(self.values, 0, 2)[varied]
        return out


def fit_coefficients(
    guide: NDArray[np.float32] | NDArray[np.uint8],
    mask: NDArray[np.float32] | NDArray[np.uint8],
    weight: NDArray[np.float32],
    *,
    size: int,
    eps: float,
) -> BoxFits:
    """Fit each class's mask as an affine function of the guide in every box.

    In each box k over all N frames and `size` x `size` pixels, minimises
    ``Σ w (a·I + b − p)² + ε|a|²`` [1]_ [2]_, so that
    ``a = (Cov_w(I) + εU)⁻¹ Cov_w(I, p)`` and ``b = E_w[p] − a·E_w[I]``. Boxes are cut at the
    border. Where p has one value in a whole box, a is 0 and b is p: nothing is computed there.

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
    BoxFits
        Of the box around each pixel. Cost does not depend on `size`.

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
    before, after = kernel_reach(size)
    varied = _varied_boxes(mask, before, after)
    if weight.min(initial=1) <= 0:  # nobody knows a mask there, even where all have one value
        unknown = np.asarray((weight <= 0).any(axis=0))
        varied |= _widened(unknown[None], before, after)
    values = np.empty((dims["C"], dims["H"], dims["W"], 4), np.float32)
    units = *_unit_factors(guide), _unit_factors(mask)[0]
    both = empty_sums(1, size, dims["W"], 10), empty_sums(dims["C"], size, dims["W"], 4)
    needed = _widened(varied, after, before)
    fit_boxes(guide, mask, weight, units, (before, after), eps, varied, needed, both, values)
    return BoxFits(values, varied, mask[0])


def mean_over_boxes(fits: BoxFits, *, size: int) -> BoxFits:
    """Return for each pixel the mean over all the boxes that contain it.

    Parameters
    ----------
    fits : BoxFits
        From `fit_coefficients` with the same `size`. An even box is mirrored here: the boxes that
        contain a pixel reach one further down and right.

    Returns
    -------
    BoxFits
        Varied where one of those boxes is.
    """
    before, after = kernel_reach(size)
    varied = _widened(fits.varied, after, before)
    out, unit = np.empty_like(fits.values), _unit_factors(fits.plain)[0]
    for k in np.flatnonzero(varied.any(axis=(1, 2))):
        part = fits.values[k], fits.varied[k], fits.plain[..., k]
        average_boxes(*part, unit, (after, before), varied[k], out[k])
    return BoxFits(out, varied, fits.plain)


def apply_coefficients(
    fits: Sequence[BoxFits], guide: NDArray[np.float32] | NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return ``a·I + b``, clipped to [0, 1] and scaled where foreground classes sum to over 1.

    Parameters
    ----------
    fits : sequence of BoxFits
        Of the boxes that hold the frame; a and b are their mean.
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
            first=(fits[0].values, "C H W 4"), fit=(fit.values, "C H W 4"), guide=(guide, "H W 3")
        )
    unit = _unit_factors(fits[0].plain)[0]
    out = np.multiply(fits[0].plain, unit, dtype=np.float32)
    values, varied, plain = zip(*fits, strict=True)
    apply_boxes(values, varied, plain, guide, (*_unit_factors(guide), unit), out)
    scale_to_one(out)
    return out


def _unit_factors(values: NDArray[Any]) -> tuple[np.float32, np.float32]:
    """Return factor and summand from stored values to those of the equations."""
    if values.dtype == np.uint8:
        return np.float32(1 / 255), np.float32(-0.5)
    return np.float32(1), np.float32(0)


def _varied_boxes(mask: NDArray[Any], before: int, after: int) -> NDArray[np.bool_]:
    """Return where a box's values differ, over all frames: (C, H, W)."""
    size = before + after + 1
    box, anchor = np.ones((size, size), np.uint8), (before, before)
    out = np.zeros((mask.shape[3], *mask.shape[1:3]), np.bool_)
    for k, (low, high) in enumerate(
        zip(np.moveaxis(mask.min(axis=0), -1, 0), np.moveaxis(mask.max(axis=0), -1, 0), strict=True)
    ):
        if low.size and low.min() < high.max():
            least = cv2.erode(np.ascontiguousarray(low), box, anchor=anchor)
            most = cv2.dilate(np.ascontiguousarray(high), box, anchor=anchor)
            np.not_equal(least, most, out=out[k])
    return out


def _widened(marks: NDArray[np.bool_], before: int, after: int) -> NDArray[np.bool_]:
    """Return where a box, which reaches `before` and `after` a pixel, holds a mark: (C, H, W)."""
    size = before + after + 1
    box = np.ones((size, size), np.uint8)
    planes = [
        cv2.dilate(plane.view(np.uint8), box, anchor=(before, before)) if plane.any() else plane
        for plane in marks
    ]
    return np.stack(planes).view(np.bool_) if planes else marks


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
    slopes = np.ascontiguousarray(mean_over_boxes(fitted, size=size).dense()[..., :3])
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
