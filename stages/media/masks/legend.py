"""The meaning of the values in a clip's mask files: decided once over all frames, then applied."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.masks.census import Census, FloatCensus
from stages.media.masks.raw import Raw, alpha_of, colours_of, grey_of, packed, unpacked
from stages.ops.ignored_label import IGNORE

SUM_SLACK = 1e-2  # in the sum over channels, which may come from 8 bits
MOST_NAMED = 8  # classes that a description lists

Kind = Literal["auto", "labels", "levels", "soft", "binary", "colours"]
Meaning = Literal["labels", "soft", "binary", "colours"]
View = Literal["stored", "shown", "alpha"]


PLAIN_NAME = "class {}"  # what tools are told of a class without a name


@dataclass(frozen=True)
class Legend:
    """The meaning of the values of a clip's masks.

    Attributes
    ----------
    meaning : {"labels", "soft", "binary", "colours"}
    classes : tuple of int
        Labels that occur, ascending; 1 … C for soft masks.
    background : int
        Channels of soft masks before those of the foreground: 0 or 1.
    names : dict of int to str
        Names of classes, where the files have them.
    view : {"stored", "shown", "alpha"}
        Values as stored (labels, indexes), grey levels as shown, or transparency.
    full : int
        The value that is certain foreground in soft masks; half of it is the cut of binary ones,
        and of the transparency of colours. 0 is the largest that the type holds.
    divisor : int
        Labels are values divided by it.
    ignored : tuple of int
        Values that are neither class nor background, and are read as background.
    colours : dict of int to int
        Label of each packed colour; 0 is the background.
    nearest : bool
        Whether pixels take the nearest of the colours, as after a lossy codec.
    """

    meaning: Meaning
    classes: tuple[int, ...]
    background: int = 0
    names: Mapping[int, str] = field(default_factory=dict)
    view: View = "stored"
    full: int = 0
    divisor: int = 1
    ignored: tuple[int, ...] = (IGNORE,)
    colours: Mapping[int, int] = field(default_factory=dict)
    nearest: bool = False

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the legend that `dataclasses.asdict` took apart."""
        tuples = {name: tuple(values[name]) for name in ("classes", "ignored") if name in values}
        names = {int(label): name for label, name in values.get("names", {}).items()}
        colours = {int(colour): label for colour, label in values.get("colours", {}).items()}
        return cls(**{**values, **tuples, "names": names, "colours": colours})

    def describe_classes(self) -> str:
        """Return background and classes in words: "0 = background, 2 classes: person, car"."""
        count = len(self.classes)
        if self.meaning == "soft":
            channels = "soft masks" if count < 2 else f"soft masks of {count} classes"
            if self.names:
                channels += f": {', '.join(list(self.names.values())[:MOST_NAMED])}"
            return channels + (", background first" if self.background else "")
        if not count:
            return "0 = background, no class occurs"
        shown = [self.names.get(label, str(label)) for label in self.classes[:MOST_NAMED]]
        more = ", …" if count > MOST_NAMED else ""
        classes = "1 class" if count == 1 else f"{count} classes"
        return f"0 = background, {classes}: {', '.join(shown)}{more}"

    @property
    def kind(self) -> Literal["labels", "soft"]:
        """The kind of masks that `apply` returns."""
        return "soft" if self.meaning == "soft" else "labels"

    def apply(self, raw: Raw) -> NDArray[Any]:
        """Return labels (H, W) uint16, or soft masks (C, H, W) float32 of the foreground."""
        if raw.is_float:
            return raw.values[self.background :].astype(np.float32).clip(0, 1)
        if self.meaning == "colours":
            return self._labels_of_colours(raw)
        values = self._viewed_values(raw)
        top = int(np.iinfo(values.dtype).max)
        full = self.full or top
        if self.meaning == "soft":
            soft: NDArray[np.float32] = values.astype(np.float32) / np.float32(full)
            return soft.clip(0, 1)[None]
        if self.meaning == "binary":
            cut: NDArray[np.uint16] = (values > full // 2).astype(np.uint16)
            return cut
        labels = values.astype(np.uint16)
        for value in self.ignored if top == 255 else [v for v in self.ignored if v != IGNORE]:
            labels[values == value] = 0
        return labels // np.uint16(self.divisor) if self.divisor > 1 else labels

    def _viewed_values(self, raw: Raw) -> NDArray[Any]:
        if self.view == "stored":
            return raw.values[..., 1] if raw.is_colour else raw.values
        if self.view == "shown":
            return grey_of(raw)
        alpha = alpha_of(raw)
        return np.full(raw.values.shape[:2], 255, np.uint8) if alpha is None else alpha

    def _labels_of_colours(self, raw: Raw) -> NDArray[np.uint16]:
        numbers = packed(colours_of(raw))
        if self.nearest:
            table = _nearest_table(tuple(sorted(self.colours.items())))
            small = (numbers >> 18 & 63) << 12 | (numbers >> 10 & 63) << 6 | numbers >> 2 & 63
            labels: NDArray[np.uint16] = table[small]
        else:
            known = np.array(sorted(self.colours), np.uint32)
            by_colour = np.array([self.colours[int(c)] for c in known], np.uint16)
            positions = np.searchsorted(known, numbers).clip(max=len(known) - 1)
            labels = np.where(known[positions] == numbers, by_colour[positions], 0).astype(
                np.uint16
            )
        alpha = alpha_of(raw)
        if alpha is not None:
            labels[alpha <= (self.full or 255) // 2] = 0
        return labels


@lru_cache(maxsize=8)
def _nearest_table(colours: tuple[tuple[int, int], ...]) -> NDArray[np.uint16]:
    """Return the label of the nearest colour, for colours of 6 bits a channel, (262144,)."""
    axis = np.arange(64) * 4 + 2
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    distance = [((grid - np.array(unpacked(c))) ** 2).sum(axis=1) for c, _ in colours]
    labels = np.array([label for _, label in colours], np.uint16)
    nearest: NDArray[np.uint16] = labels[np.argmin(distance, axis=0)]
    return nearest


def count_masks(frames: Iterable[Raw]) -> Census | FloatCensus:
    """Return the counts of a clip's masks, each frame looked at once.

    Raises
    ------
    InputError
        If integers and floats, or different numbers of channels are mixed.
    """
    census: Census | FloatCensus | None = None
    for raw in frames:
        if census is None:
            census = FloatCensus() if raw.is_float else Census()
        if raw.is_float != isinstance(census, FloatCensus):
            raise InputError(
                f"{raw.where}: expected masks of one type in a clip, got {raw.values.dtype} after "
                f"{'integers' if raw.is_float else 'floats'}"
            )
        if isinstance(census, FloatCensus):
            census.add(raw, SUM_SLACK)
        else:
            census.add(raw)
    return Census() if census is None else census


def plain_label(name: str) -> int | None:
    """Return the number in the name of a class that has no other; None for any other name.

    Examples
    --------
    >>> plain_label("class 7"), plain_label("person")
    (7, None)
    """
    numbered = re.fullmatch(PLAIN_NAME.format(r"(\d{1,5})"), name)
    return int(numbered[1]) if numbered else None


def empty_warning(frames: int) -> tuple[str, ...]:
    """Return the warning about frames without foreground, if there are any."""
    if frames == 1:
        return ("1 frame has no foreground in its mask",)
    return (f"{frames} frames have no foreground in their mask",) if frames else ()
