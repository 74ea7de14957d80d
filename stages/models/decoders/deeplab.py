"""The paper's decoder: several frames and their masks in, a correction of all those masks out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights
from torchvision.models.segmentation.deeplabv3 import ASPP

from pipeline.errors import ConfigError, ShapeError
from stages.models.segmenters.base import IMAGENET
from stages.models.torch_models import RANDOM, fill, seeded
from stages.models.weights import download, load_checkpoint, tensors
from stages.ops.shapes import bind_shapes

WINDOWS = (1, 3, 5, 7)
RATES = (12, 24, 36)  # of the atrous convolutions, as in DeepLabV3 at an output stride of 8
DEEP = 2048  # channels that a ResNet-50 gives
JOINT = 256  # channels inside the joint decoder, as in DeepLabV3
GROUPS = 32  # of GroupNorm
COLOURS = 3  # that a ResNet takes


class DeepLabDecoder(nn.Module):
    """Multi-input multi-output residual decoder on DeepLabV3 encoders.

    Azulay et al., "Temporally stable video segmentation without video annotations", section 5.1
    and figure 2. One ResNet-50 (output stride 8, as in torchvision's DeepLabV3) encodes each
    frame, another each mask, with the same weights for all frames. A 1x1 convolution reduces each
    encoding from 2048 to `width` channels, so that the joint decoder stays affordable: 7 frames x
    2 x 128 are about what the head of DeepLabV3 takes from one. All are concatenated into one joint
    decoder, ASPP and convolutions, that gives the residual logits of all frames,
    ``logit_out_t = log P_t + R_t``, see `stages.models.decoders.windows.refined`. Its last layer
    starts at zero: untrained, it changes nothing.

    The joint decoder normalises by groups, not batches: one window at a time can be trained on.

    Parameters
    ----------
    window : int, one of 1, 3, 5, 7
        K, frames that are seen together.
    classes : int, >= 2
        C, background included.
    encoder_weights : str
        Of both encoders. Empty: DeepLabV3's of torchvision, downloaded if need be; a path: those of
        a DeepLabV3 or a ResNet-50; "random": seeded, for tests, or to be filled from a state dict.
        The masks' encoder sees each class in a colour of its own: its first convolution, which
        takes C channels, is that for RGB applied to those colours.
    width : int, a multiple of 32
        Channels to which an encoding is reduced.
    frozen : bool
        Encoders are not trained: no gradients, and batch norm keeps its statistics in training
        mode too. Nor is there a gradient for frames and masks then.

    Raises
    ------
    ConfigError
        If window, classes or width is none of these.
    InputError
        If the weights cannot be had, or are another model's.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        *,
        window: int = 7,
        classes: int,
        encoder_weights: str,
        width: int = 128,
        frozen: bool = True,
    ) -> None:
        super().__init__()
        _check_settings(window, classes, width)
        self.window, self.classes, self.width, self.frozen = window, classes, width, frozen
        with seeded():
            self.frame_encoder = _build_encoder(encoder_weights)
            self.mask_encoder = _recoloured_encoder(self.frame_encoder, classes)
            self.reduce_frame, self.reduce_mask = _build_reduction(width), _build_reduction(width)
            self.joint = nn.Sequential(
                _by_groups(ASPP(window * 2 * width, RATES, JOINT)),
                nn.Conv2d(JOINT, JOINT, 3, padding=1, bias=False),
                nn.GroupNorm(GROUPS, JOINT),
                nn.ReLU(),
                nn.Conv2d(JOINT, window * classes, 1),
            )
        for parameter in self.joint[-1].parameters():
            nn.init.zeros_(parameter)
        for name, values in zip(("mean", "deviation"), IMAGENET, strict=True):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)
        for encoder in (self.frame_encoder, self.mask_encoder):
            encoder.requires_grad_(not frozen)
        self.train()

    @property
    def settings(self) -> dict[str, Any]:
        """What builds it again, as ``DeepLabDecoder(**settings, encoder_weights="random")``.

        The weights of all its parts, the encoders' too, are in the state dict.
        """
        return {name: getattr(self, name) for name in ("window", "classes", "width", "frozen")}

    def train(self, mode: bool = True) -> DeepLabDecoder:
        """Set training mode, but not for frozen encoders: their statistics stay as they are."""
        super().train(mode)
        if self.frozen:
            self.frame_encoder.eval()
            self.mask_encoder.eval()
        return self

    def forward(self, frames: Tensor, masks: Tensor) -> Tensor:
        """Return the residual logits of all frames of a window.

        Parameters
        ----------
        frames : Tensor, shape (B, K, 3, H, W), float32
            RGB in [0, 1], of any size; K is the decoder's window.
        masks : Tensor, shape (B, K, C, H, W), float32
            Probabilities, background included, sum over classes 1.

        Returns
        -------
        Tensor, shape (B, K, C, H, W), float32

        Raises
        ------
        ShapeError
            If sizes do not agree with each other or with the decoder's.
        """
        dims = bind_shapes(frames=(frames, "B K 3 H W"), masks=(masks, "B K C H W"))
        self._check_array("frames", "frames in a window", self.window, dims["K"], frames.shape)
        codes = self.encode(frames.flatten(0, 1), masks.flatten(0, 1))
        windows = codes.reshape(dims["B"], dims["K"], *codes.shape[1:])
        return self.decode(windows, (dims["H"], dims["W"]))

    def encode(self, frames: Tensor, masks: Tensor) -> Tensor:
        """Return the features of single frames for the joint decoder.

        Parameters
        ----------
        frames : Tensor, shape (N, 3, H, W), float32
        masks : Tensor, shape (N, C, H, W), float32
            As for `forward`.

        Returns
        -------
        Tensor, shape (N, 2 * width, ⌈H/8⌉, ⌈W/8⌉), float32

        Raises
        ------
        ShapeError
            As `forward`.
        """
        dims = bind_shapes(frames=(frames, "N 3 H W"), masks=(masks, "N C H W"))
        self._check_array(
            "masks", "classes, background included", self.classes, dims["C"], masks.shape
        )
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            deep_frames = self.frame_encoder((frames - self.mean) / self.deviation)
            deep_masks = self.mask_encoder(masks)
        return torch.cat([self.reduce_frame(deep_frames), self.reduce_mask(deep_masks)], dim=1)

    def decode(self, codes: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the residual logits of windows of encoded frames.

        Parameters
        ----------
        codes : Tensor, shape (B, K, 2 * width, h, w), float32
            From `encode`, K in order of time.
        size : (rows, columns)
            Of the frames; residuals are brought to it bilinearly.

        Returns
        -------
        Tensor, shape (B, K, C, *size), float32
        """
        small = self.joint(codes.flatten(1, 2))
        large = functional.interpolate(small, size=size, mode="bilinear", align_corners=False)
        return large.reshape(len(codes), self.window, self.classes, *size)

    @staticmethod
    def _check_array(
        name: str, what: str, expected: int, actual: int, shape: Sequence[int]
    ) -> None:
        """Refuse an array that the decoder was not built for."""
        if expected != actual:
            raise ShapeError(
                f"{name}: expected {expected} {what}, as the decoder was built for, got {actual} "
                f"in {tuple(shape)}: build or load one for {actual}"
            )


def _check_settings(window: int, classes: int, width: int) -> None:
    """Refuse what no decoder can be built with."""
    if window not in WINDOWS:
        raise ConfigError(f"decoder.window = {window!r}: expected one of {WINDOWS}")
    if classes < 2:
        raise ConfigError(
            f"decoder.classes = {classes!r}: expected 2 or more, the background is one of them"
        )
    if width < GROUPS or width % GROUPS:
        raise ConfigError(f"decoder.width = {width!r}: expected a multiple of {GROUPS}")


def _build_encoder(weights: str) -> nn.Sequential:
    """Return a ResNet-50 (N, 3, H, W) → (N, 2048, ⌈H/8⌉, ⌈W/8⌉) with the weights asked for."""
    net = torchvision.models.resnet50(
        weights=None, replace_stride_with_dilation=[False, True, True]
    )
    encoder = nn.Sequential(OrderedDict(list(net.named_children())[:-2]))  # no pooling, no classes
    if weights != RANDOM:
        url = DeepLabV3_ResNet50_Weights.DEFAULT.url
        path = Path(weights) if weights else download(url, setting="--encoder-weights")
        fill(
            encoder,
            _backbone_weights(tensors(load_checkpoint(path))),
            path=path,
            name="a ResNet-50",
        )
    return encoder


def _backbone_weights(state: dict[str, Any]) -> dict[str, Any]:
    """Return the ResNet's part of what a DeepLabV3, or a ResNet that classifies, has learned."""
    inner = {
        name.removeprefix("backbone."): value
        for name, value in state.items()
        if name.startswith("backbone.")
    }
    return inner or {name: value for name, value in state.items() if not name.startswith("fc.")}


def _recoloured_encoder(encoder: nn.Sequential, classes: int) -> nn.Sequential:
    """Return a copy that takes class probabilities and sees each class in a colour of its own."""
    copy = deepcopy(encoder)
    filters = encoder.state_dict()["conv1.weight"]
    copy.conv1 = nn.Conv2d(classes, len(filters), 7, stride=2, padding=3, bias=False)
    colours = torch.randn(classes, COLOURS)  # in the units of normalised pictures
    copy.state_dict()["conv1.weight"].copy_(torch.einsum("ochw,kc->okhw", filters, colours))
    return copy


def _build_reduction(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(DEEP, width, 1, bias=False), nn.GroupNorm(GROUPS, width), nn.ReLU()
    )


def _by_groups(module: nn.Module) -> nn.Module:
    """Replace batch norm throughout: it cannot be trained on one window, pooled to one pixel."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.GroupNorm(GROUPS, child.num_features))
        else:
            _by_groups(child)
    return module
