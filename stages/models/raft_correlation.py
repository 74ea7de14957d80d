"""Correlation of all pixels of two frames, for both directions: on a CPU, and with torch."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stages.models.raft_update import product
from stages.ops.correlation import correlation_pyramid, look_up, transposed


class Volume(Protocol):
    """Correlations of each pixel of one frame with all of another."""

    def around(self, flow: Tensor) -> Tensor:
        """Return those around the end of a flow (2, h, w): (1, C, h, w), channels last."""


def correlate(
    first: Tensor, second: Tensor, *, size: tuple[int, int], levels: int, radius: int
) -> tuple[Volume, Volume]:
    """Return the correlations of (i, j) and of (j, i); the second are the first, transposed.

    Parameters
    ----------
    first, second : tensors, shape (h w, C), float32
        Features of i and of j.
    size : (h, w)
    levels, radius : int
        Of the pyramid; see `stages.ops.correlation.look_up`.
    """
    volume = product(first * first.shape[1] ** -0.5, second)
    if volume.device.type == "cpu":
        there = volume.contiguous().view(-1, *size).numpy()
        back = transposed(there, size)
        pyramids = (correlation_pyramid(there, levels), correlation_pyramid(back, levels))
        one, other = (HostVolume(pyramid, radius) for pyramid in pyramids)
        return one, other
    both = (volume, volume.T.contiguous())
    ahead, behind = (TorchVolume(part.view(-1, *size), levels, radius) for part in both)
    return ahead, behind


class HostVolume:
    """In memory of the CPU, looked up by `stages.ops.correlation.look_up`."""

    def __init__(
        self, pyramid: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]], radius: int
    ) -> None:
        self._pyramid, self._radius = pyramid, radius

    def around(self, flow: Tensor) -> Tensor:
        """Return the correlations around the end of a flow."""
        at = (flow + _grid(flow)).reshape(2, -1)
        out = look_up(self._pyramid, at.numpy(), radius=self._radius)
        return torch.from_numpy(out).view(1, *flow.shape[1:], -1).permute(0, 3, 1, 2)


class TorchVolume:
    """On any device, looked up by `grid_sample`.

    Parameters
    ----------
    volume : tensor, shape (N, h, w), float32
    levels, radius : int
    """

    def __init__(self, volume: Tensor, levels: int, radius: int) -> None:
        self._pyramid, self._radius = [volume[:, None]], radius
        for _ in range(levels - 1):
            self._pyramid.append(functional.avg_pool2d(self._pyramid[-1], 2))

    def around(self, flow: Tensor) -> Tensor:
        """Return the correlations around the end of a flow."""
        steps = torch.arange(-self._radius, self._radius + 1, device=flow.device)
        offsets = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)  # dy fastest
        at = (flow + _grid(flow)).reshape(2, -1).T[:, None, None]
        parts = []
        for k, level in enumerate(self._pyramid):
            extent = torch.tensor(level.shape[:1:-1], device=flow.device)
            # grid_sample wants the first pixel's centre at -1 and the last one's at 1
            places = 2 * (at / 2**k + offsets) / (extent - 1) - 1
            parts.append(functional.grid_sample(level, places, align_corners=True).flatten(1))
        return torch.cat(parts, dim=1).view(1, *flow.shape[1:], -1).permute(0, 3, 1, 2)


def _grid(flow: Tensor) -> Tensor:
    """Return the place of each pixel, x before y."""
    rows, columns = (torch.arange(size, device=flow.device) for size in flow.shape[1:])
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y]).float()
