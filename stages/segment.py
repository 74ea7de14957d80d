"""Segment: the masks to start from, imported or made by a per-frame network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.errors import InputError
from pipeline.stage import Arrays, Clip, Facts, Input, Resources, Source, Stage, Window
from stages.io.masks import MaskSource, mask_digest, open_masks
from stages.models.segmenters import (
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
from stages.ops.soft import soften, winners

MOST_CLASSES = 254  # labels travel as 8 bits, 0 is background
BATCH = 16  # frames held at a time
Scale = Annotated[float, Field(ge=0.1, le=4)]


class ImportMasks(Source):
    """Masks that the user has; see `stages.io.masks` for the formats."""

    name: ClassVar[str] = "segment"
    version: ClassVar[int] = 1
    reads: ClassVar[str] = "masks"
    uses: ClassVar[tuple[str, ...]] = ("frames", "size", "source_size", "timeline")

    kind: Literal["auto", "labels", "soft", "binary"] = Field(
        "auto", description="what 8-bit grey masks mean; auto looks at the whole clip"
    )
    missing: Literal["error", "hold", "empty"] = Field(
        "error", description="a frame without a mask: an error, the mask before, or background"
    )
    union: bool = Field(False, description="merge all classes into one foreground")
    softness: float = Field(
        1.5, ge=0, le=20, description="blur of hard masks, pixels at working size (1 sigma)"
    )

    def identity(self, clip: Clip) -> str:
        """Return the digest of the mask files."""
        return mask_digest(clip.files[self.reads])

    def run(
        self, clip: Clip, facts: Facts, part: tuple[int, int], emit: Callable[[Arrays], None]
    ) -> Facts:
        """Emit soft masks and labels at working size; return the classes."""
        source = self._open(clip.files[self.reads], facts)
        classes = (1,) if self.union and source.classes else tuple(source.classes)
        if len(classes) > MOST_CLASSES:
            raise InputError(
                f"{clip.files[self.reads]}: expected at most {MOST_CLASSES} classes, got "
                f"{len(classes)}: are these instance ids or soft masks? see segment.kind"
            )
        size = (int(facts["size"][0]), int(facts["size"][1]))
        values = iter(source)
        while some := list(islice(values, BATCH)):
            made = [self._masks(source, mask, classes, size) for mask in some]
            emit(
                {
                    "masks": np.stack([masks for masks, _ in made]),
                    "labels": np.stack([labels for _, labels in made]),
                }
            )
        return {"classes": list(classes), "mask_warnings": list(source.warnings)}

    def _open(self, path: Path, facts: Facts) -> MaskSource:
        return open_masks(
            path,
            frames=facts["frames"],
            frame_names=facts["timeline"]["names"],
            size=(int(facts["source_size"][0]), int(facts["source_size"][1])),
            kind=self.kind,
            missing=self.missing,
        )

    def _masks(
        self,
        source: MaskSource,
        values: NDArray[Any],
        classes: Sequence[int],
        size: tuple[int, int],
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        if source.kind == "soft":
            soft = np.moveaxis(values, 0, -1).astype(np.float32)
            if self.union:
                soft = np.minimum(soft.sum(axis=-1, keepdims=True), np.float32(1))
            soft = shrunk(soft, size)
            return pack_mask(soft), winners(soft)
        labels = (values > 0).astype(np.uint16) if self.union else values
        hard = shrunk(soften(labels, classes, sigma=0), size)
        blurred = hard
        if self.softness > 0 and classes:
            blurred = cv2.GaussianBlur(hard, (0, 0), self.softness).reshape(hard.shape)
        return pack_mask(blurred), winners(hard)


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
    """A network that sees one frame at a time; see `stages.models.segmenters`."""

    name: ClassVar[str] = "segment"
    version: ClassVar[int] = 1
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
        return (Input("ingest", "frames"),)

    def run(self, window: Window) -> Arrays:
        """Return soft masks and labels."""
        segmenter = self.load()
        soft = [np.moveaxis(segmenter(frame), 0, -1) for frame in window["ingest.frames"].array]
        return {
            "masks": np.stack([pack_mask(mask) for mask in soft]),
            "labels": np.stack([winners(mask) for mask in soft]),
        }


def shrunk(mask: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a mask (H, W, C) at another size, areas averaged."""
    if mask.shape[:2] == size:
        return mask
    parts = [mask[..., low : low + 4] for low in range(0, mask.shape[-1], 4)]  # OpenCV takes four
    small = [cv2.resize(part, size[::-1], interpolation=cv2.INTER_AREA) for part in parts]
    return np.concatenate([part.reshape(*size, -1) for part in small], axis=-1)
