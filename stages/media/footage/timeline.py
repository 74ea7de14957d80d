"""The timeline of a clip: number and timestamp of every frame, made once."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from stages.media.footage.ffmpeg import CONFINED, run
from stages.media.footage.limits import GIB, USUAL, Limits
from stages.media.footage.pictures import NAMES, Header, Orientation, read_header
from stages.media.footage.safe_open import open_regular
from stages.media.footage.sequences import frame_files, is_pictures, natural_key

__all__ = ["Timeline", "content_digest", "frame_files", "natural_key", "probe", "working_size"]

PROBE_LIMIT_S = 600
PROBE_BYTES = 6 * GIB  # of memory; five million frames take one
FOLDER_TICKS = 90000  # a second, for folders of frames
READ_BYTES = 1 << 20
PART = 240  # frames, at least, of a part that is decoded by itself


@dataclass(frozen=True)
class Timeline:
    """What a clip's container says of its frames.

    Attributes
    ----------
    frames : int
        Source frames, hence masks to be written.
    pts : tuple of int
        Timestamp of every frame, strictly increasing, in units of `time_base` seconds.
    time_base : (numerator, denominator)
    last_duration : int
        How long the last frame stays, in the same units.
    rate : float
        Average frames per second.
    size : (H, W)
        As displayed, rotation applied.
    rotation : int
        Degrees counterclockwise that the file asks for.
    audio : str
        Codec of the sound; empty if there is none.
    aspect : (numerator, denominator)
        Width of a pixel by its height.
    origin : int
        When a player starts, in the same units: with the sound, where that comes first.
    timed : bool
        Whether `pts` tell frames apart. False where the container's were missing, equal or not
        those of the pictures: then only the order counts.
    names : tuple of str
        File names, for a folder of frames; else empty.
    parts : tuple of int
        First frame of each part that can be decoded by itself; about `PART` frames long or longer.
    orientation : {"upright", "stored"}
        Whether pictures are turned as EXIF says.
    nominal_rate : float
        Frames per second that the container announces, at which programs extract pictures; 0 where
        there is none.
    notes : tuple of str
        What a user should know of it.
    """

    frames: int
    pts: tuple[int, ...]
    time_base: tuple[int, int]
    last_duration: int
    rate: float
    size: tuple[int, int]
    rotation: int = 0
    audio: str = ""
    aspect: tuple[int, int] = (1, 1)
    origin: int = 0
    timed: bool = True
    names: tuple[str, ...] = ()
    parts: tuple[int, ...] = (0,)
    orientation: Orientation = "upright"
    nominal_rate: float = 0.0
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Timeline:
        """Return the timeline that `to_json` was made from."""
        lists: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in values.items()
        }
        return cls(**lists)


def probe(
    path: Path,
    *,
    rate: float = 24.0,
    limits: Limits = USUAL,
    orientation: Orientation = "upright",
) -> Timeline:
    """Return the timeline of a video file or of pictures; see `frame_files` for these.

    Parameters
    ----------
    path : Path
    rate : float
        Frames per second of a folder.
    limits : Limits
        On what it may announce.
    orientation : {"upright", "stored"}
        Of pictures: turned as EXIF says, or the pixel grid of the files.

    Raises
    ------
    InputError
        If there is no frame in it, more than the limits allow, or a folder's frames differ in size;
        names the file.
    """
    if is_pictures(path):
        return _probe_pictures(path, rate, limits, orientation)
    return timeline_of(path, announced(path, limits), limits)


def working_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Return the size to work at: the short side as asked, never larger than the source."""
    scale = min(1.0, short_side / min(size))
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def content_digest(path: Path, limits: Limits = USUAL) -> str:
    """Return the SHA-256 of a file, or of the names and bytes of all files of a folder.

    Raises
    ------
    InputError
        If they are larger than the limits allow: a file with holes may claim any size.
    """
    digest = hashlib.sha256()
    pictures = is_pictures(path)
    inside = [path]
    if pictures:
        inside = sorted(path.iterdir()) if path.is_dir() else frame_files(path)
    files = [file for file in inside if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    if size > limits.file_bytes:
        raise InputError(
            f"{path}: expected at most {limits.file_bytes} bytes, got {size}: if you trust it, "
            "raise file_bytes in ingest.limits"
        )
    for file in files:
        if pictures:
            digest.update(
                os.fsencode(file.name) + b"\0" + str(file.stat().st_size).encode() + b"\0"
            )
        with file.open("rb") as handle:
            while block := handle.read(READ_BYTES):
                digest.update(block)
    return digest.hexdigest()


def announced(path: Path, limits: Limits) -> dict[str, Any]:
    """Return the facts of a video by `stages.media.footage.probe_child`, size and frames checked.

    Raises
    ------
    InputError
        If it is no readable video, or larger than the limits; names the file.
    """
    child = str(Path(__file__).with_name("probe_child.py"))
    options = json.dumps({**CONFINED, "max_pixels": str(limits.pixels)})
    command = [sys.executable, "-P", child, options, str(limits.frames)]
    try:
        with open_regular(path) as source:
            if os.fstat(source.fileno()).st_size == 0:
                raise InputError(f"{path}: the file is empty")
            answer = run(command, source, limit_s=PROBE_LIMIT_S, memory_bytes=PROBE_BYTES)
        properties: dict[str, Any] = json.loads(answer[1])
    except OSError as error:
        raise InputError(f"{path}: {_probe_reason(error)}") from error
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{path}: not understood within {PROBE_LIMIT_S} s") from error
    except ValueError as error:
        raise InputError(f"{path}: reading it crashed the demuxer") from error
    if "error" in properties:
        raise InputError(f"{path}: not a readable video: {properties['error']}")
    rows, columns = properties["size"]
    limits.check_size(path, (rows, columns))
    limits.check_length(path, len(properties["pts"]), (rows, columns))
    if not properties["pts"]:
        raise InputError(f"{path}: expected frames, found none")
    return properties


def _probe_reason(error: OSError) -> str:
    return "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)


def timeline_of(path: Path, properties: dict[str, Any], limits: Limits) -> Timeline:
    """Return the timeline of a video from what was `announced`.

    Raises
    ------
    InputError
        If it has no clock, or lasts longer than the limits allow.
    """
    if min(properties["time_base"]) < 1:
        raise InputError(f"{path}: expected a unit of time, got {properties['time_base']}")
    base = Fraction(*properties["time_base"])
    rate = properties["rate"] if 0 < properties["rate"] < math.inf else 25.0
    tick = 1 / (rate * base)
    pts = _increasing_times(properties["pts"], tick)
    start = (
        pts[0]
        if properties["start_us"] is None
        else round(Fraction(properties["start_us"], 10**6) / base)
    )
    aspect = _pixel_aspect(properties["aspect"])
    last = (properties["timed"] and properties["last_duration"]) or max(round(tick), 1)
    length = float((pts[-1] + last - pts[0]) * base)
    size = (properties["size"][0], properties["size"][1])
    limits.check_length(path, len(pts), size, max(length, float((pts[-1] - start) * base)))
    rows, columns = size
    turned = properties["rotation"] % 180 != 0
    if turned:
        rows, columns, aspect = columns, rows, 1 / aspect
    return Timeline(
        frames=len(pts),
        pts=tuple(pts),
        time_base=(base.numerator, base.denominator),
        last_duration=last,
        rate=len(pts) / length if length > 0 else rate,
        size=(rows, columns),
        rotation=properties["rotation"],
        audio=properties["audio"],
        aspect=(aspect.numerator, aspect.denominator),
        origin=min(start, pts[0]),
        timed=properties["timed"],
        nominal_rate=properties["nominal"],
        notes=(*properties["notes"], *_shown_otherwise(properties)),
        parts=part_starts(properties["entries"], len(pts)),
    )


def _shown_otherwise(properties: dict[str, Any]) -> Iterator[str]:
    """Yield notes on a video that players show otherwise than its pixels are stored."""
    if properties["rotation"]:
        yield (
            f"it asks to be turned by {-properties['rotation'] % 360} degrees and is shown so, as "
            "players do; masks must be upright too"
        )
    if properties.get("interlaced"):
        yield (
            "it is interlaced: lines of two moments are in one picture, and combs at edges stay; "
            "deinterlace it first (ffmpeg -vf bwdif) for clean outlines"
        )


def part_starts(entries: Iterable[int], frames: int) -> tuple[int, ...]:
    """Return first frames of parts: of `entries`, those `PART` apart or more, and from the end."""
    starts = [0]
    for entry in entries:
        if entry - starts[-1] >= PART and frames - entry >= PART:
            starts.append(entry)
    return tuple(starts)


def _pixel_aspect(text: str) -> Fraction:
    """Return the shape of a pixel; square where the file says what no pixel has."""
    aspect = Fraction(text)
    return aspect if aspect > 0 else Fraction(1)


def _increasing_times(announced: list[int | None], tick: float) -> list[int]:
    """Return timestamps in display order; where they are missing or equal, a frame later."""
    if any(pts is None for pts in announced):
        return [round(k * tick) for k in range(len(announced))]
    pts = sorted(value for value in announced if value is not None)
    for k in range(1, len(pts)):
        if pts[k] <= pts[k - 1]:
            pts[k] = pts[k - 1] + 1
    return pts


def _probe_pictures(path: Path, rate: float, limits: Limits, orientation: Orientation) -> Timeline:
    files = frame_files(path)
    if not files:
        raise InputError(f"{path}: expected frames as {NAMES}, found none")
    limits.check_length(path, len(files), (0, 0), len(files) / rate)
    headers = {file: header for file in files if (header := _picture_header(file)) is not None}
    if not headers:
        raise InputError(f"{path}: none of its {len(files)} frames can be read as {NAMES}")
    sizes = {file: header.size(orientation) for file, header in headers.items()}
    (size, _), *others = Counter(sizes.values()).most_common()
    if others:
        odd = next(file for file in files if file in sizes and sizes[file] != size)
        got = f"{sizes[odd][1]}x{sizes[odd][0]}"
        raise InputError(f"{odd}: expected {size[1]}x{size[0]} like the other frames, got {got}")
    limits.check_size(next(iter(headers)), size)
    limits.check_length(path, len(files), size)
    tick = max(round(FOLDER_TICKS / rate), 1)
    return Timeline(
        frames=len(files),
        pts=tuple(k * tick for k in range(len(files))),
        time_base=(1, FOLDER_TICKS),
        last_duration=tick,
        rate=rate,
        size=size,
        names=tuple(file.name for file in files),
        parts=part_starts(range(len(files)), len(files)),
        orientation=orientation,
        notes=(*_orientation_notes(headers.values(), orientation), *_page_notes(headers)),
    )


def _orientation_notes(headers: Iterable[Header], orientation: Orientation) -> tuple[str, ...]:
    """Return notes that frames are turned, or would be."""
    numbers = Counter(header.orientation for header in headers if header.orientation != 1)
    if not numbers:
        return ()
    which = ", ".join(f"{count} have {number}" for number, count in sorted(numbers.items()))
    how = (
        "turned upright, as viewers show them; masks must be upright too"
        if orientation == "upright"
        else "not turned; masks must lie as the pixels are stored"
    )
    return (f"frames with an EXIF orientation ({which}): {how} (ingest.orientation)",)


def _page_notes(headers: Mapping[Path, Header]) -> tuple[str, ...]:
    """Return a note on files of several pictures, of which only the first is a frame."""
    several = {file.name: header.pages for file, header in headers.items() if header.pages > 1}
    if not several:
        return ()
    name, pages = next(iter(several.items()))
    more = f" (and {len(several) - 1} more such files)" if len(several) > 1 else ""
    return (
        f"{name} holds {pages} pictures{more}: only the first of a file is a frame; make it a "
        "video or a folder of frames to have all",
    )


def _picture_header(file: Path) -> Header | None:
    """Return the header of a picture, or None where it cannot be read."""
    try:
        with open_regular(file) as source:
            return read_header(file, source)
    except OSError:
        return None
