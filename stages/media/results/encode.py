"""Writes masks: a folder of PNG, a lossless video, an overlay preview.

Each is written in parts, side by side, which are then joined; it appears whole or not at all.
"""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import av
import numpy as np
from av.codec.context import Flags
from numpy.typing import NDArray

from stages.media.footage.sound import add_sound
from stages.media.footage.timeline import Timeline
from stages.media.masks.palette import overlay, write_indexed_png

PART_FORMAT = "nut"  # takes any codec and any clock

Labels = NDArray[np.integer[Any]]
Picture = NDArray[np.uint8]


class Writer(ABC):
    """Takes labels (H, W) and picture (H, W, 3) of one frame of a part after the other."""

    @abstractmethod
    def write(self, labels: Labels, picture: Picture) -> None:
        """Write the next frame."""

    @abstractmethod
    def close(self) -> None:
        """Complete the part."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Complete the part; after an error it is of no use."""
        self.close()


class Result(ABC):
    """One kind of file or folder that a user gets."""

    name: str

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline

    @abstractmethod
    def part(self, folder: Path, first: int) -> Writer:
        """Return what writes a part, into its own folder, from frame number `first` on."""

    def join(self, parts: Sequence[Path], folder: Path) -> None:
        """Make the result in `folder` of the parts' folders, in order; they stay as they are."""
        with _replacing(folder / self.name) as draft:
            self._join([part / self.name for part in parts], draft)

    @abstractmethod
    def _join(self, parts: Sequence[Path], draft: Path) -> None:
        """Join parts."""


class PngFolder(Result):
    """``masks/00000.png`` and on: indexed PNG, one a source frame."""

    name = "masks"

    def part(self, folder: Path, first: int) -> Writer:
        """Return what writes a part."""
        return _PngWriter(folder / self.name, first)

    def _join(self, parts: Sequence[Path], draft: Path) -> None:
        draft.mkdir()
        for part in parts:
            for file in part.iterdir():
                _link(file, draft / file.name)


class _PngWriter(Writer):
    def __init__(self, folder: Path, first: int) -> None:
        self._folder, self._next = folder, first
        folder.mkdir()

    def write(self, labels: Labels, picture: Picture) -> None:
        write_indexed_png(self._folder / f"{self._next:05d}.png", labels)
        self._next += 1

    def close(self) -> None:
        """All is written."""


class Video(Result):
    """A video with the timeline's timestamps, the same bytes for the same frames and parts."""

    format: str
    muxing: ClassVar[dict[str, str]] = {}
    codec: str
    pixels: str

    def __init__(self, timeline: Timeline) -> None:
        super().__init__(timeline)
        self.zero = min(0, timeline.pts[0])  # no container holds negative timestamps

    def options(self) -> dict[str, str]:
        """Return the codec's options."""
        return {}

    @abstractmethod
    def image(self, labels: Labels, picture: Picture) -> Any:
        """Return the frame to encode."""

    def part(self, folder: Path, first: int) -> Writer:
        """Return what writes a part."""
        return _VideoWriter(self, folder / self.name, first)

    @property
    def rate(self) -> Fraction:
        """Frames a second, on average."""
        rate = Fraction(self.timeline.rate).limit_denominator(1001)
        return max(rate, Fraction(1, 1001))

    def _join(self, parts: Sequence[Path], draft: Path) -> None:
        options = {"fflags": "+bitexact", **self.muxing}
        base = Fraction(*self.timeline.time_base)
        last_s = self.timeline.last_duration * base
        # its absolute path: else a "tcp:" is a protocol
        with av.open(
            str(draft.resolve()), "w", format=self.format, container_options=options
        ) as to:
            stream: Any = None
            for part in parts:
                with av.open(str(part.resolve()), format=PART_FORMAT) as source:
                    found = source.streams.video[0]
                    if stream is None:
                        stream = to.add_stream_from_template(found)
                        stream.time_base = base
                    for packet in source.demux(found):
                        if packet.pts is not None:
                            packet.stream = stream
                            packet.duration = round(last_s / packet.time_base)
                            to.mux(packet)


class _VideoWriter(Writer):
    def __init__(self, kind: Video, path: Path, first: int) -> None:
        self._kind, self._path, self._next = kind, path, first
        self._container: Any = None
        self._stream: Any = None

    def write(self, labels: Labels, picture: Picture) -> None:
        line = self._kind.timeline
        frame = self._kind.image(labels, picture)
        if self._container is None:
            self._open(frame)
        frame.pts = line.pts[self._next] - self._kind.zero
        frame.time_base = Fraction(*line.time_base)
        self._container.mux(self._stream.encode(frame))
        self._next += 1

    def _open(self, frame: Any) -> None:
        kind, base = self._kind, Fraction(*self._kind.timeline.time_base)
        self._container = av.open(
            str(self._path.resolve()), "w", format=PART_FORMAT,
            container_options={"fflags": "+bitexact"},
        )  # fmt: skip
        self._stream = self._container.add_stream(
            kind.codec, rate=kind.rate, options=kind.options()
        )
        self._stream.width, self._stream.height = frame.width, frame.height
        self._stream.pix_fmt = kind.pixels
        self._stream.codec_context.sample_aspect_ratio = Fraction(*kind.timeline.aspect)
        self._stream.codec_context.flags |= Flags.bitexact
        self._stream.thread_count = 1
        self._stream.codec_context.time_base = base
        self._stream.time_base = base

    def close(self) -> None:
        if self._container is not None:
            self._container.mux(self._stream.encode(None))
            self._container.close()


class MaskVideo(Video):
    """``masks.mkv``: labels as grey values, lossless (FFV1). Matroska keeps milliseconds."""

    name = "masks.mkv"
    format, codec = "matroska", "ffv1"

    def __init__(self, timeline: Timeline, largest_label: int) -> None:
        super().__init__(timeline)
        self.pixels = "gray" if largest_label < 256 else "gray16le"

    def options(self) -> dict[str, str]:
        """Return the old format, which has no slices, for a picture too narrow for them."""
        return {"level": "1"} if self.timeline.size[1] == 1 else {}

    def image(self, labels: Labels, picture: Picture) -> Any:
        """Return the labels as a grey picture."""
        values = labels.astype(np.uint8 if self.pixels == "gray" else np.uint16)
        return av.VideoFrame.from_ndarray(values, format=self.pixels)


class Overlay(Video):
    """``overlay.mp4``: masks over the picture, H.264, with the source's sound.

    Its clock starts when a player of the source starts, as a broadcast's may stand at hours.
    """

    name = "overlay.mp4"
    format, codec, pixels = "mp4", "libx264", "yuv420p"
    muxing: ClassVar[dict[str, str]] = {"movflags": "+faststart"}

    def __init__(self, timeline: Timeline, source: Path, alpha: float) -> None:
        super().__init__(timeline)
        self._source, self._alpha = source, alpha
        self.zero = timeline.origin

    def options(self) -> dict[str, str]:
        """Fast, and good enough to judge a mask by."""
        return {"preset": "ultrafast", "crf": "20"}

    def image(self, labels: Labels, picture: Picture) -> Any:
        """Return the overlay, padded to even sides as H.264 wants them."""
        mixed = overlay(picture, labels, alpha=self._alpha)
        odd = [(0, side % 2) for side in mixed.shape[:2]]
        if any(pad for _, pad in odd):
            mixed = np.pad(mixed, (*odd, (0, 0)), mode="edge")
        return av.VideoFrame.from_ndarray(mixed, format="rgb24").reformat(format="yuv420p")

    def _join(self, parts: Sequence[Path], draft: Path) -> None:
        super()._join(parts, draft)
        if self.timeline.audio:
            add_sound(draft, self._source, self.timeline)


def results(
    formats: Sequence[str], timeline: Timeline, source: Path, *, alpha: float, largest_label: int
) -> list[Result]:
    """Return the results wanted.

    Parameters
    ----------
    formats : of "png", "ffv1", "overlay"
    timeline : Timeline
    source : Path
        The footage, for its sound.
    alpha : float
        Opacity of the overlay.
    largest_label : int
        Over 255 the lossless video has 16 bits.
    """
    made: list[Result] = []
    for name in formats:
        if name == "png":
            made.append(PngFolder(timeline))
        elif name == "ffv1":
            made.append(MaskVideo(timeline, largest_label))
        else:
            made.append(Overlay(timeline, source, alpha))
    return made


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Give a path to write to, which then takes the target's place, or after an error is gone."""
    draft = target.with_name(f".draft-{target.name}")
    _remove(draft)
    try:
        yield draft
        _remove(target)
        draft.rename(target)
    finally:
        _remove(draft)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _link(file: Path, target: Path) -> None:
    """Give a file a second name, or copy it where it can have one only."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)
