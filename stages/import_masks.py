"""Import: the masks that the user has, as soft masks and labels at working size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, computed_field

from pipeline.errors import InputError
from pipeline.plugins import let_import
from pipeline.stage import ArrayHandle, Arrays, Clip, Facts, Source
from pipeline.store.keys import digest_json
from stages.arrays import (
    EVIDENCE,
    INPUT_LABELS,
    INPUT_MASKS,
    KEY_FRAME,
    NO_MASK,
    OWN_MASK,
    SOURCE_LABELS,
    SOURCE_SOFT,
)
from stages.facts import ClipFacts
from stages.media.footage.extraction import extraction_note
from stages.media.footage.limits import Limits
from stages.media.footage.timeline import content_digest
from stages.media.footage.video import read_frames
from stages.media.masks.contract import FootageFacts, ReadingChoices
from stages.media.masks.identities import jumping_numbers_note
from stages.media.masks.key_frames import open_evidence
from stages.media.masks.legend import Legend
from stages.media.masks.open import mask_digest
from stages.media.masks.registry import is_own_reader, readers_digest
from stages.media.masks.source import MaskSource
from stages.ops.fixed_point import pack_mask, unpack_mask
from stages.ops.object_views import COMPARED_LINES
from stages.ops.soft_masks import softened_masks, winning_classes

ANY_SIZE = Limits(file_bytes=2**63)
INPUTS = ("masks", "keyframes", "legend")  # files of a clip
MOST_CLASSES = 254  # labels travel as 8 bits, 0 is background
BATCH, BATCH_BYTES = 16, 2**26  # frames in memory at a time, at most


class MaskReading(ReadingChoices):
    """Settings of the steps that read masks, and the code that reads them."""

    outside_key: ClassVar[tuple[str, ...]] = ("modules",)
    unkeyed_defaults: ClassVar[tuple[str, ...]] = ("objects", "code_digest")

    modules: str = Field(
        "", description="folder of your own function or mask format; empty: this one"
    )

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def code_digest(self) -> str:
        """Digest of the code of mask formats that are not this project's, for keys."""
        if is_own_reader(self.format):
            let_import(self.modules or str(Path.cwd()))
        return readers_digest(self.format)

    def resolve(self) -> Self:
        """Return the step with the folder of the user's format, and its digest known."""
        folder = self.modules or (str(Path.cwd()) if is_own_reader(self.format) else "")
        step = self.model_copy(update={"modules": folder})
        step.code_digest  # noqa: B018 - looked up now: errors come before the run
        return step


class MaskClasses(MaskReading, Source):
    """The meaning of the values in the masks, and the classes: one pass through all of them."""

    name: ClassVar[str] = "classes"
    version: ClassVar[int] = 8
    reads: ClassVar[str] = "masks"
    also_reads: ClassVar[tuple[str, ...]] = ("keyframes", "legend")
    uses: ClassVar[tuple[str, ...]] = ("frames", "size", "source_size", "timeline")

    union: bool = False

    def identity(self, clip: Clip) -> str:
        """Return the digest of the mask files."""
        return _files_digest(clip, with_footage=self.objects == "match")

    def run(
        self, clip: Clip, facts: Facts, part: tuple[int, int], emit: Callable[[Arrays], None]
    ) -> Facts:
        """Return the classes, and what it takes to read any part of the masks."""
        source = _open_evidence(self, clip, facts)
        labels = source.legend.classes
        classes = (1,) if self.union and labels else labels
        if len(classes) > MOST_CLASSES:
            raise InputError(
                f"{_masks_path(clip)}: expected at most {MOST_CLASSES} classes, got "
                f"{len(classes)}: soft masks (segment.kind=soft)? objects numbered anew in every "
                "frame (segment.objects=match)?"
            )
        return {
            "classes": list(classes),
            "masks": source.known,
            "source_masks": _source_masks(source, facts),
            "hard_masks": source.legend.kind == "labels",
            "class_names": {} if self.union else class_names(source.legend),
            "mask_reading": source.reading,
            "mask_warnings": [*source.warnings, *self._number_notes(source, facts)],
            "key_frames": list(source.key_frames),
            "unlabelled": _frame_runs(source.absent),
            # A fact that is not there leaves the keys of before as they were.
            **({"sparse": True} if _is_sparse(source) else {}),
        }

    def _number_notes(self, source: MaskSource, facts: Facts) -> tuple[str, ...]:
        """Return a note where numbers of objects seem to mean nothing from frame to frame."""
        if self.objects != "given" or self.union:
            return ()
        return jumping_numbers_note(source, ClipFacts(facts).frames)


class ImportMasks(MaskReading, Source):
    """Masks that the user has; see `stages.media.masks.open` for the formats."""

    name: ClassVar[str] = "segment"
    version: ClassVar[int] = 6
    writes: ClassVar[tuple[ArrayHandle, ...]] = (
        INPUT_MASKS, INPUT_LABELS, SOURCE_LABELS, SOURCE_SOFT, EVIDENCE,
    )  # fmt: skip
    reads: ClassVar[str] = "masks"
    also_reads: ClassVar[tuple[str, ...]] = ("keyframes", "legend")
    identified_as: ClassVar[str] = "classes"
    uses: ClassVar[tuple[str, ...]] = (
        "frames", "size", "source_size", "timeline", "classes", "masks", "source_masks",
        "sparse",
    )  # fmt: skip

    union: bool = Field(False, description="merge all classes into one foreground")
    softness: float = Field(
        1.5, ge=0, le=20, description="blur of hard masks, pixels at working size (1 sigma)"
    )

    def identity(self, clip: Clip) -> str:
        """Return the digest of the mask files."""
        return _files_digest(clip, with_footage=self.objects == "match")

    def parts(self, facts: Facts) -> Sequence[tuple[int, int]]:
        """Return the parts that can be read by themselves."""
        return ClipFacts(facts).mask_parts

    def run(
        self, clip: Clip, facts: Facts, part: tuple[int, int], emit: Callable[[Arrays], None]
    ) -> Facts:
        """Emit soft masks and labels of a part at working size."""
        known = ClipFacts(facts)
        source = _open_evidence(self, clip, facts, known=known.mask_source)
        values = source.read(*part)
        layers = len(known.classes) if known.source_masks == "source_soft" else 1
        batch = max(min(BATCH_BYTES // (math.prod(known.source_size) * max(layers, 1)), BATCH), 1)
        at = part[0]
        while some := list(islice(values, batch)):
            full = [self._at_source_size(source, mask, known.classes) for mask in some]
            small = [self._at_working_size(source, mask, known) for mask in full]
            arrays = {
                "masks": np.stack([masks for masks, _ in small]),
                "labels": np.stack([labels for _, labels in small]),
            }
            if known.source_masks:
                arrays[known.source_masks] = np.stack(full)
            if known.sparse:
                arrays[EVIDENCE.name] = evidence_codes(source, at, at + len(some))
            emit(arrays)
            at += len(some)
        return {}

    def conclude(self, part_facts: Sequence[Facts]) -> Facts:
        """All is known before."""
        return {}

    def _at_source_size(
        self, source: MaskSource, values: NDArray[Any], classes: Sequence[int]
    ) -> NDArray[np.uint8]:
        """Return soft masks (H, W, C) in 255ths, or labels (H, W): 1 + number of the class."""
        if source.legend.kind == "soft":
            soft = np.moveaxis(values, 0, -1).astype(np.float32)
            if self.union:
                soft = np.minimum(soft.sum(axis=-1, keepdims=True), np.float32(1))
            return pack_mask(soft)
        if self.union:
            return (values > 0).astype(np.uint8)
        table = np.zeros(int(max(values.max(initial=0), max(classes, default=0))) + 1, np.uint8)
        table[list(classes)] = np.arange(1, len(classes) + 1)
        return np.asarray(table[values])

    def _at_working_size(
        self, source: MaskSource, mask: NDArray[np.uint8], known: ClipFacts
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the soft mask and the labels of a frame at working size."""
        if source.legend.kind == "soft":
            soft = shrunk_mask(unpack_mask(mask), known.size)
            return pack_mask(soft), winning_classes(soft)
        classes = range(1, len(known.classes) + 1)
        hard = shrunk_mask(softened_masks(mask, classes, sigma=0), known.size)
        # As a stage that changes nothing gives them.
        labels = winning_classes(unpack_mask(pack_mask(hard)))
        blurred = hard
        if self.softness > 0 and classes:
            blurred = cv2.GaussianBlur(hard, (0, 0), self.softness).reshape(hard.shape)
        return pack_mask(blurred), labels


def class_names(legend: Legend) -> dict[str, str]:
    """Return names of classes by label as text, for JSON; classes without a name are left out."""
    return {str(label): legend.names[label] for label in legend.classes if label in legend.names}


def _open_evidence(
    step: MaskClasses | ImportMasks, clip: Clip, facts: Facts, known: dict[str, Any] | None = None
) -> MaskSource:
    view = ClipFacts(facts)
    timeline = view.timeline
    footage = FootageFacts(
        clip=clip.name,
        frames=view.frames,
        size=view.source_size,
        frame_names=timeline.names,
        rotation=timeline.rotation,
        aspect=timeline.aspect,
    )
    if step.modules:
        let_import(step.modules)
    choices = ReadingChoices(**{name: getattr(step, name) for name in ReadingChoices.model_fields})
    try:
        pictures = _small_pictures(clip, view) if choices.objects == "match" else ()
        return open_evidence(clip.files, footage, choices, pictures=pictures, known=known)
    except InputError as error:
        note = extraction_note(timeline)
        if not note or f" {view.frames} " not in str(error):
            raise
        raise InputError(f"{error}; {note}") from error


def _small_pictures(clip: Clip, facts: ClipFacts) -> Iterable[NDArray[np.uint8]]:
    """Return the footage, a frame at a time, at the size at which objects are compared."""
    rows, columns = facts.source_size
    lines = min(rows, COMPARED_LINES)
    size = (lines, max(round(columns * lines / rows), 1))
    return read_frames(clip.files["footage"], facts.timeline, size=size)


def _files_digest(clip: Clip, *, with_footage: bool) -> str:
    """Return the digest of the masks, of key frames and, where objects are matched, the footage."""
    digests = {name: mask_digest(clip.files[name]) for name in INPUTS if name in clip.files}
    if with_footage:
        digests["footage"] = content_digest(clip.files["footage"], ANY_SIZE)
    return digests["masks"] if list(digests) == ["masks"] else digest_json(digests)


def _masks_path(clip: Clip) -> Path:
    """Return the masks' path, or the key frames' where there are no others."""
    return next(clip.files[name] for name in INPUTS if name in clip.files)


def _is_sparse(source: MaskSource) -> bool:
    """Return whether the evidence is not the same in all frames."""
    return bool(source.key_frames or source.absent or source.declared_empty)


def evidence_codes(source: MaskSource, start: int, stop: int) -> NDArray[np.uint8]:
    """Return the evidence (T, 1) of frames `start` to `stop`; see `stages.arrays.EVIDENCE`."""
    codes = np.full((stop - start, 1), OWN_MASK, np.uint8)
    # Nothing where the user says that there is nothing is the user's own word too.
    own_word = (*source.key_frames, *source.declared_empty)
    for frames, code in ((source.absent, NO_MASK), (own_word, KEY_FRAME)):
        codes[[t - start for t in frames if start <= t < stop]] = code
    return codes


def _frame_runs(frames: Sequence[int]) -> list[list[int]]:
    """Return runs of successive frames, [start, stop) each."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and runs[-1][1] == frame:
            runs[-1][1] = frame + 1
        else:
            runs.append([frame, frame + 1])
    return runs


def _source_masks(source: MaskSource, facts: Facts) -> str:
    """Return the name of the array that holds the masks at the source's size.

    Nothing where working size is the source's: the arrays at working size hold them already.
    """
    if ClipFacts(facts).size == ClipFacts(facts).source_size:
        return ""
    return "source_soft" if source.legend.kind == "soft" else "source_labels"


def shrunk_mask(mask: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a mask (H, W, C) at another size, areas averaged."""
    if mask.shape[:2] == size:
        return mask
    parts = [mask[..., low : low + 4] for low in range(0, mask.shape[-1], 4)]  # OpenCV takes four
    small = [cv2.resize(part, size[::-1], interpolation=cv2.INTER_AREA) for part in parts]
    return np.concatenate([part.reshape(*size, -1) for part in small], axis=-1)
