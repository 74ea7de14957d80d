"""`stages.ops.voting` in torch, on any device: import it only where one is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from stages.ops.shapes import bind_shapes


def vote(
    masks: Sequence[Tensor], images: Sequence[Tensor], flows: Sequence[Tensor], *, table: Tensor
) -> Tensor:
    """Return the mean of a frame's mask and its neighbours' masks carried to it by the flow.

    Equation, parameters and errors as `stages.ops.voting.vote`; every pixel is looked at, since
    leaving out tiles where all agree pays on a CPU only.

    Parameters
    ----------
    masks : sequence of tensor, shape (H, W, C), float32
    images : sequence of tensor, shape (H, W, 3), uint8
    flows : sequence of tensor, shape (2, h, w), float32
    table : tensor, float32

    Returns
    -------
    tensor, shape (H, W, C), float32
    """
    own, image = masks[0], images[0].float()
    total, weights = own.clone(), torch.ones_like(own[..., :1])
    differ = torch.zeros_like(weights, dtype=torch.bool)
    for mask, other, flow in zip(masks[1:], images[1:], flows, strict=True):
        bind_shapes(
            mask=(own, "H W C"),
            image=(images[0], "H W 3"),
            neighbour_mask=(mask, "H W C"),
            neighbour_image=(other, "H W 3"),
            flow=(flow, "2 h w"),
        )
        places, inside = _flow_targets(resized(flow, own.shape[:2]))
        sampled = _sampled_values(mask, places)
        looks = ((image - _sampled_values(other.float(), places)) ** 2).sum(dim=-1)
        g = (_appearance_weight(looks, table) * inside)[..., None]
        weights += g
        total += g * sampled
        differ |= (inside[..., None] & (sampled != own)).any(dim=-1, keepdim=True)
    return torch.where(differ, total / weights, own)


def carried(
    guide: Tensor, other: Tensor, mask: Tensor, weight: Tensor, flow: Tensor, *, table: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a neighbour's guide, mask and weight as seen from a frame's own grid.

    Parameters, result and errors as `stages.ops.voting.carried`.

    Parameters
    ----------
    guide, other : tensor, shape (H, W, 3), float32
    mask : tensor, shape (H, W, C), float32
    weight : tensor, shape (H, W), float32
    flow : tensor, shape (2, H, W), float32
    table : tensor, float32
    """
    bind_shapes(
        guide=(guide, "H W 3"),
        other=(other, "H W 3"),
        mask=(mask, "H W C"),
        weight=(weight, "H W"),
        flow=(flow, "2 H W"),
    )
    places, inside = _flow_targets(flow)
    stack = torch.cat([other, mask, weight[..., None]], dim=-1)
    sampled = _sampled_values(stack, places) * inside[..., None]
    looks = (((guide - sampled[..., :3]) * 255) ** 2).sum(dim=-1)
    return sampled[..., :3], sampled[..., 3:-1], sampled[..., -1] * _appearance_weight(looks, table)


def resized(flow: Tensor, size: Sequence[int]) -> Tensor:
    """Return `flow` on a grid of another size, in pixels of that grid; see `resize_flow`.

    Parameters
    ----------
    flow : tensor, shape (2, h, w), float32
    size : (rows, columns)

    Returns
    -------
    tensor, shape (2, *size), float32
    """
    dims = bind_shapes(flow=(flow, "2 h w"))
    rows, columns = size
    if (dims["h"], dims["w"]) == (rows, columns):
        return flow
    wide = functional.interpolate(flow[None], (rows, columns), mode="bilinear")[0]
    scale = torch.tensor([columns / dims["w"], rows / dims["h"]], device=flow.device)
    return wide * scale[:, None, None]


def _flow_targets(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Return where each pixel leads, (2, H, W), and whether that lies inside the picture."""
    rows, columns = flow.shape[1:]
    x = flow[0] + torch.arange(columns, device=flow.device, dtype=flow.dtype)
    y = flow[1] + torch.arange(rows, device=flow.device, dtype=flow.dtype)[:, None]
    inside = (x >= 0) & (y >= 0) & (x <= columns - 1) & (y <= rows - 1)  # NaN is not
    return torch.stack([x, y]), inside


def _sampled_values(values: Tensor, places: Tensor) -> Tensor:
    """Return values (H, W, C) at places (2, H, W), bilinearly; of no use outside the picture."""
    rows, columns, channels = values.shape
    x, y = places.nan_to_num(0)
    x, y = x.clamp(0, columns - 1), y.clamp(0, rows - 1)
    x0, y0 = x.long(), y.long()
    x1, y1 = (x0 + 1).clamp(max=columns - 1), (y0 + 1).clamp(max=rows - 1)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    flat = values.reshape(-1, channels)
    top, top_right = flat[y0 * columns + x0], flat[y0 * columns + x1]
    low, low_right = flat[y1 * columns + x0], flat[y1 * columns + x1]
    # As steps from one corner, so that four equal corners give just that value.
    top = top + (top_right - top) * fx
    low = low + (low_right - low) * fx
    out: Tensor = top + (low - top) * fy
    return out


def _appearance_weight(distance: Tensor, table: Tensor) -> Tensor:
    """Return the weight of squared distances, 0 beyond the table."""
    last = len(table) - 1
    near = distance < last
    bounded = torch.where(near, distance, 0.0)
    entry = bounded.long()
    low, high = table[entry], table[(entry + 1).clamp(max=last)]
    weights: Tensor = (low + (high - low) * (bounded - entry)) * near
    return weights
