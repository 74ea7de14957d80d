"""Context of several frames, as TCB has it: pyramids, object regions and their memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

BINS = (1, 2, 3, 6)
"""Rows and columns of the pooled maps, TCB section 4.1.2."""


def pointwise_block(channels: int, out: int) -> nn.Sequential:
    """Return the papers' transform function: a 1 × 1 convolution, BN, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
    )


def pool_pyramid(features: Tensor) -> list[Tensor]:
    """Return the features (B, D, h, w) of a frame averaged to (B, D, s, s) for s in `BINS`."""
    return [functional.adaptive_avg_pool2d(features, size) for size in BINS]


def object_regions(features: Tensor, scores: Tensor) -> Tensor:
    """Return a frame's part of the sum of TCB's eq. 1: ``Σ_i M_i^k x_i``.

    ``M^k`` is the softmax of the class's scores over the pixels of the frame, as in OCRNet [1]_:
    the representation is a weighted mean, the same for pictures of any size.

    Parameters
    ----------
    features : Tensor, shape (B, D, h, w)
        ``x`` of each pixel.
    scores : Tensor, shape (B, K, h, w)
        Of the auxiliary head, before any softmax.

    Returns
    -------
    Tensor, shape (B, D, K)

    References
    ----------
    .. [1] Yuan, Chen, Wang, "Object-contextual representations for semantic segmentation",
       ECCV 2020, eq. 2.
    """
    weights = scores.flatten(2).softmax(dim=2)
    return torch.einsum("bkn,bdn->bdk", weights, features.flatten(2))


def average_regions(regions: Sequence[Tensor]) -> Tensor:
    """Return TCB's eq. 1: the mean over frames of object regions (B, D, K)."""
    return torch.stack(list(regions)).mean(dim=0)


def remembered_regions(regions: Sequence[Tensor], share: float) -> Tensor:
    """Return the memory after frames were written into it one by one, the oldest first.

    ``m ← share · f + (1 − share) · m``, begun with the oldest frame's own (TCB 4.1.1, "weighted
    averaging"; the paper does not print the weight).

    Parameters
    ----------
    regions : sequence of Tensor, shape (B, D, K)
    share : float, in (0, 1]
        Weight of the frame that is written.
    """
    memory = regions[0]
    for frame_regions in regions[1:]:
        memory = share * frame_regions + (1 - share) * memory
    return memory


class SpatialTemporalPyramid(nn.Module):
    """ST-PPM: four pooled maps, averaged over frames, reduced and enlarged; TCB 4.1.2.

    Parameters
    ----------
    channels : int
        D of the features.
    reduced : int
        Channels of each of the four levels.
    """

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.reductions = nn.ModuleList(pointwise_block(channels, reduced) for _ in BINS)
        self.channels = reduced * len(BINS)

    def forward(self, pyramids: Sequence[Sequence[Tensor]], size: tuple[int, int]) -> Tensor:
        """Return context (B, `channels`, h, w) of `size` from the frames' `pool_pyramid`."""
        levels = []
        for pooled, reduction in zip(zip(*pyramids, strict=True), self.reductions, strict=True):
            reduced = reduction(torch.stack(list(pooled)).mean(dim=0))
            levels.append(
                functional.interpolate(reduced, size=size, mode="bilinear", align_corners=False)
            )
        return torch.cat(levels, dim=1)


class ObjectContext(nn.Module):
    """ST-OCR: the relation of each pixel to the object regions, and what follows; TCB eq. 2, 3.

    κ is divided by the root of the number of its channels, as in OCRNet's program.

    Parameters
    ----------
    channels : int
        D of the features.
    inner : int
        Channels of φ, ψ and δ.
    """

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.pixel_query = pointwise_block(channels, inner)  # φ
        self.region_key = pointwise_block(channels, inner)  # ψ
        self.region_value = pointwise_block(channels, inner)  # δ
        self.transform = pointwise_block(inner, channels)  # ρ
        self.channels = channels

    def forward(self, features: Tensor, regions: Tensor) -> Tensor:
        """Return context (B, D, h, w) of features (B, D, h, w) from regions (B, D, K)."""
        query = self.pixel_query(features)
        objects = regions.unsqueeze(-1)
        key = self.region_key(objects).squeeze(-1)
        value = self.region_value(objects).squeeze(-1)
        kappa = torch.einsum("bchw,bck->bkhw", query, key) / math.sqrt(query.shape[1])
        mixed = torch.einsum("bkhw,bck->bchw", kappa.softmax(dim=1), value)
        context: Tensor = self.transform(mixed)
        return context
