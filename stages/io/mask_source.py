"""What every format of masks turns into, and the rules that all formats share."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError

Kind = Literal["auto", "labels", "soft", "binary"]

MOST_LABELS = 63  # grey values up to this are taken for labels
IGNORE = 255  # in 8-bit label files: neither class nor background; read as background


class MaskSource(ABC):
    """The masks of a clip, one a frame, in order.

    Attributes
    ----------
    kind : {"labels", "soft"}
        Whether iteration yields labels (H, W) uint16, or soft masks (C, H, W) float32 in [0, 1]
        of the foreground classes.
    classes : tuple of int
        Labels that occur, ascending, background left out; 1 … C for soft masks.
    warnings : tuple of str
        What a user should know.
    """

    kind: Literal["labels", "soft"] = "labels"
    classes: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()

    @abstractmethod
    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield the masks of all frames."""

    def scan(self) -> None:
        """Look through all label masks for their classes, and for frames without any."""
        seen, empty = np.zeros(1 << 16, np.bool_), 0
        for labels in self:
            counts = np.bincount(labels.ravel())
            seen[: len(counts)] |= counts > 0
            empty += not counts[1:].any()
        seen[0] = False
        self.classes = tuple(int(label) for label in np.flatnonzero(seen))
        self.warnings += empty_warning(empty)


def empty_warning(frames: int) -> tuple[str, ...]:
    """Return the warning about frames without foreground, if there are any."""
    return (f"{frames} frames have no foreground in their mask",) if frames else ()


def check_size(where: Path, got: Sequence[int], size: tuple[int, int]) -> None:
    """Refuse a mask of another size than the footage.

    Raises
    ------
    InputError
    """
    if tuple(got) != size:
        raise InputError(
            f"{where}: expected {size[1]}x{size[0]} like the footage, got {got[1]}x{got[0]}"
        )


def check_soft(where: Path, soft: NDArray[Any]) -> NDArray[np.float32]:
    """Return soft masks as float32.

    Raises
    ------
    InputError
        If a value is NaN or outside [0, 1].
    """
    if not np.isfinite(soft).all() or soft.min(initial=0) < 0 or soft.max(initial=0) > 1:
        low, high = np.nanmin(soft), np.nanmax(soft)
        nan = " and NaN" if np.isnan(soft).any() else ""
        raise InputError(f"{where}: expected values in [0, 1], got {low:g} to {high:g}{nan}")
    return soft.astype(np.float32)


def labels_of(where: Path, values: NDArray[Any]) -> NDArray[np.uint16]:
    """Return integer or bool values as labels; 255 of 8-bit values is background.

    Raises
    ------
    InputError
        If they are of another type, negative or over 65535.
    """
    if values.dtype.kind not in "bui":
        raise InputError(f"{where}: expected bool, integers or floats, got {values.dtype}")
    if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
        raise InputError(
            f"{where}: expected labels in 0-65535, got {values.min()} to {values.max()}"
        )
    labels = values.astype(np.uint16)
    if values.dtype.itemsize == 1:
        labels[labels == IGNORE] = 0
    return labels


def grey_kind(counts: NDArray[np.integer[Any]], kind: Kind) -> Literal["labels", "soft", "binary"]:
    """Return what 8-bit grey masks mean, by which of the 256 values occur in the clip."""
    if kind != "auto":
        return kind
    values = np.flatnonzero(counts)
    if np.isin(values, (0, 255)).all():
        return "binary"
    return "labels" if values[values < IGNORE].max(initial=0) <= MOST_LABELS else "soft"


def assign(
    where: Path, names: Sequence[str], frames: int, frame_names: Sequence[str]
) -> dict[int, int]:
    """Return which mask belongs to which frame: {frame: number of the mask}.

    By name where the footage is a folder and the names agree; in order where there are as many
    masks as frames; else by number, counted from the footage's first, or from the masks' own.

    Raises
    ------
    InputError
        If there are more masks than frames, or they cannot be told apart.
    """
    stems = [Path(name).stem for name in names]
    positions = {Path(name).stem: k for k, name in enumerate(frame_names)}
    if positions and all(stem in positions for stem in stems):
        return {positions[stem]: k for k, stem in enumerate(stems)}
    if len(names) == frames:
        return {k: k for k in range(frames)}
    if len(names) > frames:
        raise InputError(f"{where}: expected {frames} masks, one a frame, got {len(names)}")
    numbers = [_number(stem) for stem in stems]
    footage = {_number(stem): k for stem, k in positions.items()}
    if None not in footage and footage and all(number in footage for number in numbers):
        return {footage[number]: k for k, number in enumerate(numbers)}
    known = [number for number in numbers if number is not None]
    if len(set(known)) == len(names) and max(known) - min(known) < frames:
        return {number - min(known): k for k, number in enumerate(known)}
    raise InputError(
        f"{where}: expected {frames} masks, one a frame, got {len(names)}, and their names "
        f"({names[0]} …) do not tell which frames they belong to"
    )


def refuse_missing(where: Path, missing: Sequence[int], frames: int) -> None:
    """Refuse a clip with frames that have no mask, naming the first ones.

    Raises
    ------
    InputError
    """
    if missing:
        some = ", ".join(map(str, missing[:5])) + (", …" if len(missing) > 5 else "")
        raise InputError(
            f"{where}: {len(missing)} of {frames} frames have no mask (frames {some}): add them, "
            "or set segment.missing to hold or empty"
        )


def _number(stem: str) -> int | None:
    found = re.findall(r"[0-9]+", stem)
    return int(found[-1]) if found else None
