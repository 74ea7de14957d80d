"""Segment: the masks to start from, made by a network that sees one frame at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from pipeline.stage import ArrayHandle, Arrays, Clip, Facts, Input, Resources, Source, Stage, Window
from stages.arrays import FRAMES, INPUT_LABELS, INPUT_MASKS
from stages.models.segmenters.load import (
    IMAGENET,
    Activation,
    ChannelOrder,
    Segmenter,
    check_scales,
    is_function,
    let_import,
    load_segmenter,
    segmenter_digest,
)
from stages.ops.fixed_point import pack_mask
from stages.ops.soft_masks import winners

Scale = Annotated[float, Field(ge=0.1, le=4)]


class Classes(Source):
    """What classes the segmenter knows: the plan needs them before the first frame."""

    name: ClassVar[str] = "classes"
    version: ClassVar[int] = 1
    reads: ClassVar[str] = "footage"

    settings: dict[str, Any] = Field(default_factory=dict, description="those of segment")

    def identity(self, clip: Clip) -> str:
        """Nothing of the clip is read."""
        return ""

    def run(
        self, clip: Clip, facts: Facts, part: tuple[int, int], emit: Callable[[Arrays], None]
    ) -> Facts:
        """Return the classes of the segmenter."""
        segment = Segment(**self.settings)
        return {"classes": list(segment.load().class_ids)}


class Segment(Stage):
    """A network that sees one frame at a time; see `stages.models.segmenters.load`."""

    name: ClassVar[str] = "segment"
    version: ClassVar[int] = 1
    writes: ClassVar[tuple[ArrayHandle, ...]] = (INPUT_MASKS, INPUT_LABELS)
    resources: ClassVar[Resources] = Resources(cpus=1)
    outside_key: ClassVar[tuple[str, ...]] = ("modules",)

    segmenter: str = Field(description="torchvision name, file.onnx, or module:function")
    weights: str = Field("", description="of a torchvision model: a path; empty downloads them")
    weights_digest: str = Field("", description="filled in from the files, or the user's code")
    classes: tuple[int, ...] = Field((), description="labels to keep; all if empty")
    union: bool = Field(False, description="merge all classes into one foreground")
    mean: tuple[float, float, float] = Field(IMAGENET[0], description="of an ONNX model's input")
    std: tuple[float, float, float] = Field(IMAGENET[1], description="of an ONNX model's input")
    channels: ChannelOrder = Field("rgb", description="order of an ONNX model's input")
    activation: Activation = Field("auto", description="of an ONNX model's output")
    device: str = Field("cpu", description="of a network: cpu or cuda")
    scales: tuple[Scale, ...] = Field(
        (1.0,), min_length=1, description="sizes at which it looks, as factors; the masks' mean"
    )
    flip: bool = Field(False, description="look at the mirror image too")
    modules: str = Field("", description="folder of the user's own function; empty: this one")

    def model_post_init(self, context: object) -> None:
        """Refuse scales that are the same; put the weights' digest where the key sees it."""
        check_scales(self.scales)
        if is_function(self.segmenter):
            folder = self.modules or str(Path.cwd())
            object.__setattr__(self, "modules", folder)
            let_import(folder)
        if not self.weights_digest:
            digest = segmenter_digest(self.segmenter, weights=self.weights)
            object.__setattr__(self, "weights_digest", digest)

    def load(self) -> Segmenter:
        """Return the network, loaded once a process."""
        if self.modules:
            let_import(self.modules)
        names = ("weights", "classes", "union", "mean", "std", "channels", "activation", "device",
                 "scales", "flip")  # fmt: skip
        return load_segmenter(self.segmenter, **{name: getattr(self, name) for name in names})

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read each frame by itself."""
        return (FRAMES.within(),)

    def run(self, window: Window) -> Arrays:
        """Return soft masks and labels."""
        segmenter = self.load()
        soft = [np.moveaxis(segmenter(frame), 0, -1) for frame in window[FRAMES].array]
        return {
            "masks": np.stack([pack_mask(mask) for mask in soft]),
            "labels": np.stack([winners(mask) for mask in soft]),
        }
