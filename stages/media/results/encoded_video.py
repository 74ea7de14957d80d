"""Formats that are one video: encoded in parts, joined without encoding again."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
from av.codec.context import Flags
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.footage.tags import UNKNOWN
from stages.media.results.result import Result, ResultClip, ResultFrame, WriteError, Writer
from stages.media.results.settings import ResultSettings

MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}  # of ISO 23091-2, as swscale numbers them
UNTAGGED = 5  # BT.601: by which FFmpeg reads what has no tag
LIMITED = 1  # range: 16 to 235
TIMECODE = re.compile(r"\d\d:\d\d:\d\d[:;]\d\d")


class Video(Result):
    """A video with the timeline's timestamps, the same bytes for the same frames and parts.

    Attributes
    ----------
    container, codec, pixels : str
        As FFmpeg calls them.
    part_container : str
        In which parts wait to be joined; NUT takes nearly any codec and any clock.
    muxing : dict
        Options of the container.
    alternative : str
        The format to choose where the FFmpeg library lacks the codec.
    """

    container: ClassVar[str]
    codec: ClassVar[str]
    pixels: str
    part_container: ClassVar[str] = "nut"
    muxing: ClassVar[dict[str, str]] = {}
    alternative: ClassVar[str] = "png"

    def __init__(self, clip: ResultClip, settings: ResultSettings) -> None:
        super().__init__(clip, settings)
        self.zero = min(0, self.timeline.pts[0])  # no container holds negative timestamps
        self._check_codec()
        if "/" in self.path_template:
            raise InputError(
                f"export.templates.{self.format} = {self.path_template!r}: expected a file name"
            )

    def _check_codec(self) -> None:
        """Refuse a codec that the FFmpeg library lacks.

        Raises
        ------
        InputError
            Naming it and the alternative.
        """
        try:
            av.codec.Codec(self.codec, "w")
        except av.codec.codec.UnknownCodecError as error:
            raise InputError(
                f"export.formats: {self.format} needs the encoder {self.codec!r}, which the FFmpeg "
                f"library here lacks: install PyAV's own wheel, or choose {self.alternative}"
            ) from error

    def options(self) -> dict[str, str]:
        """Return the codec's options."""
        return {}

    @abstractmethod
    def image(self, frame: ResultFrame) -> Any:
        """Return the video frame to encode."""

    def encoded(self, picture: NDArray[np.uint8], kind: str) -> Any:
        """Return a picture, rgb24 or rgba, as pixels of the codec, by the source's YUV matrix.

        In one thread: swscale writes past the end of rows whose length is no multiple of its
        vectors, and with several threads that reaches rows that are finished.
        """
        matrix = MATRICES.get(self.clip.tags.matrix, UNTAGGED)
        return av.VideoFrame.from_ndarray(picture, format=kind).reformat(
            format=self.pixels, dst_colorspace=matrix, dst_color_range=LIMITED, threads=1
        )

    def tag_colours(self, stream: Any) -> None:
        """Write the source's colour tags; a matrix that was not used is not claimed."""
        tags, context = self.clip.tags, stream.codec_context
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        context.colorspace = tags.matrix if tags.matrix in MATRICES else UNKNOWN
        context.color_range = LIMITED

    @property
    def start_timecode(self) -> str:
        """The source's timecode, if the video begins where the source does; else empty."""
        text = "" if self.clip.first else self.clip.tags.timecode
        dropping = ";" in text and round(self.rate) % 30
        return text if TIMECODE.fullmatch(text) and not dropping else ""

    def prepare(self, stream: Any) -> None:
        """Set what only this format needs of a stream that is to be encoded."""

    def part_muxing(self) -> dict[str, str]:
        """Return options of the parts' container."""
        return {}

    def part(self, folder: Path) -> Writer:
        """Return the writer of a part."""
        return _VideoWriter(self, folder / self.name)

    @property
    def rate(self) -> Fraction:
        """Frames a second, on average."""
        rate = Fraction(self.timeline.rate).limit_denominator(1001)
        return max(rate, Fraction(1, 1001))

    def join_parts(self, parts: Sequence[Path], draft: Path) -> None:
        """Copy the packets of all parts into one file."""
        options = {"fflags": "+bitexact", **self.muxing}
        base = Fraction(*self.timeline.time_base)
        last_s = self.timeline.last_duration * base
        # its absolute path: else a "tcp:" is a protocol
        with av.open(
            str(draft.resolve()), "w", format=self.container, container_options=options
        ) as to:
            stream: Any = None
            for part in parts:
                with av.open(str(part.resolve()), format=self.part_container) as source:
                    origin = source.streams.video[0]
                    if stream is None:
                        stream = to.add_stream_from_template(origin)
                        stream.time_base = base
                        self.prepare_join(stream)
                    for packet in source.demux(origin):
                        if packet.pts is not None:
                            packet.stream = stream
                            packet.duration = round(last_s / packet.time_base)
                            to.mux(packet)

    def write_timecode(self, stream: Any) -> None:
        """Give a stream of MP4 or QuickTime the source's timecode, which counts whole frames."""
        if self.start_timecode:
            stream.codec_context.framerate = self.rate
            stream.metadata["timecode"] = self.start_timecode

    def prepare_join(self, stream: Any) -> None:
        """Set what only this format needs of the stream that parts are copied to."""

    def picture_size(self) -> tuple[int, int]:
        """Return (H, W) of the video."""
        return self.timeline.size

    def check(self, draft: Path) -> None:
        """Compare frames, size and the last time stamp with the timeline."""
        with av.open(str(draft.resolve())) as container:
            stream = container.streams.video[0]
            size = stream.height, stream.width
            times = sorted(
                packet.pts * packet.time_base
                for packet in container.demux(stream)
                if packet.pts is not None
            )
            tick = stream.time_base
            self.check_stream(draft, stream)
        if size != self.picture_size():
            raise WriteError(f"{draft}: expected (H, W) {self.picture_size()}, got {size}")
        if len(times) != self.timeline.frames:
            raise WriteError(f"{draft}: expected {self.timeline.frames} frames, got {len(times)}")
        base = Fraction(*self.timeline.time_base)
        last = (self.timeline.pts[-1] - self.timeline.pts[0]) * base
        if abs(times[-1] - times[0] - last) > tick + base:
            raise WriteError(
                f"{draft}: expected the last frame {float(last):.6f} s after the first, got "
                f"{float(times[-1] - times[0]):.6f} s"
            )

    def check_stream(self, draft: Path, stream: Any) -> None:
        """Check what only this format promises, such as alpha."""


class _VideoWriter(Writer):
    def __init__(self, result: Video, path: Path) -> None:
        self._result, self._path = result, path
        self._container: Any = None
        self._stream: Any = None

    def write(self, frame: ResultFrame) -> None:
        result, line = self._result, self._result.timeline
        image = result.image(frame)
        if self._container is None:
            self._open_stream(image)
        image.pts = line.pts[frame.index] - result.zero
        image.time_base = Fraction(*line.time_base)
        self._container.mux(self._stream.encode(image))

    def _open_stream(self, image: Any) -> None:
        result, base = self._result, Fraction(*self._result.timeline.time_base)
        self._container = av.open(
            str(self._path.resolve()), "w", format=result.part_container,
            container_options={"fflags": "+bitexact", **result.part_muxing()},
        )  # fmt: skip
        self._stream = self._container.add_stream(
            result.codec, rate=result.rate, options=result.options()
        )
        self._stream.width, self._stream.height = image.width, image.height
        self._stream.pix_fmt = result.pixels
        self._stream.codec_context.sample_aspect_ratio = Fraction(*result.timeline.aspect)
        self._stream.codec_context.flags |= Flags.bitexact
        self._stream.thread_count = 1
        self._stream.codec_context.time_base = base
        self._stream.time_base = base
        result.prepare(self._stream)

    def close(self) -> None:
        if self._container is not None:
            self._container.mux(self._stream.encode(None))
            self._container.close()
