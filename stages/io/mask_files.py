"""Masks in a folder: one PNG, .npy or .npz a frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pipeline.errors import InputError
from stages.io.mask_arrays import load_array, soft_channels
from stages.io.mask_source import (
    Kind,
    MaskSource,
    assign,
    check_size,
    empty_warning,
    grey_kind,
    labels_of,
    refuse_missing,
)
from stages.io.timeline import natural_key

SUFFIXES = frozenset({".png", ".npy", ".npz"})
FULL_16 = 65535


class FolderMasks(MaskSource):
    """See `stages.io.masks.open_masks`."""

    def __init__(
        self,
        folder: Path,
        frames: int,
        frame_names: Sequence[str],
        size: tuple[int, int],
        kind: Kind,
        missing: Literal["error", "hold", "empty"],
    ) -> None:
        files = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != "."]
        files.sort(key=lambda path: natural_key(path.name))
        if not files:
            raise InputError(f"{folder}: expected PNG, .npy or .npz masks, found none")
        placed = assign(folder, [file.name for file in files], frames, frame_names)
        absent = [frame for frame in range(frames) if frame not in placed]
        if missing == "error":
            refuse_missing(folder, absent, frames)
        self._size = size
        self._files = _filled(files, placed, frames, hold=missing == "hold")
        if absent:
            self.warnings += (f"{len(absent)} frames have no mask: {missing}",)
        self._grey: Literal["labels", "soft", "binary"] = "labels"
        self._look_through(files, kind)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield the masks of all frames."""
        shape = self._size if self.kind == "labels" else (len(self.classes), *self._size)
        dtype = np.uint16 if self.kind == "labels" else np.float32
        for file in self._files:
            yield np.zeros(shape, dtype) if file is None else self._meaning(file, _read(file))

    def _look_through(self, files: list[Path], kind: Kind) -> None:
        """Read every file once: sizes, what grey means, classes, frames without foreground."""
        counts, channels, empty, is_grey = np.zeros(1 << 16, np.int64), 0, 0, False
        for file in files:
            values = _read(file)
            soft = values.dtype.kind == "f"
            shape = soft_channels(file, values).shape if soft else values.shape
            check_size(file, shape[-2:], self._size)
            empty += not values.any()
            if soft:
                channels = max(channels, shape[0])
                continue
            is_grey |= _is_grey(file)
            counts += np.bincount(labels_raw(file, values).ravel(), minlength=1 << 16)
        self.warnings += empty_warning(empty)
        if channels:
            self.kind, self.classes = "soft", tuple(range(1, channels + 1))
            return
        if is_grey:
            self._grey = grey_kind(counts[:256], kind)
        elif np.isin(np.flatnonzero(counts), (0, FULL_16)).all():
            self._grey = "binary"
        if self._grey == "labels":
            counts[0] = 0
            counts[255] *= any(file.suffix.lower() != ".png" or _deep(file) for file in files[:1])
            self.classes = tuple(int(label) for label in np.flatnonzero(counts))
        else:
            self.kind = "soft" if self._grey == "soft" else "labels"
            self.classes = (1,) if counts[1:].any() else ()

    def _meaning(self, file: Path, values: NDArray[Any]) -> NDArray[Any]:
        if values.dtype.kind == "f":
            return soft_channels(file, values)
        if self._grey == "soft":
            return (values.astype(np.float32) / np.float32(255))[None]
        if self._grey == "binary":
            return (values > np.iinfo(values.dtype).max // 2).astype(np.uint16)
        return labels_of(file, values)


def labels_raw(file: Path, values: NDArray[Any]) -> NDArray[np.uint16]:
    """Return integer values as they are, checked to be labels."""
    if values.dtype == np.uint8:
        return values.astype(np.uint16)
    return labels_of(file, values)


def _filled(
    files: list[Path], placed: dict[int, int], frames: int, *, hold: bool
) -> list[Path | None]:
    """Return the file of every frame; with `hold`, the nearest before (first: after) if none."""
    out: list[Path | None] = [
        files[placed[frame]] if frame in placed else None for frame in range(frames)
    ]
    if hold:
        last = next(file for file in out if file is not None)
        for frame, file in enumerate(out):
            last = out[frame] = last if file is None else file
    return out


def _read(file: Path) -> NDArray[Any]:
    """Return a PNG's values (the index where it has a palette), or a file's array."""
    if file.suffix.lower() != ".png":
        return load_array(file)
    try:
        with Image.open(file) as picture:
            if picture.mode not in ("P", "L", "1", "I", "I;16", "I;16B"):
                raise InputError(
                    f"{file}: expected an indexed or grey PNG, got {picture.mode}: convert colour-"
                    "coded masks to indexed PNG"
                )
            values = np.asarray(picture)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError(f"{file}: not a readable PNG ({error})") from error
    return values.astype(np.uint16) if values.dtype.itemsize > 1 else values.astype(np.uint8)


def _is_grey(file: Path) -> bool:
    if file.suffix.lower() != ".png":
        return False
    with Image.open(file) as picture:
        return picture.mode == "L"


def _deep(file: Path) -> bool:
    with Image.open(file) as picture:
        return picture.mode.startswith("I")
