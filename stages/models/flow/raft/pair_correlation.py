"""Correlation of all pixels of two frames, for both directions: on a CPU, and with torch.

Of large frames no volume is made: it grows with the fourth power of the size. What is looked up is
then correlated at each look-up.
"""

from __future__ import annotations

from copy import copy
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from stages.models.flow.raft.update import product
from stages.ops.correlation import (
    Pyramid,
    correlation_pyramid,
    feature_pyramid,
    look_up,
    look_up_features,
    transposed_volume,
)

SQUARE_BYTES = 1 << 29  # of float32 between all pixels of two grids: no larger ones are made
TILE_BYTES = 256 << 20  # of features gathered at a time, with torch
FAR = 1e6  # pixels; where there is nothing


class Volume(Protocol):
    """Correlations of each pixel of one frame with all of another."""

    @property
    def nbytes(self) -> int:
        """How much memory they take."""

    def around(self, flow: Tensor) -> Tensor:
        """Return those around the end of a flow (2, h, w): (1, C, h, w), channels last."""


def fits_square(pixels: int) -> bool:
    """Say whether there may be a matrix between all pixels of two grids, or of one with itself.

    It depends on nothing but the size: results with and without differ in their last bits.
    """
    return 4 * pixels**2 <= SQUARE_BYTES


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
    own, on_host = first * first.shape[1] ** -0.5, first.device.type == "cpu"
    if not fits_square(len(first)):
        kind = HostFeatures if on_host else TorchFeatures
        return (
            kind(own, second, size, levels, radius),
            kind(second * first.shape[1] ** -0.5, first, size, levels, radius),
        )
    volume = product(own, second)
    if on_host:
        there = volume.contiguous().view(-1, *size).numpy()
        back = transposed_volume(there, size)
        pyramids = (correlation_pyramid(there, levels), correlation_pyramid(back, levels))
        forward, backward = (HostVolume(pyramid, radius) for pyramid in pyramids)
        return forward, backward
    both = (volume, volume.T.contiguous())
    ahead, behind = (TorchVolume(part.view(-1, *size), levels, radius) for part in both)
    return ahead, behind


class HostVolume:
    """In memory of the CPU, looked up by `stages.ops.correlation.look_up`."""

    def __init__(self, pyramid: Pyramid, radius: int) -> None:
        self._pyramid, self._radius = pyramid, radius

    @property
    def nbytes(self) -> int:
        """How much memory they take."""
        return sum(level.nbytes for level in self._pyramid)

    def around(self, flow: Tensor) -> Tensor:
        """Return the correlations around the end of a flow."""
        at = (flow + _pixel_grid(flow)).reshape(2, -1)
        out = look_up(self._pyramid, at.numpy(), radius=self._radius)
        return torch.from_numpy(out).view(1, *flow.shape[1:], -1).permute(0, 3, 1, 2)


class TorchVolume:
    """On any device, looked up by `grid_sampler_2d`: of one pair, or of several in a batch.

    Parameters
    ----------
    volume : tensor, shape (B h w, h, w), float32
    levels, radius : int
    """

    def __init__(self, volume: Tensor, levels: int, radius: int) -> None:
        device = volume.device
        self._pyramid = [volume[:, None]]
        for _ in range(levels - 1):
            self._pyramid.append(functional.avg_pool2d(self._pyramid[-1], 2))
        steps = torch.arange(-radius, radius + 1, device=device)
        self._offsets = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)  # dy fastest
        # filled there: numbers sent from here would be waited for
        self._extents = [
            torch.cat([torch.full((1,), float(side), device=device) for side in level.shape[:1:-1]])
            for level in self._pyramid
        ]

    def room_for(self, count: int) -> TorchVolume:
        """Return one of `count` pairs like this one, with zeros; see `put`."""
        room = copy(self)
        room._pyramid = [
            level.new_zeros((count * len(level), *level.shape[1:])) for level in self._pyramid
        ]
        return room

    def put(self, k: int, volume: TorchVolume) -> None:
        """Copy the volume of one pair to place k of the batch."""
        for level, pair_level in zip(self._pyramid, volume._pyramid, strict=True):
            level[k * len(pair_level) : (k + 1) * len(pair_level)] = pair_level

    @property
    def nbytes(self) -> int:
        """How much memory they take."""
        return sum(level.nbytes for level in self._pyramid)

    def around(self, flow: Tensor) -> Tensor:
        """Return the correlations around the end of a flow."""
        return self.around_all(flow[None])

    def around_all(self, flows: Tensor) -> Tensor:
        """Return those around the ends of the flows (B, 2, h, w) of a batch: (B, C, h, w)."""
        at = (flows + _pixel_grid(flows[0])).permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
        parts = []
        for k, (level, extent) in enumerate(zip(self._pyramid, self._extents, strict=True)):
            # grid_sample wants the first pixel's centre at -1 and the last one's at 1
            places = 2 * (at / 2**k + self._offsets) / (extent - 1) - 1
            # bilinear, 0 outside; grid_sample would take cuDNN's, which fails beyond 65,535 rows
            parts.append(torch.grid_sampler_2d(level, places, 0, 0, True).flatten(1))
        batch, _, *size = flows.shape
        return torch.cat(parts, dim=1).view(batch, *size, -1).permute(0, 3, 1, 2)


class HostFeatures:
    """Without a volume, on a CPU: `stages.ops.correlation.look_up_features`.

    Parameters
    ----------
    own, other : tensors, shape (h w, C), float32
        Features of the frame itself, scaled, and of the one it is compared with.
    size : (h, w)
    levels, radius : int
    """

    def __init__(
        self, own: Tensor, other: Tensor, size: tuple[int, int], levels: int, radius: int
    ) -> None:
        self._own, self._radius = own.numpy(), radius
        self._pyramid = feature_pyramid(other.view(*size, -1).numpy(), levels)

    @property
    def nbytes(self) -> int:
        """How much memory they take."""
        return self._own.nbytes + sum(level.nbytes for level in self._pyramid)

    def around(self, flow: Tensor) -> Tensor:
        """Return the correlations around the end of a flow."""
        at = (flow + _pixel_grid(flow)).reshape(2, -1).numpy()
        out = look_up_features(self._own, self._pyramid, at, radius=self._radius)
        return torch.from_numpy(out).view(1, *flow.shape[1:], -1).permute(0, 3, 1, 2)


class TorchFeatures:
    """As `HostFeatures`, on any device: features are gathered, some pixels at a time."""

    def __init__(
        self, own: Tensor, other: Tensor, size: tuple[int, int], levels: int, radius: int
    ) -> None:
        self._own, self._pyramid = own, [other.view(*size, -1)]
        for _ in range(levels - 1):
            fine = self._pyramid[-1].permute(2, 0, 1)[None]
            coarse = functional.avg_pool2d(fine, 2)[0].permute(1, 2, 0)
            self._pyramid.append(coarse.contiguous())
        self._steps = torch.arange(-radius, radius + 2, device=own.device)
        self._tile = max(1, TILE_BYTES // (4 * own.shape[1] * len(self._steps) ** 2))

    @property
    def nbytes(self) -> int:
        """How much memory they take."""
        return self._own.nbytes + sum(level.nbytes for level in self._pyramid)

    def around(self, flow: Tensor) -> Tensor:
        """Return the correlations around the end of a flow."""
        at = (flow + _pixel_grid(flow)).reshape(2, -1)
        at = at.nan_to_num(nan=FAR).clamp(-FAR, FAR)
        parts = []
        for first in range(0, len(self._own), self._tile):
            tile = slice(first, first + self._tile)
            levels = range(len(self._pyramid))
            sampled = [self._sample_level(self._own[tile], k, at[:, tile] / 2**k) for k in levels]
            parts.append(torch.cat(sampled, dim=1))
        return torch.cat(parts).view(1, *flow.shape[1:], -1).permute(0, 3, 1, 2)

    def _sample_level(self, own: Tensor, level: int, at: Tensor) -> Tensor:
        """Return one level's correlations (n, (2 radius + 1)²) of n pixels (n, C) at (2, n)."""
        rows, columns, channels = self._pyramid[level].shape
        corner = at.floor()
        fx, fy = (at - corner)[:, :, None, None]
        x, y = corner.long()[:, :, None] + self._steps
        across, down = (x >= 0) & (x < columns), (y >= 0) & (y < rows)
        index = y.clamp(0, rows - 1)[:, :, None] * columns + x.clamp(0, columns - 1)[:, None]
        sampled = self._pyramid[level].view(-1, channels)[index.flatten(1)]
        patch = torch.bmm(sampled, own[:, :, None]).view(index.shape)
        patch = patch * (down[:, :, None] & across[:, None])
        patch = torch.lerp(patch[:, :-1], patch[:, 1:], fy)
        patch = torch.lerp(patch[..., :-1], patch[..., 1:], fx)
        return patch.transpose(1, 2).flatten(1)  # dy fastest


def _pixel_grid(flow: Tensor) -> Tensor:
    """Return the place of each pixel, x before y."""
    rows, columns = (torch.arange(size, device=flow.device) for size in flow.shape[1:])
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y]).float()
