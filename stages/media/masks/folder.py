"""Masks in a folder: one PNG, .npy or .npz a frame."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import InputError
from stages.media.footage.safe_open import open_regular
from stages.media.footage.timeline import natural_key, part_starts
from stages.media.masks.arrays import frame_bytes, load_array
from stages.media.masks.frame_matching import match_frames
from stages.media.masks.legend import Legend, Raw, look_through, raw_of
from stages.media.masks.sizes import fit_note
from stages.media.masks.source import Known, MaskSource

if TYPE_CHECKING:
    from stages.media.masks.contract import FootageFacts, ReadingChoices

SUFFIXES = frozenset({".png", ".npy", ".npz"})
BROKEN = (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)


class FolderMasks(MaskSource):
    """See `stages.media.masks.open.open_masks`."""

    def __init__(
        self, folder: Path, footage: FootageFacts, choices: ReadingChoices, known: Known | None
    ) -> None:
        frames, size = footage.frames, footage.size
        super().__init__(frames)
        files = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != "."]
        files.sort(key=lambda path: natural_key(path.name))
        if not files:
            raise InputError(f"{folder}: expected PNG, .npy or .npz masks, found none")
        names = [file.name for file in files]
        match = match_frames(
            folder, names, frames, footage.frame_names, choices.missing, first=choices.first
        )
        self._size = size
        self._files = [None if mask is None else files[mask] for mask in match.chosen]
        self.names = tuple(file.name for file in self._files if file is not None)
        self.names = self.names if len(set(self.names)) == frames else ()
        self.absent = match.unknown(choices.missing)
        self.starts = part_starts(range(frames), frames)
        if known is not None:
            self.legend = Legend.from_json(known["legend"])
            return
        seen = look_through((self._load(f) for f in self._files if f is not None), choices.kind)
        self.legend, self.warnings = seen.legend, match.notes + seen.warnings
        self.reading = f"{len(files)} masks, {self.legend.describe_classes()}; {match.words}"

    def read(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """Yield the masks of frames `start` to `stop`."""
        legend = self.legend
        hard = legend.kind == "labels"
        shape = self._size if hard else (len(legend.classes), *self._size)
        for file in self._files[start:stop]:
            if file is None:
                yield np.zeros(shape, np.uint16 if hard else np.float32)
            else:
                yield legend.apply(self._load(file).values)

    def _load(self, file: Path) -> Raw:
        if file.suffix.lower() == ".png":
            return read_png(file, size=self._size)
        array = load_array(file, most_bytes=frame_bytes(self._size))
        if array.ndim in (2, 3):
            fit_note(file, (array.shape[-2], array.shape[-1]), self._size)
        return raw_of(file, array)


def read_png(file: Path, *, size: tuple[int, int] | None = None) -> Raw:
    """Return a PNG's values: the index where it has a palette.

    Raises
    ------
    InputError
        If it is unreadable, or of another size than `size`.
    """
    try:
        # no other format: for EPS, Pillow would start a program
        with open_regular(file) as source, Image.open(source, formats=["PNG"]) as picture:
            if size is not None:
                fit_note(file, (picture.height, picture.width), size)
            mode, values = picture.mode, np.asarray(picture)
    except BROKEN as error:
        raise InputError(f"{file}: not a readable PNG ({error})") from error
    if mode not in ("P", "L", "1", "I", "I;16", "I;16B"):
        raise InputError(
            f"{file}: expected an indexed or grey PNG, got {mode}: convert colour-coded masks to "
            "indexed PNG"
        )
    wide = np.uint16 if mode.startswith("I") else np.uint8
    return Raw(file, values.astype(wide, copy=False), indexed=mode in ("P", "1"))
