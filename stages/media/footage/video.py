"""Frames of a clip, decoded in a child process, in the order and number of its timeline."""

from __future__ import annotations

import math
import queue
import re
import select
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.footage.ffmpeg import start
from stages.media.footage.ffmpeg_commands import decode_command
from stages.media.footage.limits import USUAL, decoder_bytes
from stages.media.footage.pictures import NAMES, Picture, decode
from stages.media.footage.safe_open import open_regular
from stages.media.footage.sequences import frame_files, is_pictures
from stages.media.footage.timeline import Timeline

STALLED_S = 120  # for one frame, after which a decoder is given up
LAYOUTS: dict[str, tuple[np.dtype[Any], int]] = {
    "rgb24": (np.dtype(np.uint8), 3),
    "rgba": (np.dtype(np.uint8), 4),
    "gray16le": (np.dtype("<u2"), 1),
    "rgb48le": (np.dtype("<u2"), 3),
}
SHOWN = re.compile(rb"Parsed_showinfo.* n: *\d+ pts: *(-?\d+|NOPTS)")


class Frames:
    """Iterates over frames of a timeline, RGB (H, W, 3) uint8, in constant memory.

    A frame that cannot be decoded is a hole: the picture before it (at the start, the one after)
    stands in for it, and its number is in `holes` afterwards. So numbers never shift.

    Parameters
    ----------
    path : Path
    timeline : Timeline
    size : (H, W) or None
        Scaled to, areas averaged; None keeps the source's.
    frames : (start, stop) or None
        Which to give; the decoder seeks to the first where the timeline has a part that begins
        there. None is all.
    pixels : str
        Layout of a video's pixels, one of `LAYOUTS`; folders are always RGB.
    decoder : str
        The program's decoder to use rather than its usual one for the codec.

    Raises
    ------
    InputError
        While iterating: if nothing can be decoded, or the decoder stalls; names the file.
    """

    def __init__(
        self,
        path: Path,
        timeline: Timeline,
        *,
        size: tuple[int, int] | None,
        frames: tuple[int, int] | None = None,
        pixels: str = "rgb24",
        decoder: str = "",
    ) -> None:
        self._path, self._timeline = path, timeline
        self._pixels, self._decoder = pixels, decoder
        self._size = timeline.size if size is None else size
        self._start, self._stop = (0, timeline.frames) if frames is None else frames
        self.holes: list[int] = []

    def __iter__(self) -> Iterator[Picture]:
        """Yield every frame."""
        self.holes = []
        before: Picture | None = None
        due = self._start
        for number, picture in self._decoded():
            if number >= self._stop:
                before = picture if before is None else before
                break
            if number > due:
                self.holes += range(due, number)
                stand_in = picture if before is None else before
                yield from (stand_in for _ in range(due, number))
            if number >= due:
                yield picture
                due = number + 1
            before = picture
        if before is None:
            raise InputError(f"{self._path}: none of {self._timeline.frames} frames can be decoded")
        self.holes += range(due, self._stop)
        yield from (before for _ in range(due, self._stop))

    def _decoded(self) -> Iterator[tuple[int, Picture]]:
        """Yield number and picture of the frames wanted, of one or more before and some after."""
        if is_pictures(self._path):
            yield from self._from_pictures()
            return
        if self._start in self._timeline.parts[1:]:
            decoded = self._from_video(self._start)
            try:
                first = next(decoded, None)
            except InputError:
                first = None
            if first is not None and first[0] <= self._start:
                yield first
                yield from decoded
                return
        # A container that does not find its own keyframes, or damage: from the beginning.
        yield from self._from_video(0)

    def _from_pictures(self) -> Iterator[tuple[int, Picture]]:
        files = frame_files(self._path)
        if tuple(file.name for file in files) != self._timeline.names:
            raise InputError(f"{self._path}: its files changed while they were read")
        for number in range(self._start - 1, -1, -1):
            picture = self._from_file(files[number])
            if picture is not None:
                yield number, picture
                break
        for number in range(self._start, len(files)):
            picture = self._from_file(files[number])
            if picture is not None:
                yield number, picture

    def _from_file(self, file: Path) -> Picture | None:
        line = self._timeline
        picture = decode(file, size=line.size, orientation=line.orientation)
        if picture is None:
            return None
        if self._size != self._timeline.size:
            picture = cv2.resize(picture, self._size[::-1], interpolation=cv2.INTER_AREA)
        return picture

    def _from_video(self, start: int) -> Iterator[tuple[int, Picture]]:
        """Yield number and picture of what the decoder delivers, told apart by timestamp."""
        line, due = self._timeline, 0
        decoded = _decoded(
            self._path, line, self._size, start, pixels=self._pixels, decoder=self._decoder
        )
        for pts, picture in decoded:
            number = bisect_right(line.pts, pts) - 1 if line.timed and pts is not None else due
            if number < due:  # after damage a decoder may show one moment twice
                continue
            if number >= line.frames:
                raise InputError(f"{self._path}: expected {line.frames} frames, got more")
            yield number, picture
            due = number + 1


def read_frames(
    path: Path,
    timeline: Timeline,
    *,
    size: tuple[int, int] | None = None,
    frames: tuple[int, int] | None = None,
    pixels: str = "rgb24",
    decoder: str = "",
) -> Frames:
    """Return the frames of a clip; see `Frames`."""
    return Frames(path, timeline, size=size, frames=frames, pixels=pixels, decoder=decoder)


def read_picture(file: Path) -> Picture:
    """Return an image file's picture as it is shown, RGB (H, W, 3) uint8.

    Raises
    ------
    InputError
        If it is unreadable or cut off.
    """
    picture = decode(file)
    if picture is None:
        raise InputError(f"{file}: expected a whole picture ({NAMES}), could not read it")
    return picture


def _decoded(
    path: Path,
    timeline: Timeline,
    size: tuple[int, int],
    first: int,
    *,
    pixels: str = "rgb24",
    decoder: str = "",
) -> Iterator[tuple[int | None, Picture]]:
    """Yield timestamp and picture of each frame that ffmpeg delivers, from about `first` on."""
    rows, columns = size
    start_s = float(timeline.pts[first] * Fraction(*timeline.time_base)) if first else None
    most = max(USUAL.pixels, 2 * math.prod(timeline.size))  # a stream may change its size
    command = decode_command(
        size, timeline.time_base, pixels, most_pixels=most, start_s=start_s, decoder=decoder
    )
    with open_regular(path) as source:
        memory = decoder_bytes(math.prod(timeline.size))
        child = start(command, source, memory_bytes=memory)
    if child.stdout is None or child.stderr is None:
        raise RuntimeError("ffmpeg was started without pipes")
    listener = _FfmpegListener(child.stderr)
    try:
        dtype, channels = LAYOUTS[pixels]
        count = rows * columns * channels * dtype.itemsize
        while (data := _read_bytes(child.stdout, count, path)) is not None:
            values: NDArray[Any] = np.frombuffer(data, dtype)
            yield listener.next_pts(path), values.reshape(rows, columns, channels)
        if child.wait() != 0 and not listener.shown:
            listener.join()
            raise InputError(f"{path}: cannot be decoded: {listener.last_words()}")
    finally:
        child.kill()
        child.wait()
        listener.join()
        child.stdout.close()
        child.stderr.close()


def _read_bytes(pipe: IO[bytes], count: int, path: Path) -> bytearray | None:
    """Return the next `count` bytes, or None at the end."""
    data = bytearray(count)
    view, filled = memoryview(data), 0
    ends = time.monotonic() + STALLED_S
    while filled < count:
        if not select.select([pipe], [], [], max(ends - time.monotonic(), 0))[0]:
            raise InputError(f"{path}: the decoder stood still for {STALLED_S} s")
        got = pipe.raw.readinto(view[filled:])  # type: ignore[attr-defined]
        if not got:
            return None
        filled += got
    return data


class _FfmpegListener(threading.Thread):
    """Reads what ffmpeg says: the timestamp of each frame, and why it stopped."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self._pts: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._words: deque[str] = deque(maxlen=3)
        self.shown = 0
        self.start()

    def run(self) -> None:
        """Sort the lines."""
        for line in self._pipe:
            match = SHOWN.search(line)
            if match:
                self.shown += 1
                self._pts.put(None if match[1] == b"NOPTS" else int(match[1]))
            elif b"showinfo" not in line and line.strip():
                self._words.append(line.decode(errors="replace").strip())

    def next_pts(self, path: Path) -> int | None:
        """Return the timestamp of the next frame, None if it has none."""
        try:
            return self._pts.get(timeout=STALLED_S)
        except queue.Empty:
            raise InputError(f"{path}: the decoder gave a frame without saying which") from None

    def last_words(self) -> str:
        """Return the last lines that were no timestamps."""
        return "; ".join(self._words)
