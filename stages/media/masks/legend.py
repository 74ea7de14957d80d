"""What the values in mask files mean, decided over all frames of a clip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError

MOST_LABELS = 63  # 8-bit values up to this are taken for labels
IGNORE = 255  # in 8-bit label files: neither class nor background; read as background
MOST_NAMED = 8  # classes that a description lists
FEW_GREYS = 16  # soft masks with no more values than this may be labels after all
SLACK = 1e-3  # rounding allowed at the ends of [0, 1]
SUM_SLACK = 1e-2  # and in the sum over channels, which may come from 8 bits

Kind = Literal["auto", "labels", "soft", "binary"]
Meaning = Literal["labels", "soft", "binary"]


class Raw(NamedTuple):
    """The values of one frame as its file holds them.

    Integers are (H, W) uint8 or uint16, floats (C, H, W). `indexed` says that integers can only
    be labels: those of a palette, bool, or more than 16 bits wide.
    """

    where: Path
    values: NDArray[Any]
    indexed: bool = False


def raw_of(where: Path, array: NDArray[Any]) -> Raw:
    """Return one frame of an array file, checked.

    Raises
    ------
    InputError
        If the type or the shape is not that of a mask, or a value is out of range.
    """
    if array.dtype.kind not in "buif":
        raise InputError(f"{where}: expected bool, integers or floats, got {array.dtype}")
    if array.dtype.kind == "f":
        if array.ndim not in (2, 3):
            raise InputError(f"{where}: expected (H, W) or (C, H, W) a frame, got {array.shape}")
        return Raw(where, _checked_soft(where, array if array.ndim == 3 else array[None]))
    if array.ndim == 3 and len(array) == 1:
        array = array[0]
    if array.ndim != 2:
        raise InputError(f"{where}: expected labels (H, W) a frame, got {array.shape}")
    if array.dtype in (np.uint8, np.uint16):
        return Raw(where, array)
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    if low < 0 or high > 65535:
        raise InputError(f"{where}: expected labels in 0-65535, got {low} to {high}")
    return Raw(where, array.astype(np.uint16), indexed=True)


@dataclass(frozen=True)
class Legend:
    """What the values of a clip's masks mean.

    Attributes
    ----------
    meaning : {"labels", "soft", "binary"}
    classes : tuple of int
        Labels that occur, ascending; 1 … C for soft masks.
    background : int
        Channels of soft masks before those of the foreground: 0 or 1.
    names : dict of int to str
        Names of classes, where the files have them.
    """

    meaning: Meaning
    classes: tuple[int, ...]
    background: int = 0
    names: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the legend that `dataclasses.asdict` took apart."""
        names = {int(label): name for label, name in values.get("names", {}).items()}
        return cls(**{**values, "classes": tuple(values["classes"]), "names": names})

    def describe_classes(self) -> str:
        """Return background and classes in words: "0 = background, 2 classes: person, car"."""
        count = len(self.classes)
        if not count:
            return "0 = background, no class occurs"
        shown = [self.names.get(label, str(label)) for label in self.classes[:MOST_NAMED]]
        more = ", …" if count > MOST_NAMED else ""
        classes = "1 class" if count == 1 else f"{count} classes"
        return f"0 = background, {classes}: {', '.join(shown)}{more}"

    @property
    def kind(self) -> Literal["labels", "soft"]:
        """What `apply` returns."""
        return "soft" if self.meaning == "soft" else "labels"

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return labels (H, W) uint16 or soft masks (C, H, W) float32 of the foreground."""
        if values.dtype.kind == "f":
            return values[self.background :].astype(np.float32).clip(0, 1)
        top = np.iinfo(values.dtype).max
        if self.meaning == "soft":
            return (values.astype(np.float32) / np.float32(top))[None]
        if self.meaning == "binary":
            return (values > top // 2).astype(np.uint16)
        labels = values.astype(np.uint16)
        if top == 255:
            labels[values == IGNORE] = 0
        return labels


def look_through(frames: Iterable[Raw], kind: Kind) -> Seen:
    """Return what occurs in the masks of a clip.

    Raises
    ------
    InputError
        If integers and floats, or different numbers of channels are mixed.
    """
    seen: Seen | None = None
    for raw in frames:
        soft = raw.values.dtype.kind == "f"
        if seen is None:
            seen = SeenFloats() if soft else SeenIntegers(kind)
        if soft != isinstance(seen, SeenFloats):
            raise InputError(
                f"{raw.where}: expected masks of one type in a clip, got {raw.values.dtype} after "
                f"{'integers' if soft else 'floats'}"
            )
        seen.add(raw)
    return SeenIntegers(kind) if seen is None else seen


class Seen(ABC):
    """The values that occur in a clip's masks; shown each frame once."""

    @property
    @abstractmethod
    def legend(self) -> Legend:
        """What they mean."""

    @property
    @abstractmethod
    def warnings(self) -> tuple[str, ...]:
        """What a user should know."""

    @abstractmethod
    def add(self, raw: Raw) -> None:
        """Take note of one frame."""


class SeenIntegers(Seen):
    """Labels, black and white, or grey levels, by the rule of `stages.media.masks.open`."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._frames = 0
        self._empty: Counter[Meaning] = Counter()
        self._labels = np.zeros(1 << 16, np.bool_)
        self._black_and_white, self._grey, self._indexed = True, True, False
        self._is_cut = False

    def add(self, raw: Raw) -> None:
        """Take note of the values that occur in one frame."""
        top = np.iinfo(raw.values.dtype).max
        found = np.bincount(raw.values.ravel(), minlength=top + 1) > 0
        labels = found[:IGNORE] if top == 255 else found
        self._frames += 1
        self._labels[: len(labels)] |= labels
        self._black_and_white &= not found[1:top].any()
        self._grey &= top == 255 and not raw.indexed
        self._indexed |= raw.indexed
        self._empty["labels"] += not labels[1:].any()
        self._empty["binary"] += not found[top // 2 + 1 :].any()
        self._empty["soft"] += not found[1:].any()

    def cut(self) -> None:
        """Take the values for black and white, whatever occurred."""
        self._is_cut = True

    @property
    def legend(self) -> Legend:
        """What they mean."""
        meaning = self._meaning
        if meaning == "labels":
            return Legend(meaning, tuple(int(k) for k in np.flatnonzero(self._labels[1:]) + 1))
        return Legend(meaning, () if meaning == "binary" and self._nothing_high else (1,))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know."""
        said = empty_warning(self._empty[self._meaning])
        greys = np.flatnonzero(self._labels)
        if self._meaning == "soft" and self._kind == "auto" and len(greys) <= FEW_GREYS:
            said += (
                f"{len(greys)} grey values, up to {greys[-1]}, are taken for soft masks: set "
                "segment.kind=labels if they are classes",
            )
        return said

    @property
    def _meaning(self) -> Meaning:
        if self._is_cut:
            return "binary"
        if self._kind == "binary" and self._at_most_1:
            return "labels"
        if self._kind == "labels" or (self._kind != "auto" and not self._indexed):
            return self._kind
        if self._black_and_white:
            return "binary"
        return "soft" if self._grey and self._labels[MOST_LABELS + 1 :].any() else "labels"

    @property
    def _nothing_high(self) -> bool:
        return self._empty["binary"] == self._frames

    @property
    def _at_most_1(self) -> bool:
        return self._nothing_high and not self._labels[2:].any()


class SeenFloats(Seen):
    """Probabilities; channels that sum to 1 everywhere in the clip begin with the background."""

    def __init__(self) -> None:
        self._shape: tuple[int, ...] = ()
        self._empty_with, self._empty_without = 0, 0
        self._sums_to_1 = True

    def add(self, raw: Raw) -> None:
        """Take note of one frame's channels."""
        self._shape = self._shape or raw.values.shape
        if raw.values.shape != self._shape:
            raise InputError(
                f"{raw.where}: expected {self._shape} like the frames before, got "
                f"{raw.values.shape}"
            )
        total = raw.values.sum(axis=0, dtype=np.float32)
        if total.max(initial=0) > 1 + SUM_SLACK:
            raise InputError(
                f"{raw.where}: expected classes that sum to at most 1, got up to {total.max():.3g}"
            )
        self._sums_to_1 &= bool(total.min(initial=1) > 1 - SUM_SLACK)
        self._empty_with += not raw.values[1:].any()
        self._empty_without += not raw.values.any()

    @property
    def legend(self) -> Legend:
        """What they mean."""
        classes = tuple(range(1, self._shape[0] - self._background + 1))
        return Legend("soft", classes, self._background)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know."""
        return empty_warning(self._empty_with if self._background else self._empty_without)

    @property
    def _background(self) -> int:
        return int(self._shape[0] > 1 and self._sums_to_1)


def empty_warning(frames: int) -> tuple[str, ...]:
    """Return the warning about frames without foreground, if there are any."""
    return (f"{frames} frames have no foreground in their mask",) if frames else ()


def _checked_soft(where: Path, soft: NDArray[Any]) -> NDArray[Any]:
    low, high = float(soft.min(initial=0)), float(soft.max(initial=0))
    if np.isnan(low):
        raise InputError(f"{where}: expected values in [0, 1], got NaN")
    if low < -SLACK or high > 1 + SLACK:
        raise InputError(f"{where}: expected values in [0, 1], got {low:g} to {high:g}")
    return soft
