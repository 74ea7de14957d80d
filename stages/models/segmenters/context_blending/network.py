"""The video network: backbone, context of several frames, head; with its weights on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import ConfigError
from pipeline.whole_files import replacing
from stages.models.segmenters.base import IMAGENET
from stages.models.segmenters.context_blending.blending import (
    ObjectContext,
    SpatialTemporalPyramid,
    average_regions,
    object_regions,
    pool_pyramid,
)
from stages.models.segmenters.context_blending.settings import NetworkSettings, read_settings
from stages.models.torch_models import RANDOM, fill
from stages.models.weights import download, load_checkpoint, tensors

BACKBONES = ("small", "mobilenet_v3_large")
WIDTH = 96  # channels of the features
INNER = 48  # of φ, ψ, δ, and of each level of the pyramid


@dataclass(frozen=True)
class FrameContext:
    """What a frame lends to the frames after it.

    Attributes
    ----------
    features : Tensor, shape (B, D, h, w)
    scores : Tensor, shape (B, K, h, w)
        Of the auxiliary head: the soft object regions.
    regions : Tensor, shape (B, D, K)
        See `object_regions`.
    pyramid : list of Tensor, shape (B, D, s, s)
        See `pool_pyramid`.
    """

    features: Tensor
    scores: Tensor
    regions: Tensor
    pyramid: list[Tensor]


class SmallBackbone(nn.Module):
    """Five convolutions with a stride of 8, to be trained from nothing on a CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.early = nn.Sequential(
            spatial_block(3, 24, stride=2), spatial_block(24, 48, stride=2),
            spatial_block(48, WIDTH, stride=2),
        )  # fmt: skip
        self.late = nn.Sequential(
            spatial_block(WIDTH, WIDTH, dilation=2), spatial_block(WIDTH, WIDTH, dilation=4)
        )
        self.middle_channels = WIDTH

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return intermediate and final features."""
        middle = self.early(pictures)
        return middle, self.late(middle)


class MobileBackbone(nn.Module):
    """torchvision's MobileNetV3-Large as LR-ASPP has it, reduced to the width of the features."""

    def __init__(self, weights: str) -> None:
        super().__init__()
        import torchvision

        network = torchvision.models.get_model(
            "lraspp_mobilenet_v3_large", weights=None, weights_backbone=None
        )
        self.layers = network.backbone
        if weights != RANDOM:
            url = torchvision.models.MobileNet_V3_Large_Weights.IMAGENET1K_V1.url
            path = Path(weights) if weights else download(url, setting="--backbone-weights")
            state = {
                key.removeprefix("features."): value
                for key, value in tensors(load_checkpoint(path)).items()
                if key.startswith("features.")
            }
            fill(self.layers, state, path=path, name="mobilenet_v3_large")
        self.reduction = spatial_block(960, WIDTH)
        self.middle_channels = 40

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return intermediate features, at the size of the final ones, and these."""
        both = self.layers(pictures)
        features = self.reduction(both["high"])
        size = features.shape[-2:]
        middle = functional.interpolate(
            both["low"], size=size, mode="bilinear", align_corners=False
        )
        return middle, features


class VideoNetwork(nn.Module):
    """TCB, or with no dilations a per-frame network; see `NetworkSettings`.

    Parameters
    ----------
    settings : NetworkSettings
    backbone_weights : str
        Of mobilenet_v3_large: a path, "random", or empty to download torchvision's.

    Raises
    ------
    ConfigError
        If there is no such backbone.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, settings: NetworkSettings, *, backbone_weights: str = RANDOM) -> None:
        super().__init__()
        if settings.backbone not in BACKBONES:
            raise ConfigError(
                f"--backbone {settings.backbone!r}: expected one of {', '.join(BACKBONES)}"
            )
        self.settings = settings
        for which, values in zip(("mean", "std"), IMAGENET, strict=True):
            self.register_buffer(which, torch.tensor(values)[:, None, None], persistent=False)
        small = settings.backbone == "small"
        self.backbone = SmallBackbone() if small else MobileBackbone(backbone_weights)
        self.auxiliary = nn.Conv2d(self.backbone.middle_channels, self.classes, 1)
        self.pyramid = SpatialTemporalPyramid(WIDTH, INNER) if "ppm" in settings.context else None
        self.objects = ObjectContext(WIDTH, INNER) if "ocr" in settings.context else None
        blended = sum(part.channels for part in (self.pyramid, self.objects) if part is not None)
        self.head = nn.Sequential(
            spatial_block(WIDTH + blended, WIDTH), nn.Conv2d(WIDTH, self.classes, 1)
        )

    @property
    def classes(self) -> int:
        """How many classes it tells apart, the background is one of them."""
        return len(self.settings.class_ids) + 1

    def encode(self, frames: Tensor) -> FrameContext:
        """Return the contexts of frames (B, 3, H, W), RGB in [0, 1]."""
        middle, features = self.backbone((frames - self.mean) / self.std)
        scores = self.auxiliary(middle)
        return FrameContext(
            features, scores, object_regions(features, scores), pool_pyramid(features)
        )

    def blend(self, frames: Sequence[FrameContext], *, regions: Tensor | None = None) -> Tensor:
        """Return scores (B, C, h, w) of a frame at the size of the features.

        Parameters
        ----------
        frames : sequence of FrameContext
            The frame itself, then its support frames.
        regions : Tensor, shape (B, D, K), optional
            A memory, in place of the mean over `frames`.
        """
        features = frames[0].features
        size = (features.shape[-2], features.shape[-1])
        parts = [features]
        if self.pyramid is not None:
            parts.append(self.pyramid([frame.pyramid for frame in frames], size))
        if self.objects is not None:
            if regions is None:
                regions = average_regions([frame.regions for frame in frames])
            parts.append(self.objects(features, regions))
        scores: Tensor = self.head(torch.cat(parts, dim=1))
        return scores

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores of the first frames of clips (B, N + 1, 3, H, W), and auxiliary ones.

        Both are (B, C, H, W). The support frames follow in the order of the dilations.
        """
        count = clips.shape[1]
        together = self.encode(clips.flatten(0, 1))
        frames = [_every_nth(together, start, count) for start in range(count)]
        size = (clips.shape[-2], clips.shape[-1])
        return enlarged(self.blend(frames), size), enlarged(frames[0].scores, size)


def _every_nth(context: FrameContext, start: int, step: int) -> FrameContext:
    """Return the context of items `start`, `start + step`, … of a batch."""
    part = slice(start, None, step)
    return FrameContext(
        context.features[part], context.scores[part], context.regions[part],
        [pooled[part] for pooled in context.pyramid],
    )  # fmt: skip


def save_network(path: Path, network: VideoNetwork) -> None:
    """Write weights and settings as .safetensors; whole or not at all."""
    from safetensors.torch import save_file

    state = {name: value.contiguous().cpu() for name, value in network.state_dict().items()}
    with replacing(path) as draft:
        save_file(state, draft, metadata=network.settings.metadata())


def load_network(path: Path) -> VideoNetwork:
    """Return a network from a file that `save_network` wrote.

    Raises
    ------
    InputError
        If the file is missing, damaged, or its weights are not those of its settings.
    """
    settings = read_settings(path)
    network = VideoNetwork(settings)
    name = f"{settings.model} with {network.classes} classes, the background one of them"
    fill(network, load_checkpoint(path), path=path, name=name)
    return network


def spatial_block(channels: int, out: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return a 3 × 3 convolution, BN, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, stride, dilation, dilation, bias=False),
        nn.BatchNorm2d(out), nn.ReLU(inplace=True),
    )  # fmt: skip


def enlarged(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Return scores (B, C, h, w) at another size, bilinear."""
    return functional.interpolate(scores, size=size, mode="bilinear", align_corners=False)
