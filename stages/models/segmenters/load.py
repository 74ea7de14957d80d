"""One door to all segmenters: torchvision by name, ONNX files, functions, video networks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from stages.models.segmenters.augmented import Augmented, check_scales
from stages.models.segmenters.base import IMAGENET, RGB, Segmenter, at_most_one
from stages.models.segmenters.context_blending.settings import (
    is_video_network,
    network_file,
    read_settings,
)
from stages.models.segmenters.function import FunctionSegmenter, function_digest, let_import
from stages.models.segmenters.onnx import ChannelOrder, OnnxSegmenter, onnx_digest
from stages.models.segmenters.onnx_roles import Activation, Background, OutputRoles
from stages.models.segmenters.rembg import PREFIX as REMBG
from stages.models.segmenters.rembg import RembgSegmenter, rembg_digest
from stages.models.segmenters.torchvision import TorchvisionSegmenter, torchvision_digest
from stages.models.segmenters.transformers import PREFIX as TRANSFORMERS
from stages.models.segmenters.transformers import (
    Precision,
    TransformersSegmenter,
    transformers_digest,
)
from stages.models.weights import file_digest

__all__ = [
    "IMAGENET",
    "Activation",
    "Background",
    "ChannelOrder",
    "OutputRoles",
    "Precision",
    "Segmenter",
    "check_scales",
    "find_output_roles",
    "frames_back",
    "is_function",
    "is_onnx",
    "let_import",
    "load_segmenter",
    "segmenter_digest",
]


@lru_cache(maxsize=2)
def load_segmenter(
    spec: str,
    *,
    weights: str = "",
    classes: tuple[int, ...] = (),
    union: bool = False,
    mean: RGB = IMAGENET[0],
    std: RGB = IMAGENET[1],
    channels: ChannelOrder = "rgb",
    activation: Activation = "auto",
    background: Background = "auto",
    output: str = "",
    precision: Precision = "fp32",
    batch: int = 1,
    device: str = "cpu",
    scales: tuple[float, ...] = (1.0,),
    flip: bool = False,
) -> Segmenter:
    """Return a segmenter, loaded once a process.

    Parameters
    ----------
    spec : str
        A torchvision segmentation model, a path ending in .onnx, or ``module:function``: a
        function from a picture to labels (H, W) or to probabilities (C, H, W) of the foreground;
        ``hf:ORG/MODEL`` or ``hf:FOLDER`` of `transformers`; ``rembg:MODEL``; ``tcb:FILE`` or
        ``per_frame:FILE`` of `train`.
    weights : str
        Of a torchvision model: a path, "random" (for tests), or empty for its default download.
    classes : tuple of int, each > 0
        Labels to keep, in this order; all if empty. A function, and an ONNX model that gives
        labels, need them: the plan must know the classes before the first frame.
    union : bool
        Merge all of them into class 1.
    mean, std : 3 floats
        Subtracted from RGB in [0, 1], and divided by; of an ONNX model. Its input then is in
        [-1, 1] with 0.5 and 0.5, in [0, 1] with 0 and 1, in [0, 255] with 0 and 1/255.
    channels : {"rgb", "bgr"}
        Order in which an ONNX model takes the channels.
    activation : {"auto", "softmax", "sigmoid", "none", "grey", "labels"}
        From an ONNX model's output to probabilities; auto: none if values are in [0, 1], else
        sigmoid for one channel and softmax for several. Grey: it is in 255ths; labels: it has
        the numbers of `classes`.
    background : {"auto", "first", "none"}
        Whether the first of an ONNX model's channels is the background; auto: if the channels
        exclude one another, as those of a softmax do.
    output : str
        Name of the ONNX model's output that is the mask; empty: found.
    precision, batch : {"fp32", "fp16", "bf16"}, int
        Of a network of `transformers`.
    device : str
        "cpu" or "cuda"; of a network.
    scales, flip : tuple of float, bool
        Test-time augmentation; see `Augmented`.

    Raises
    ------
    ConfigError
        If `spec` names nothing, or a setting does not fit it.
    InputError
        If weights or model file cannot be had or read.
    """
    if any(label < 1 for label in classes) or len(set(classes)) < len(classes):
        raise ConfigError(
            f"segment.classes: expected different labels above 0, the background's; got {classes}"
        )
    inner: Segmenter
    if is_function(spec):
        inner = FunctionSegmenter(spec, classes)
    elif is_onnx(spec):
        inner = OnnxSegmenter(
            Path(spec),
            classes=classes,
            mean=mean,
            std=std,
            channels=channels,
            activation=activation,
            background=background,
            output=output,
            device=device,
        )
    else:
        inner = _load_network(spec, weights, device, precision=precision, batch=batch)
    if classes or union:
        inner = _ChosenClasses(inner, classes, union=union)
    return _augmented(inner, spec, scales, flip=flip)


def find_output_roles(
    spec: str, frames: Sequence[NDArray[np.uint8]], **settings: Any
) -> tuple[OutputRoles, tuple[str, ...]]:
    """Return how an ONNX model's outputs are read, from what they give for a clip's first frames.

    Parameters
    ----------
    spec : str
        A file.onnx.
    frames : sequence of ndarray, shape (H, W, 3), uint8
    **settings
        Those of `OnnxSegmenter`: classes, mean, std, channels, activation, background, output,
        device.

    Returns
    -------
    OutputRoles and tuple of str
        The roles, to be given to `load_segmenter`, and how they were found, in words.

    Raises
    ------
    ConfigError, InputError
        As `load_segmenter`; and where two readings of the outputs are possible.
    """
    segmenter = OnnxSegmenter(Path(spec), frames=frames, **settings)
    return segmenter.roles, segmenter.notes


def _load_network(
    spec: str, weights: str, device: str, *, precision: Precision, batch: int
) -> Segmenter:
    """Return a network that torch runs."""
    if spec.startswith(TRANSFORMERS):
        return TransformersSegmenter(spec, device, precision=precision, batch=batch)
    if spec.startswith(REMBG):
        return RembgSegmenter(spec, device)
    if is_video_network(spec):
        from stages.models.segmenters.context_blending.segmenter import VideoSegmenter

        return VideoSegmenter(spec, device)
    return TorchvisionSegmenter(spec, weights, device)


def _augmented(inner: Segmenter, spec: str, scales: tuple[float, ...], *, flip: bool) -> Segmenter:
    """Return a segmenter that looks at several scales, where that is asked for."""
    if scales == (1.0,) and not flip:
        return inner
    if inner.reach:
        raise ConfigError(
            f"segment.scales, segment.flip: expected (1.0,) and false with --segmenter {spec}, "
            f"which looks at {inner.reach} frames back, got {scales} and {flip}: leave them out"
        )
    return Augmented(inner, scales, flip=flip)


def segmenter_digest(spec: str, *, weights: str = "") -> str:
    """Return the digest of what a segmenter computes with, for keys: its weights, or its code.

    Parameters
    ----------
    spec, weights : str
        As for `load_segmenter`; torchvision's weights are downloaded if they are not here.

    Returns
    -------
    str
        SHA-256 of the ONNX file, the weights, or the file that defines the function.

    Raises
    ------
    ConfigError, InputError
        As `load_segmenter`.
    """
    if is_function(spec):
        return function_digest(spec)
    if is_onnx(spec):
        return onnx_digest(Path(spec))
    if spec.startswith(TRANSFORMERS):
        return transformers_digest(spec)
    if spec.startswith(REMBG):
        return rembg_digest(spec)
    if is_video_network(spec):
        return file_digest(network_file(spec))
    return torchvision_digest(spec, weights)


def is_function(spec: str) -> bool:
    """Return whether a segmenter is a user's own ``module:function``."""
    if ":" not in spec or is_onnx(spec) or is_video_network(spec):
        return False
    return not spec.startswith((TRANSFORMERS, REMBG))


def frames_back(spec: str) -> int:
    """Return how many frames before a frame a segmenter looks at, without loading it.

    Raises
    ------
    ConfigError, InputError
        If it is a video network whose file cannot be read.
    """
    return read_settings(network_file(spec)).reach if is_video_network(spec) else 0


def is_onnx(spec: str) -> bool:
    """Return whether a segmenter is an ONNX file."""
    return spec.lower().endswith(".onnx")


class _ChosenClasses(Segmenter):
    """Some classes of another segmenter, or all of them as one."""

    def __init__(self, inner: Segmenter, classes: tuple[int, ...], *, union: bool) -> None:
        unknown = set(classes) - set(inner.class_ids)
        if unknown:
            raise ConfigError(
                f"segment.classes: expected some of {inner.class_ids}, got {sorted(unknown)}"
            )
        kept = classes or inner.class_ids
        self._rows = [inner.class_ids.index(label) for label in kept]
        self._inner, self._union = inner, union
        self.class_ids = (1,) if union else kept
        self.most, self.notes, self.batch = inner.most, inner.notes, inner.batch
        self.reach = inner.reach
        self.class_names = {} if union else inner.class_names

    def network_masks(self, frame: NDArray[np.uint8], scale: float) -> NDArray[np.float32]:
        """Return the chosen masks."""
        return self._choose_segmenter(self._inner(frame, scale=scale))

    def segment_all(self, frames: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Return the chosen masks of several pictures."""
        return [
            at_most_one(self._choose_segmenter(masks)) for masks in self._inner.segment_all(frames)
        ]

    def segment_after(
        self, frames: Sequence[NDArray[np.uint8]], first: int
    ) -> list[NDArray[np.float32]]:
        """Return the chosen masks of pictures that follow one another."""
        every = self._inner.segment_after(frames, first)
        return [at_most_one(self._choose_segmenter(masks)) for masks in every]

    def _choose_segmenter(self, masks: NDArray[np.float32]) -> NDArray[np.float32]:
        chosen = masks[self._rows]
        return chosen.sum(axis=0, keepdims=True) if self._union else chosen
