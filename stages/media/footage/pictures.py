"""Pictures of strangers: their size and orientation from the header, and their pixels."""

from __future__ import annotations

import math
import struct
import subprocess
import warnings
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import InputError
from stages.media.footage.ffmpeg import run
from stages.media.footage.ffmpeg_commands import picture_command
from stages.media.footage.limits import USUAL, decoder_bytes
from stages.media.footage.safe_open import open_regular

Picture = NDArray[np.uint8]
Orientation = Literal["upright", "stored"]

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".exr", ".dpx"))
NAMES = "JPEG, PNG, TIFF, WebP, BMP, EXR or DPX"
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")  # none behind which Pillow starts a program
# what Pillow raises for a damaged header
BROKEN = (OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error, zlib.error)

EXR, DPX = b"\x76\x2f\x31\x01", (b"SDPX", b"XPDS")
HEADER_BYTES = 2**16  # of an EXR header at most
EXR_NO_LINES = 0x1A00  # bits of tiled, deep and multi-part files
EXR_LINES = (1, 1, 1, 16, 32, 16, 32, 32, 32, 256)  # of a block, by the number of its compression
ORIENTATION, MAKER = 0x112, 0x10F  # of EXIF
SIDEWAYS = (5, 6, 7, 8)  # orientations that exchange rows and columns

DECODE_LIMIT_S = 60
BYTES_A_PIXEL, SLACK_BYTES = 16, 2**24  # that are read of a picture file at most


@dataclass(frozen=True)
class Header:
    """What a picture file says of itself.

    Attributes
    ----------
    stored : (H, W)
        Of its pixel grid. TIFF readers turn a picture while they read it: there it is upright.
    orientation : int
        EXIF's number, 1 to 8; 1 is upright.
    codec : str
        "exr" or "dpx", which ffmpeg decodes; empty for the others.
    camera : bool
        Whether a camera has put its maker's name in it.
    pages : int
        Pictures in the file.
    """

    stored: tuple[int, int]
    orientation: int = 1
    codec: str = ""
    camera: bool = False
    pages: int = 1

    def size(self, orientation: Orientation) -> tuple[int, int]:
        """Return (H, W) as shown, or as stored."""
        rows, columns = self.stored
        turned = orientation == "upright" and self.orientation in SIDEWAYS
        return (columns, rows) if turned else (rows, columns)


def read_header(where: Path, source: IO[bytes]) -> Header | None:
    """Return the header of a picture file, or None if it is no picture that is read here.

    Raises
    ------
    InputError
        If it has more pixels than Pillow opens.
    """
    start = source.read(HEADER_BYTES)
    source.seek(0)
    try:
        if start[:4] == EXR:
            return Header(_exr_size(start), codec="exr")
        if start[:4] in DPX:
            order = ">" if start[:4] == DPX[0] else "<"
            columns, rows = struct.unpack_from(f"{order}2I", start, 772)
            return Header((rows, columns), codec="dpx")
        with Image.open(source, formats=FORMATS) as picture:
            header = Header((picture.height, picture.width), *_exif_orientation(picture))
            return replace(header, pages=getattr(picture, "n_frames", 1))
    except Image.DecompressionBombError as error:
        raise InputError(f"{where}: more pixels than any frame may have: {error}") from error
    except BROKEN:
        return None


def _exif_orientation(picture: Image.Image) -> tuple[int, str, bool]:
    """Return orientation (1 if none can be read), no codec, and whether a camera is named."""
    data = picture.info.get("exif")
    if not isinstance(data, bytes):
        return 1, "", False
    exif = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damage to EXIF is no damage to the picture
            exif.load(data)
        number, maker = exif.get(ORIENTATION, 1), exif.get(MAKER)
    except BROKEN:
        return 1, "", False
    return (number if isinstance(number, int) and 1 <= number <= 8 else 1), "", bool(maker)


def _exr_size(start: bytes) -> tuple[int, int]:
    """Return (H, W) of the display window of an EXR file from its attributes."""
    left, top, right, bottom = struct.unpack("<4i", _exr_attributes(start)[0][b"displayWindow"])
    return bottom - top + 1, right - left + 1


def exr_windows(start: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return display and data window of an EXR file, left, top, right and bottom each.

    Raises
    ------
    ValueError, KeyError, struct.error
        If the file does not begin as such files do.
    """
    if start[:4] != EXR:
        raise ValueError("it does not begin as EXR files do")
    attributes = _exr_attributes(start)[0]
    shown, stored = (
        struct.unpack("<4i", attributes[name]) for name in (b"displayWindow", b"dataWindow")
    )
    return shown, stored


def _exr_attributes(start: bytes) -> tuple[dict[bytes, bytes], int]:
    """Return the attributes of an EXR file by name, and where its table of blocks begins."""
    attributes, at = {}, 8
    while start[at : at + 1] != b"\0":
        end = start.index(b"\0", at)
        name, at = start[at:end], start.index(b"\0", end + 1) + 1
        (length,) = struct.unpack_from("<I", start, at)
        attributes[name], at = start[at + 4 : at + 4 + length], at + 4 + length
        if at >= len(start):
            raise ValueError("an EXR file whose header does not end")
    return attributes, at + 1


def _exr_is_whole(source: IO[bytes]) -> bool:
    """Return whether the last block of an EXR file is in it; ffmpeg takes what is cut off for 0.

    Tiled, deep and multi-part files are not looked at.
    """
    start = source.read(HEADER_BYTES)
    if struct.unpack_from("<I", start, 4)[0] & EXR_NO_LINES:
        return True
    attributes, table = _exr_attributes(start)
    _, top, _, bottom = struct.unpack("<4i", attributes[b"dataWindow"])
    blocks = -(-(bottom - top + 1) // EXR_LINES[attributes[b"compression"][0]])
    source.seek(table)
    offsets = np.frombuffer(source.read(8 * blocks), "<u8")
    last = int(offsets.max(initial=0))
    if len(offsets) < blocks or last >= 2**63:
        return False
    source.seek(last)
    _, length = struct.unpack("<iI", source.read(8))
    return bool(len(source.read(length)) == length)


def decode(
    file: Path, *, size: tuple[int, int] | None = None, orientation: Orientation = "upright"
) -> Picture | None:
    """Return a picture, RGB (H, W, 3) uint8; None where it is unreadable, cut off or too small.

    Values of 16 bits are divided by 256. EXR is taken for linear light and encoded as sRGB; values
    outside of [0, 1] are cut. DPX is taken as it is.

    Parameters
    ----------
    file : Path
    size : (H, W), optional
        That it must have; else None is returned before anything is decoded.
    orientation : {"upright", "stored"}
        Turned as EXIF says, which is how it is shown; or the pixel grid of the file.

    Raises
    ------
    InputError
        If it has more pixels than any frame may have.
    """
    try:
        with open_regular(file) as source:
            header = read_header(file, source)  # before anything of that size is allocated
            if header is None or size not in (None, header.size(orientation)):
                return None
            if size is None:
                USUAL.check_size(file, header.stored)
            source.seek(0)
            picture = _by_ffmpeg(source, header) if header.codec else _by_opencv(source, header)
    except OSError:
        return None
    if picture is None or picture.shape[:2] != header.stored:
        return None
    return turned(picture, header.orientation) if orientation == "upright" else picture


def _by_opencv(source: IO[bytes], header: Header) -> Picture | None:
    data = source.read(BYTES_A_PIXEL * math.prod(header.stored) + SLACK_BYTES)
    # OpenCV fills the missing part of a JPEG with grey: no end marker after the last scan's start.
    cut = data[:2] == b"\xff\xd8" and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    if cut:
        return None
    how = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        picture: Picture | None = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error:
        return None
    return picture


def _by_ffmpeg(source: IO[bytes], header: Header) -> Picture | None:
    """Decode EXR or DPX in a child process that may open nothing else."""
    is_float = header.codec == "exr"
    try:
        if is_float and not _exr_is_whole(source):
            return None
    except (*BROKEN, IndexError):
        return None
    source.seek(0)
    pixels = math.prod(header.stored)
    command = picture_command(
        header.codec, "gbrpf32le" if is_float else "rgb24", most_pixels=pixels
    )
    try:
        status, data, messages = run(
            command, source, limit_s=DECODE_LIMIT_S, memory_bytes=decoder_bytes(pixels)
        )
    except subprocess.TimeoutExpired:
        return None
    rows, columns = header.stored
    # What is cut off leaves a part of the picture, and a word of it.
    if status or messages or len(data) != rows * columns * (12 if is_float else 3):
        return None
    if not is_float:
        return np.frombuffer(data, np.uint8).reshape(rows, columns, 3)
    planes = np.frombuffer(data, "<f4").reshape(3, rows, columns)
    return encode_srgb(planes[[2, 0, 1]].transpose(1, 2, 0))


def encode_srgb(linear: NDArray[np.float32]) -> Picture:
    """Return linear light, 1 being white, as sRGB with 8 bits (IEC 61966-2-1); NaN is black."""
    light = np.clip(np.nan_to_num(linear, nan=0.0), 0, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255 * encoded), np.uint8)


def turned(picture: Picture, orientation: int) -> Picture:
    """Return a picture (H, W, …) as EXIF's orientation says that it is shown."""
    if orientation in SIDEWAYS:
        picture = picture.swapaxes(0, 1)
    # 5 to 8 are these after rows and columns were exchanged.
    rows, columns = {
        1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1),
        8: (-1, 1),
    }[orientation]  # fmt: skip
    return np.ascontiguousarray(picture[::rows, ::columns])
