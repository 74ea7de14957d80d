"""Writes masks: a folder of PNG, a lossless video, an overlay preview. Each whole or absent."""

from __future__ import annotations

import logging
import shutil
import subprocess
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import av
import ffmpeg
import numpy as np
from av.codec.context import Flags
from numpy.typing import NDArray

from stages.io.ffmpeg import CONFINED, INPUT, ffmpeg_path, run
from stages.io.files import open_regular
from stages.io.limits import GIB
from stages.io.palette import overlay, write_indexed_png
from stages.io.timeline import Timeline

log = logging.getLogger(__name__)

AUDIO_LIMIT_S = 600
AUDIO_BYTES = 4 * GIB  # of memory
SOUND_BYTES_A_S = 64_000  # of what was transcoded, generously
SLACK_BYTES = 2**26
# what players take from an MP4
COPIED = frozenset(["aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"])


class Writer:
    """Takes labels and picture of one frame after the other; on leaving, the result appears."""

    name: str

    def __init__(self, folder: Path) -> None:
        self._target = folder / self.name
        self._draft = folder / f".draft-{self.name}"
        self._written = 0

    def write(self, labels: NDArray[np.integer[Any]], picture: NDArray[np.uint8]) -> None:
        """Write labels (H, W) and picture (H, W, 3) of the next frame."""
        self._write(labels, picture)
        self._written += 1

    def _write(self, labels: NDArray[np.integer[Any]], picture: NDArray[np.uint8]) -> None:
        raise NotImplementedError

    def _finish(self) -> None:
        """Complete the draft."""

    def __enter__(self) -> Self:
        """Clear away what an interrupted run left."""
        _remove(self._draft)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the result in its place, or drop it after an error."""
        if kind is None:
            self._finish()
            _remove(self._target)
            self._draft.rename(self._target)
        else:
            self._abandon()
            _remove(self._draft)

    def _abandon(self) -> None:
        """Let go of the draft."""


class PngFolder(Writer):
    """``masks/00000.png`` and on: indexed PNG, one a source frame."""

    name = "masks"

    def __enter__(self) -> Self:
        """Make the folder."""
        super().__enter__()
        self._draft.mkdir()
        return self

    def _write(self, labels: NDArray[np.integer[Any]], picture: NDArray[np.uint8]) -> None:
        write_indexed_png(self._draft / f"{self._written:05d}.png", labels)


class _Video(Writer):
    """A video with the timeline's timestamps, the same bytes for the same frames."""

    format: str
    muxing: ClassVar[dict[str, str]] = {}
    codec: str
    pixels: str

    def __init__(self, folder: Path, timeline: Timeline) -> None:
        super().__init__(folder)
        self._timeline = timeline
        self._zero = min(0, timeline.pts[0])  # no container holds negative timestamps
        self._container: Any = None
        self._stream: Any = None

    def options(self) -> dict[str, str]:
        """Return the codec's options."""
        return {}

    def image(self, labels: NDArray[np.integer[Any]], picture: NDArray[np.uint8]) -> Any:
        """Return the frame to encode."""
        raise NotImplementedError

    def _open(self, frame: Any) -> None:
        base = Fraction(*self._timeline.time_base)
        self._container = av.open(
            str(self._draft.resolve()), "w", format=self.format,  # else a "tcp:" is a protocol
            container_options={"fflags": "+bitexact", **self.muxing},
        )  # fmt: skip
        rate = max(Fraction(self._timeline.rate).limit_denominator(1001), Fraction(1, 1001))
        self._stream = self._container.add_stream(self.codec, rate=rate, options=self.options())
        self._stream.width, self._stream.height = frame.width, frame.height
        self._stream.pix_fmt = self.pixels
        self._stream.codec_context.sample_aspect_ratio = Fraction(*self._timeline.aspect)
        self._stream.codec_context.flags |= Flags.bitexact
        self._stream.thread_count = 1
        self._stream.codec_context.time_base = base
        self._stream.time_base = base

    def _write(self, labels: NDArray[np.integer[Any]], picture: NDArray[np.uint8]) -> None:
        frame = self.image(labels, picture)
        if self._container is None:
            self._open(frame)
        frame.pts = self._timeline.pts[self._written] - self._zero
        frame.time_base = Fraction(*self._timeline.time_base)
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: Any) -> None:
        for packet in packets:
            packet.duration = packet.duration or self._timeline.last_duration
            self._container.mux(packet)

    def _finish(self) -> None:
        self._mux(self._stream.encode(None))
        self._container.close()

    def _abandon(self) -> None:
        if self._container is not None:
            self._container.close()


class MaskVideo(_Video):
    """``masks.mkv``: labels as grey values, lossless (FFV1). Matroska keeps milliseconds."""

    name = "masks.mkv"
    format, codec, pixels = "matroska", "ffv1", "gray"

    def options(self) -> dict[str, str]:
        """Return the old format, which has no slices, for a picture too narrow for them."""
        return {"level": "1"} if self._timeline.size[1] == 1 else {}

    def image(self, labels: NDArray[np.integer[Any]], picture: NDArray[np.uint8]) -> Any:
        """Return the labels as a grey picture."""
        if self.pixels == "gray":
            return av.VideoFrame.from_ndarray(labels.astype(np.uint8), format="gray")
        return av.VideoFrame.from_ndarray(labels.astype(np.uint16), format="gray16le")


class Overlay(_Video):
    """``overlay.mp4``: masks over the picture, H.264, with the source's sound.

    Its clock starts when a player of the source starts, as a broadcast's may stand at hours.
    """

    name = "overlay.mp4"
    format, codec, pixels = "mp4", "libx264", "yuv420p"
    muxing: ClassVar[dict[str, str]] = {"movflags": "+faststart"}

    def __init__(self, folder: Path, timeline: Timeline, source: Path, alpha: float) -> None:
        super().__init__(folder, timeline)
        self._source, self._alpha = source, alpha
        self._zero = timeline.origin

    def options(self) -> dict[str, str]:
        """Fast, and good enough to judge a mask by."""
        return {"preset": "ultrafast", "crf": "20"}

    def image(self, labels: NDArray[np.integer[Any]], picture: NDArray[np.uint8]) -> Any:
        """Return the overlay, padded to even sides as H.264 wants them."""
        mixed = overlay(picture, labels, alpha=self._alpha)
        odd = [(0, side % 2) for side in mixed.shape[:2]]
        if any(pad for _, pad in odd):
            mixed = np.pad(mixed, (*odd, (0, 0)), mode="edge")
        return av.VideoFrame.from_ndarray(mixed, format="rgb24").reformat(format="yuv420p")

    def _finish(self) -> None:
        super()._finish()
        if self._timeline.audio:
            self._add_sound()

    def _add_sound(self) -> None:
        """Put the source's sound beside the picture, in a child process."""
        both = self._draft.with_name(f"{self._draft.name}.sound.mp4")
        picture = ffmpeg.input(f"file:{self._draft.resolve()}", protocol_whitelist="file")
        start = float(Fraction(*self._timeline.time_base) * self._timeline.origin)
        sound = ffmpeg.input(INPUT, itsoffset=-start, **CONFINED)
        command = (
            ffmpeg.output(
                picture["v:0"], sound["a:0"], f"file:{both.resolve()}",
                vcodec="copy", acodec="copy" if self._timeline.audio in COPIED else "aac",
                movflags="+faststart",
            )
            .global_args("-hide_banner", "-nostdin", "-loglevel", "error", "-y")
            .global_args("-copyts", "-bitexact")
            .compile(cmd=ffmpeg_path())
        )  # fmt: skip
        try:
            with open_regular(self._source) as source:
                status, _, said = run(
                    command, source,
                    limit_s=AUDIO_LIMIT_S, memory_bytes=AUDIO_BYTES, file_bytes=self._most_bytes(),
                )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            status, said = 1, str(error).encode()
        if status:
            both.unlink(missing_ok=True)
            why = said.decode(errors="replace").strip()[-300:] or f"ffmpeg ended with {status}"
            log.warning("%s: preview without sound, it cannot be read: %s", self._source, why)
        else:
            both.replace(self._draft)

    def _most_bytes(self) -> int:
        """Return how large the preview may become: an index can give the same sound many times."""
        line = self._timeline
        length_s = (line.pts[-1] - line.origin + line.last_duration) * Fraction(*line.time_base)
        files = self._draft.stat().st_size + self._source.stat().st_size
        return files + SLACK_BYTES + round(SOUND_BYTES_A_S * length_s)


def open_writers(
    stack: ExitStack,
    folder: Path,
    formats: tuple[str, ...],
    timeline: Timeline,
    source: Path,
    *,
    alpha: float,
    largest_label: int,
) -> list[Writer]:
    """Return the writers wanted, opened on `stack`: what they write appears when it closes.

    Parameters
    ----------
    stack : ExitStack
    folder : Path
    formats : of "png", "ffv1", "overlay"
    timeline : Timeline
    source : Path
        The footage, for its sound.
    alpha : float
        Opacity of the overlay.
    largest_label : int
        Over 255 the lossless video has 16 bits.
    """
    writers: list[Writer] = []
    for name in formats:
        if name == "png":
            writers.append(PngFolder(folder))
        elif name == "ffv1":
            video = MaskVideo(folder, timeline)
            video.pixels = "gray" if largest_label < 256 else "gray16le"
            writers.append(video)
        else:
            writers.append(Overlay(folder, timeline, source, alpha))
    return [stack.enter_context(writer) for writer in writers]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
