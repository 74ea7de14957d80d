"""`stages.ops.visibility` in torch, on any device: import it only where one is asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.ops.shapes import bind_shapes


def visible(
    forward: Tensor, backward: Tensor, *, slack: float = 0.01, floor: float = 0.5
) -> Tensor:
    """Mark the pixels of frame i that come home after going to frame j and back.

    Equation, parameters and errors as `stages.ops.visibility.visible`; types too, so that the
    marks are the same: places, weights and the gap are float64.

    Parameters
    ----------
    forward, backward : tensor, shape (2, H, W), float32
    slack, floor : float, >= 0

    Returns
    -------
    tensor, shape (H, W), bool
    """
    dims = bind_shapes(forward=(forward, "2 H W"), backward=(backward, "2 H W"))
    rows, columns = dims["H"], dims["W"]
    u, v = forward
    x = torch.arange(columns, device=forward.device) + u.double()
    y = torch.arange(rows, device=forward.device)[:, None] + v.double()
    inside = (x >= 0) & (y >= 0) & (x <= columns - 1) & (y <= rows - 1)  # NaN is not
    x0 = torch.where(inside, x, 0.0).long()
    y0 = torch.where(inside, y, 0.0).long()
    x1, y1 = (x0 + 1).clamp(max=columns - 1), (y0 + 1).clamp(max=rows - 1)
    fx, fy = ((target - first).float().double() for target, first in ((x, x0), (y, y0)))
    corners = ((y0, x0, (1 - fx) * (1 - fy)), (y0, x1, fx * (1 - fy)), (y1, x0, (1 - fx) * fy))
    back = sum(backward[:, row, column] * share for row, column, share in corners)
    back = back + backward[:, y1, x1] * (fx.float() * fy.float())
    gap = ((forward + back) ** 2).sum(dim=0)
    least = torch.tensor(slack, dtype=torch.float32), torch.tensor(floor, dtype=torch.float32)
    length = (u * u + v * v) + back[0] ** 2 + back[1] ** 2
    marks: Tensor = inside & (gap < least[0].item() * length + least[1].item())
    return marks
