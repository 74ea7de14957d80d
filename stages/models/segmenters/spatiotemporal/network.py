"""STCNN: a branch that predicts the next frame, one that segments; with its weights on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.whole_files import replacing
from stages.models.segmenters.base import IMAGENET
from stages.models.segmenters.context_blending.blending import (
    SpatialTemporalPyramid,
    pointwise_block,
    pool_pyramid,
)
from stages.models.segmenters.context_blending.network import enlarged, spatial_block
from stages.models.segmenters.spatiotemporal.settings import (
    PAST,
    SpatiotemporalSettings,
    read_spatiotemporal_settings,
)
from stages.models.torch_models import fill
from stages.models.weights import load_checkpoint

FACTORS = (4, 2, 1)  # times the width: channels at 1/8, 1/4 and 1/2 of the picture


@dataclass(frozen=True)
class TemporalFeatures:
    """What the frames before a frame tell of it.

    Attributes
    ----------
    prediction : Tensor, shape (B, 3, H, W)
        The frame as predicted, RGB in about [0, 1].
    levels : list of Tensor
        Features at 1/8, 1/4 and 1/2 of the picture.
    """

    prediction: Tensor
    levels: list[Tensor]

    def detached(self) -> TemporalFeatures:
        """Return the same without a way back for gradients."""
        return TemporalFeatures(self.prediction.detach(), [part.detach() for part in self.levels])


class TemporalBranch(nn.Module):
    """The temporal coherence branch, STCNN 3.1: the generator of the next frame.

    Unlike the paper's it predicts the change since the frame before.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = [PAST * 3, width, 2 * width, 4 * width]
        self.down = nn.ModuleList(
            spatial_block(few, many, stride=2) for few, many in pairwise(sizes)
        )
        outs = [2 * width, width, width]
        ins = [4 * width, *outs[:-1]]
        self.up = nn.ModuleList(_deconvolution(a, b) for a, b in zip(ins, outs, strict=True))
        self.compact = nn.ModuleList(
            pointwise_block(out + skip, out)
            for out, skip in zip(outs, reversed(sizes[:-1]), strict=True)
        )
        self.change = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, past: Tensor) -> TemporalFeatures:
        """Return features from the frames before a frame (B, PAST, 3, H, W), the nearest first."""
        features = past.flatten(1, 2)
        skips = []
        for layer in self.down:
            skips.append(features)
            features = layer(features)
        levels = [features]
        for layer, compact in zip(self.up, self.compact, strict=True):
            skip = skips.pop()
            larger = layer(features)[..., : skip.shape[-2], : skip.shape[-1]]
            features = compact(torch.cat([larger, skip], dim=1))
            levels.append(features)
        return TemporalFeatures(past[:, 0] + self.change(levels.pop()), levels)


class AttentionModule(nn.Module):
    """Features of one scale under the coarser scale's features and mask, STCNN figure 2.

    Parameters
    ----------
    low, temporal, inner : int
        Channels of the encoder's features, of the temporal branch's (0: none), of the result.
    attends : bool
        Whether the coarser mask is multiplied in.
    """

    def __init__(self, low: int, temporal: int, inner: int, *, attends: bool) -> None:
        super().__init__()
        self.lateral = pointwise_block(low, inner)
        self.mix = spatial_block(inner + temporal, inner)
        self.score = nn.Conv2d(inner, 2, 1)
        self._attends = attends

    def forward(
        self, low: Tensor, high: Tensor, temporal: Tensor | None, coarse: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return features (B, inner, h, w) and scores (B, 2, h, w) at the size of `low`.

        `high` and `coarse` are features and scores of the coarser scale.
        """
        size = (low.shape[-2], low.shape[-1])
        features = self.lateral(low) + enlarged(high, size)
        if temporal is not None:
            features = torch.cat([features, temporal], dim=1)
        if self._attends:
            features = features + features * enlarged(coarse, size).softmax(dim=1)[:, 1:]
        mixed = self.mix(features)
        return mixed, self.score(mixed)


class SpatialBranch(nn.Module):
    """The spatial segmentation branch, STCNN 3.2: encoder, pyramid, three attention modules."""

    def __init__(self, settings: SpatiotemporalSettings) -> None:
        super().__init__()
        width, inner = settings.width, 2 * settings.width
        self.early = nn.ModuleList([
            spatial_block(3, width, stride=2), spatial_block(width, 2 * width, stride=2),
        ])  # fmt: skip
        self.late = nn.Sequential(
            spatial_block(2 * width, 4 * width, stride=2),
            spatial_block(4 * width, 4 * width, dilation=2),
            spatial_block(4 * width, 4 * width, dilation=4),
        )
        self.pyramid = SpatialTemporalPyramid(4 * width, width)
        self.coarse = spatial_block(4 * width + self.pyramid.channels, inner)
        self.coarse_score = nn.Conv2d(inner, 2, 1)
        self.attention = nn.ModuleList(
            AttentionModule(
                factor * width, factor * width if "temporal" in settings.context else 0, inner,
                attends="attention" in settings.context,
            )
            for factor in FACTORS
        )  # fmt: skip
        self.final = nn.Conv2d(inner * len(FACTORS), 2, 3, padding=1)

    def forward(self, pictures: Tensor, levels: Sequence[Tensor | None]) -> list[Tensor]:
        """Return scores (B, 2, h, w) from the coarsest scale on; the last are those that count.

        Parameters
        ----------
        pictures : Tensor, shape (B, 3, H, W)
            Normalised.
        levels : sequence of three Tensor or None
            Features of the temporal branch.
        """
        half = self.early[0](pictures)
        quarter = self.early[1](half)
        eighth = self.late(quarter)
        size = (eighth.shape[-2], eighth.shape[-1])
        context = self.pyramid([pool_pyramid(eighth)], size)
        features = self.coarse(torch.cat([eighth, context], dim=1))
        scores, every = [self.coarse_score(features)], []
        lows = (eighth, quarter, half)
        for module, low, temporal in zip(self.attention, lows, levels, strict=True):
            features, score = module(low, features, temporal, scores[-1])
            every.append(features)
            scores.append(score)
        fine = (half.shape[-2], half.shape[-1])
        scores.append(self.final(torch.cat([enlarged(part, fine) for part in every], dim=1)))
        return scores


class SpatiotemporalNetwork(nn.Module):
    """STCNN, small enough to be trained from nothing on a CPU; see `SpatiotemporalSettings`."""

    mean: Tensor
    std: Tensor

    def __init__(self, settings: SpatiotemporalSettings) -> None:
        super().__init__()
        self.settings = settings
        for which, values in zip(("mean", "std"), IMAGENET, strict=True):
            self.register_buffer(which, torch.tensor(values)[:, None, None], persistent=False)
        self.temporal = TemporalBranch(settings.width) if "temporal" in settings.context else None
        self.spatial = SpatialBranch(settings)

    def predict(self, clips: Tensor) -> TemporalFeatures | None:
        """Return the temporal features of the first frames of clips, as `forward` takes them."""
        return None if self.temporal is None else self.temporal(clips[:, 1:])

    def segment(self, clips: Tensor, features: TemporalFeatures | None) -> list[Tensor]:
        """Return scores of the first frames of clips at all scales, see `SpatialBranch`."""
        pictures = (clips[:, 0] - self.mean) / self.std
        levels = [None] * len(FACTORS) if features is None else features.levels
        scores: list[Tensor] = self.spatial(pictures, levels)
        return scores

    def forward(self, clips: Tensor) -> Tensor:
        """Return scores (B, 2, H, W) of the first frames of clips (B, PAST + 1, 3, H, W).

        RGB in [0, 1]; the frames before follow, the nearest first.
        """
        scores = self.segment(clips, self.predict(clips))[-1]
        return enlarged(scores, (clips.shape[-2], clips.shape[-1]))


class Discriminator(nn.Module):
    """Tells frames from predicted ones; only training needs it."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 3, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 3, 2, 1), nn.LeakyReLU(0.2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 1),
        )  # fmt: skip

    def forward(self, frames: Tensor) -> Tensor:
        """Return (B,) of frames (B, 3, H, W): high where they seem real, before any sigmoid."""
        answers: Tensor = self.layers(frames)
        return answers[:, 0]


def save_spatiotemporal(path: Path, network: SpatiotemporalNetwork) -> None:
    """Write weights and settings as .safetensors; whole or not at all."""
    from safetensors.torch import save_file

    state = {name: value.contiguous().cpu() for name, value in network.state_dict().items()}
    with replacing(path) as draft:
        save_file(state, draft, metadata=network.settings.metadata())


def load_spatiotemporal(path: Path) -> SpatiotemporalNetwork:
    """Return a network from a file that `save_spatiotemporal` wrote.

    Raises
    ------
    InputError
        If the file is missing, damaged, or its weights are not those of its settings.
    """
    settings = read_spatiotemporal_settings(path)
    network = SpatiotemporalNetwork(settings)
    parts = ", ".join(settings.context) or "neither temporal nor attention"
    fill(network, load_checkpoint(path), path=path, name=f"stcnn with {parts}")
    return network


def _deconvolution(channels: int, out: int) -> nn.Sequential:
    """Return a 3 × 3 deconvolution that doubles rows and columns, BN, ReLU."""
    return nn.Sequential(
        nn.ConvTranspose2d(channels, out, 3, 2, 1, output_padding=1, bias=False),
        nn.BatchNorm2d(out), nn.ReLU(inplace=True),
    )  # fmt: skip
