"""`stages.ops.guided` in torch, on any device: import it only where one is asked for.

Sums over boxes are direct ones, in float64 and in a fixed order: running sums are faster on a CPU,
but torch's on a GPU do not repeat to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from stages.ops.guided import kernel_reach
from stages.ops.shapes import bind_shapes


def fit_coefficients(
    guide: Tensor, mask: Tensor, weight: Tensor, *, size: int, eps: float
) -> Tensor:
    """Fit each class's mask as an affine function of the guide in every box.

    Equations, parameters and errors as `stages.ops.guided.fit_coefficients`.

    Parameters
    ----------
    guide : tensor, shape (N, H, W, 3), float32 or uint8
    mask : tensor, shape (N, H, W, C), float32 or uint8
    weight : tensor, shape (N, H, W), float32
    size : int, >= 1
    eps : float, > 0

    Returns
    -------
    tensor, shape (H, W, C, 4), float32
    """
    dims = bind_shapes(guide=(guide, "N H W 3"), mask=(mask, "N H W C"), weight=(weight, "N H W"))
    total = torch.zeros(
        (10 + 4 * dims["C"], dims["H"], dims["W"]), dtype=torch.float64, device=guide.device
    )
    for n in range(dims["N"]):  # in order: the law of chunks
        total += _weighted_products(
            _guide_units(guide[n]), _mask_units(mask[n]), weight[n].double()
        )
    before, after = kernel_reach(size)
    return _solved_boxes(_box_sum(total, before, after), eps)


def mean_over_boxes(coefficients: Tensor, *, size: int) -> Tensor:
    """Return for each pixel the mean over all the boxes that contain it.

    Parameters
    ----------
    coefficients : tensor, shape (H, W, C, 4), float32
        From `fit_coefficients` with the same `size`.

    Returns
    -------
    tensor, shape (H, W, C, 4), float32
    """
    dims = bind_shapes(coefficients=(coefficients, "H W C 4"))
    after, before = kernel_reach(size)  # mirrored
    planes = coefficients.flatten(2).permute(2, 0, 1).double()
    total, count = (_box_sum(part, before, after) for part in (planes, torch.ones_like(planes[:1])))
    mean = (total / count).float().permute(1, 2, 0)
    return mean.reshape(dims["H"], dims["W"], dims["C"], 4)


def apply_coefficients(fits: Sequence[Tensor], guide: Tensor) -> Tensor:
    """Return ``a·I + b``, clipped to [0, 1] and scaled where foreground classes sum to over 1.

    Parameters
    ----------
    fits : sequence of tensor, shape (H, W, C, 4), float32
        Coefficients of the boxes that hold the frame; a and b are their mean.
    guide : tensor, shape (H, W, 3), float32 or uint8

    Returns
    -------
    tensor, shape (H, W, C), float32
    """
    for fit in fits:
        bind_shapes(
            first=(fits[0], "H W C 4"), coefficients=(fit, "H W C 4"), guide=(guide, "H W 3")
        )
    r, g, b = _guide_units(guide).float()[..., None]
    c = fits[0].clone()
    for fit in fits[1:]:
        c += fit
    c /= len(fits)
    mask = (c[..., 0] * r + c[..., 1] * g + c[..., 2] * b + c[..., 3]).clamp(0, 1)
    whole: Tensor = mask / mask.sum(dim=-1, keepdim=True).clamp(min=1)
    return whole


def _guide_units(values: Tensor) -> Tensor:
    """Return a guide (H, W, 3) in the units of the equations: (3, H, W), float64."""
    planes = values.permute(2, 0, 1).double()
    return planes / 255 - 0.5 if values.dtype == torch.uint8 else planes


def _mask_units(values: Tensor) -> Tensor:
    """Return a mask (H, W, C) in the units of the equations: (C, H, W), float64."""
    planes = values.permute(2, 0, 1).double()
    return planes / 255 if values.dtype == torch.uint8 else planes


def _weighted_products(guide: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Return w, wI (3), wII (6), then wp, wIp (3) of each class: (10 + 4 C, H, W)."""
    r, g, b = guide
    wr, wg, wb = weight * guide
    own = [weight, wr, wg, wb, wr * r, wr * g, wr * b, wg * g, wg * b, wb * b]
    classes = [term * p for p in mask for term in (weight, wr, wg, wb)]
    return torch.stack([*own, *classes])


def _box_sum(planes: Tensor, before: int, after: int) -> Tensor:
    """Return the sums over boxes, cut at the border, of each of the planes (K, H, W)."""
    side = before + after + 1
    tall = functional.pad(planes[None], (0, 0, before, after))
    tall = functional.avg_pool2d(tall, (side, 1), stride=1, divisor_override=1)
    wide = functional.pad(tall, (before, after))
    return functional.avg_pool2d(wide, (1, side), stride=1, divisor_override=1)[0]


def _solved_boxes(sums: Tensor, eps: float) -> Tensor:
    """Return a and b of all boxes from their sums (symmetric 3x3 systems by their adjugates)."""
    known = sums[0] > 0
    means = sums[1:] / torch.where(known, sums[0], 1.0)
    mr, mg, mb = means[:3]
    rr, rg, rb, gg, gb, bb = (
        square - left * right + (eps if left is right else 0)
        for square, (left, right) in zip(
            means[3:9],
            ((mr, mr), (mr, mg), (mr, mb), (mg, mg), (mg, mb), (mb, mb)),
            strict=True,
        )
    )
    i_rr, i_rg, i_rb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    i_gg, i_gb, i_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    scale = 1 / (rr * i_rr + rg * i_rg + rb * i_rb)
    p, pr, pg, pb = means[9:].reshape(-1, 4, *known.shape).unbind(1)
    cr, cg, cb = pr - mr * p, pg - mg * p, pb - mb * p
    slopes: Sequence[Tensor] = [
        (left * cr + middle * cg + right * cb) * scale
        for left, middle, right in ((i_rr, i_rg, i_rb), (i_rg, i_gg, i_gb), (i_rb, i_gb, i_bb))
    ]
    ar, ag, ab = slopes
    offset = p - ar * mr - ag * mg - ab * mb
    fitted = torch.stack([ar, ag, ab, offset], dim=-1) * known[..., None]
    return fitted.permute(1, 2, 0, 3).float().contiguous()
