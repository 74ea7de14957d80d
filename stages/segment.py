"""Segment: the masks to start from, made by a network that sees one frame, or some before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, computed_field

from pipeline.stage import ArrayHandle, Arrays, Clip, Facts, Input, Resources, Source, Stage, Window
from stages.arrays import FRAMES, INPUT_LABELS, INPUT_MASKS
from stages.facts import ClipFacts
from stages.media.footage.limits import Limits
from stages.media.footage.timeline import content_digest
from stages.media.footage.video import read_frames
from stages.models.segmenters.blank_check import check_masks, sample_frames
from stages.models.segmenters.load import (
    IMAGENET,
    Activation,
    Background,
    ChannelOrder,
    OutputRoles,
    Precision,
    Segmenter,
    check_scales,
    find_output_roles,
    frames_back,
    is_function,
    is_onnx,
    let_import,
    load_segmenter,
    segmenter_digest,
)
from stages.models.segmenters.prompts import label_names, prompts_at, prompts_of, read_prompts
from stages.models.segmenters.sam import (
    PromptedSegmenter,
    is_prompted,
    load_prompted,
    missing_prompts,
)
from stages.models.weights import file_digest
from stages.ops.fixed_point import pack_mask
from stages.ops.soft_masks import winning_classes

Scale = Annotated[float, Field(ge=0.1, le=4)]
ANY_SIZE = Limits(file_bytes=2**63)
FIRST_FRAMES = 5  # of a clip, from which the roles of a model's outputs are found


class Classes(Source):
    """What classes the segmenter knows, and whether it finds any of them in a few frames."""

    name: ClassVar[str] = "classes"
    version: ClassVar[int] = 3
    reads: ClassVar[str] = "footage"
    identified_as: ClassVar[str] = "probe"
    uses: ClassVar[tuple[str, ...]] = ("frames", "size", "timeline")

    settings: dict[str, Any] = Field(default_factory=dict, description="those of segment")

    def identity(self, clip: Clip) -> str:
        """Return the digest of the footage, which `Probe` has let in."""
        return content_digest(clip.files[self.reads], ANY_SIZE)

    def run(
        self, clip: Clip, facts: Facts, part: tuple[int, int], emit: Callable[[Arrays], None]
    ) -> Facts:
        """Return the classes of the segmenter, their names and how it is read."""
        segment = Segment(**{name: self.settings[name] for name in Segment.model_fields})
        if is_prompted(segment.segmenter):
            return self._prompted_classes(segment, clip)
        roles, notes = segment.find_roles(partial(self._first_frames, clip, ClipFacts(facts)))
        segmenter = segment.load(roles)
        if segment.check:
            self._check_segmenter(
                segmenter, clip.files[self.reads], ClipFacts(facts), segment.segmenter
            )
        names = {k: name for k, name in segmenter.class_names.items() if k in segmenter.class_ids}
        known = {"output_roles": roles.to_json()} if roles is not None else {}
        return {
            "classes": list(segmenter.class_ids),
            "class_names": {str(k): name for k, name in names.items()},
            "mask_reading": "; ".join(notes or segmenter.notes),
            **known,
        }

    def _first_frames(self, clip: Clip, facts: ClipFacts) -> Sequence[NDArray[np.uint8]]:
        """Return the frames that a clip begins with, at working size."""
        last = min(FIRST_FRAMES, facts.frames)
        footage = clip.files[self.reads]
        return list(read_frames(footage, facts.timeline, size=facts.size, frames=(0, last)))

    @staticmethod
    def _prompted_classes(segment: Segment, clip: Clip) -> Facts:
        """Return the classes that the clip's prompts name; nothing is found beside them."""
        if not segment.prompts:
            raise missing_prompts(segment.segmenter)
        prompts = read_prompts(Path(segment.prompts), clip.name)
        names = label_names(prompts)
        return {
            "classes": [1] if segment.union else list(names),
            "class_names": {} if segment.union else {str(k): name for k, name in names.items()},
            "mask_reading": "; ".join(segment.load_prompted().notes),
            "prompts": [prompt.model_dump(mode="json") for prompt in prompts],
        }

    @staticmethod
    def _check_segmenter(segmenter: Segmenter, footage: Path, facts: ClipFacts, where: str) -> None:
        """Refuse a segmenter that finds nothing, everything or the picture; see `check_masks`."""
        numbers = sample_frames(facts.frames)
        frames = read_frames(footage, facts.timeline, size=facts.size, frames=(0, numbers[-1] + 1))
        pictures = [frame for k, frame in enumerate(frames) if k in numbers]
        check_masks(pictures, [segmenter(picture) for picture in pictures], where=where)


class Segment(Stage):
    """A network that sees one frame, or some before it too; see `stages.models.segmenters.load`."""

    name: ClassVar[str] = "segment"
    version: ClassVar[int] = 2
    uses: ClassVar[tuple[str, ...]] = ("prompts", "size", "source_size", "output_roles")
    writes: ClassVar[tuple[ArrayHandle, ...]] = (INPUT_MASKS, INPUT_LABELS)
    resources: ClassVar[Resources] = Resources(cpus=1)
    outside_key: ClassVar[tuple[str, ...]] = ("modules", "check")

    segmenter: str = Field(
        description="torchvision name, file.onnx, hf:ORG/MODEL, rembg:MODEL, tcb:FILE, "
        "per_frame:FILE, or module:function"
    )
    weights: str = Field("", description="of a torchvision model: a path; empty downloads them")
    classes: tuple[int, ...] = Field((), description="labels to keep; all if empty")
    union: bool = Field(False, description="merge all classes into one foreground")
    mean: tuple[float, float, float] = Field(IMAGENET[0], description="of an ONNX model's input")
    std: tuple[float, float, float] = Field(IMAGENET[1], description="of an ONNX model's input")
    channels: ChannelOrder = Field("rgb", description="order of an ONNX model's input")
    activation: Activation = Field("auto", description="of an ONNX model's output")
    background: Background = Field(
        "auto", description="whether an ONNX model's first channel is background: first or none"
    )
    output: str = Field("", description="name of an ONNX model's output; empty: found")
    check: bool = Field(
        True, description="stop where masks of a few frames are empty, full, or the picture"
    )
    precision: Precision = Field("fp32", description="of a model of transformers")
    batch: int = Field(1, ge=1, le=256, description="frames at once in a model of transformers")
    device: str = Field("cpu", description="of a network: cpu or cuda")
    scales: tuple[Scale, ...] = Field(
        (1.0,), min_length=1, description="sizes at which it looks, as factors; the masks' mean"
    )
    flip: bool = Field(False, description="look at the mirror image too")
    prompts: str = Field("", description="JSON file with boxes and points by clip, for SAM")
    modules: str = Field(
        "", description="folder of your own function or mask format; empty: this one"
    )

    def model_post_init(self, context: object) -> None:
        """Refuse scales that are the same."""
        check_scales(self.scales)

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def weights_digest(self) -> str:
        """Digest of the weights, or of the file of the user's function, for keys."""
        if is_function(self.segmenter):
            let_import(self.modules or str(Path.cwd()))
        return segmenter_digest(self.segmenter, weights=self.weights)

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def prompts_digest(self) -> str:
        """Digest of the file of prompts, for keys; empty without one."""
        return file_digest(Path(self.prompts)) if self.prompts else ""

    @cached_property
    def _frames_back(self) -> int:
        return frames_back(self.segmenter)

    def load_prompted(self) -> PromptedSegmenter:
        """Return the network that takes prompts, loaded once a process."""
        return load_prompted(self.segmenter, self.device, self.precision)

    def resolve(self) -> Self:
        """Return the step with the folder of the user's function, and its digest known."""
        folder = self.modules or (str(Path.cwd()) if is_function(self.segmenter) else "")
        step = self.model_copy(update={"modules": folder})
        step.weights_digest  # noqa: B018 - looked up now: errors come before the run
        return step

    def load(self, roles: OutputRoles | None = None) -> Segmenter:
        """Return the network, loaded once a process; of an ONNX model with its outputs' roles."""
        if self.modules:
            let_import(self.modules)
        names = (
            *("weights", "classes", "union", "mean", "std", "channels", "activation"),
            *("background", "output", "precision", "batch", "device", "scales", "flip"),
        )
        settings = {name: getattr(self, name) for name in names}
        settings |= roles.to_json() if roles is not None else {}
        return load_segmenter(self.segmenter, **settings)

    def find_roles(
        self, footage: Callable[[], Sequence[NDArray[np.uint8]]]
    ) -> tuple[OutputRoles | None, tuple[str, ...]]:
        """Return the roles of an ONNX model's outputs on a clip, and how they were found."""
        names = ("mean", "std", "channels", "activation", "background", "output", "device")
        if not is_onnx(self.segmenter):
            return None, ()
        settings = {name: getattr(self, name) for name in ("classes", *names)}
        return find_output_roles(self.segmenter, footage(), **settings)

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read each frame, and as many around it as the network looks back."""
        return (FRAMES.within(self._frames_back),)

    def run(self, window: Window) -> Arrays:
        """Return soft masks and labels."""
        span = window[FRAMES]
        facts = ClipFacts(window.facts)
        entries = facts.prompts
        if self._frames_back:
            earlier = list(span.between(span.start, window.stop))
            every = self.load().segment_after(earlier, window.start - span.start)
        else:
            frames = list(span.array)
            every = (
                self._cut_out(window, frames, entries)
                if entries
                else self._segment_frames(frames, OutputRoles.from_json(facts.output_roles))
            )
        soft = [np.moveaxis(masks, 0, -1) for masks in every]
        return {
            "masks": np.stack([pack_mask(mask) for mask in soft]),
            "labels": np.stack([winning_classes(mask) for mask in soft]),
        }

    def _segment_frames(
        self, frames: list[NDArray[np.uint8]], roles: OutputRoles | None
    ) -> list[NDArray[np.float32]]:
        segmenter = self.load(roles)
        batches = (
            segmenter.segment_all(frames[low : low + segmenter.batch])
            for low in range(0, len(frames), segmenter.batch)
        )
        return [masks for some in batches for masks in some]

    def _cut_out(
        self, window: Window, frames: list[NDArray[np.uint8]], entries: Sequence[Any]
    ) -> list[NDArray[np.float32]]:
        """Return the masks of what the prompts name; these are in pixels of the source."""
        facts = ClipFacts(window.facts)
        (rows, columns), (height, width) = facts.size, facts.source_size
        prompts = [p.scaled(columns / width, rows / height) for p in prompts_of(entries)]
        segmenter = self.load_prompted()
        every = [
            segmenter(frame, prompts_at(prompts, t))
            for t, frame in zip(window.frames, frames, strict=True)
        ]
        return [masks.max(axis=0, keepdims=True) if self.union else masks for masks in every]
