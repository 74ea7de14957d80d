"""Pictures as masks: any usual format, read to the values that were written, never converted."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pipeline.errors import InputError
from stages.media.footage.limits import USUAL
from stages.media.footage.safe_open import open_regular
from stages.media.masks.exr_file import read_exr
from stages.media.masks.raw import Raw, raw_of

# No other format: for EPS, Pillow would start a program.
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "TGA", "PPM")
PICTURES = frozenset(
    (
        *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".tga"),
        *(".pgm", ".ppm", ".exr"),
    )
)
BROKEN = (OSError, SyntaxError, ValueError, TypeError, struct.error, zlib.error, KeyError,
          IndexError, OverflowError, MemoryError, Image.DecompressionBombError)  # fmt: skip
MOST_BYTES = 2**30  # of one picture's file


@dataclass(frozen=True)
class MaskFile:
    """One file with a mask: in a folder, or in an archive.

    Attributes
    ----------
    path : Path
        The file, or the archive.
    member : str
        The name inside the archive; empty for a file.
    """

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        """The file's name without folders."""
        return Path(self.member).name if self.member else self.path.name

    @property
    def suffix(self) -> str:
        """Its ending in lower case."""
        return Path(self.name).suffix.lower()

    @property
    def where(self) -> Path:
        """The file, for messages."""
        return self.path / self.member if self.member else self.path

    def open(self) -> IO[bytes]:
        """Return it opened for reading.

        Raises
        ------
        InputError
            If it is no regular file, or too large.
        OSError
            If it cannot be read.
        """
        source = open_regular(self.path)
        if not self.member:
            return source
        with source, zipfile.ZipFile(source) as archive:
            if archive.getinfo(self.member).file_size > MOST_BYTES:
                raise InputError(f"{self.where}: expected at most {MOST_BYTES} bytes, got more")
            return io.BytesIO(archive.read(self.member))


def read_mask_picture(file: MaskFile) -> Raw:
    """Return the values of a picture: indexes with their palette, grey levels, or colours.

    Raises
    ------
    InputError
        If it is unreadable.
    """
    try:
        with file.open() as source:
            if file.suffix == ".exr":
                return read_exr(file.where, source.read(MOST_BYTES))
            start = source.read(4096)
            if not start:
                raise ValueError("an empty file")
            source.seek(0)
            with Image.open(source, formats=FORMATS) as picture:
                USUAL.check_size(file.where, (picture.height, picture.width))
                return raw_of_picture(file.where, picture, exact=is_exact(picture, start))
    except (*BROKEN, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        kind = file.suffix.removeprefix(".").upper()
        reason = (
            f"it begins as no picture of {', '.join(FORMATS)} does"
            if isinstance(error, UnidentifiedImageError)
            else error
        )
        raise InputError(f"{file.where}: not a readable {kind} ({reason})") from error


def raw_of_picture(where: Path, picture: Image.Image, *, exact: bool = True) -> Raw:
    """Return the values of an open Pillow picture, as stored."""
    mode = picture.mode
    if mode == "1":
        return Raw(where, np.asarray(picture.convert("L")), exact=exact)
    if mode == "P":
        return Raw(where, np.asarray(picture), _palette_colours(picture), exact=exact)
    if mode == "L" or mode.startswith("I;16"):
        wide = np.uint8 if mode == "L" else np.uint16
        return Raw(where, np.asarray(picture).astype(wide, copy=False), exact=exact)
    if mode == "I":
        return _narrowed_values(where, np.asarray(picture))
    if mode == "F":
        return raw_of(where, np.asarray(picture))
    has_alpha = "A" in mode or "a" in mode or "transparency" in picture.info
    return Raw(where, np.asarray(picture.convert("RGBA" if has_alpha else "RGB")), exact=exact)


def _narrowed_values(where: Path, values: NDArray[Any]) -> Raw:
    """Return 32-bit integers as 16 bits, which they are where Pillow widened them."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high > 65535:
        raise InputError(f"{where}: expected values in 0-65535, got {low} to {high}")
    return Raw(where, values.astype(np.uint16))


def is_exact(picture: Image.Image, start: bytes) -> bool:
    """Return whether an open picture, whose file begins so, gives the values that were written."""
    if picture.format == "JPEG":
        return False
    if picture.format == "WEBP":
        return b"VP8L" in start and b"VP8 " not in start
    return "jpeg" not in str(picture.info.get("compression", "")).lower()


def _palette_colours(picture: Image.Image) -> NDArray[np.uint8]:
    """Return the 256 colours of an indexed picture, with alpha."""
    colours = np.zeros((256, 4), np.uint8)
    colours[:, 3] = 255
    listed = np.array(picture.getpalette("RGB") or [], np.uint8).reshape(-1, 3)[:256]
    colours[: len(listed), :3] = listed
    transparency = picture.info.get("transparency")
    if isinstance(transparency, int) and 0 <= transparency < 256:
        colours[transparency, 3] = 0
    elif isinstance(transparency, bytes):
        alpha = np.frombuffer(transparency[:256], np.uint8)
        colours[: len(alpha), 3] = alpha
    return colours


def read_picture_size(file: MaskFile) -> tuple[int, int] | None:
    """Return (H, W) of a picture from its header; None if that cannot be read."""
    try:
        with file.open() as source, Image.open(source, formats=FORMATS) as picture:
            return picture.height, picture.width
    except (*BROKEN, InputError, zipfile.BadZipFile):
        return None
