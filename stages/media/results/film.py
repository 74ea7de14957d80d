"""Small films and pictures for pages that are looked at in a browser."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import cv2
import numpy as np
from av.codec.context import Flags
from numpy.typing import NDArray

from pipeline.whole_files import draft_path, write_whole

KEYFRAMES = 12  # a browser steps back by decoding from the last one
BT601, LIMITED = 6, 1  # of H.264: without them browsers guess the colours from the height
QUALITY = 82  # of JPEG


class Film:
    """H.264 at a constant rate: frame k is shown from k / rate seconds on. Whole or absent.

    Parameters
    ----------
    path : Path
    rate : float
        Frames per second.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._target, self._draft = path, draft_path(path)
        self._rate = max(Fraction(rate).limit_denominator(1001), Fraction(1, 1001))
        self._container: Any = None
        self._stream: Any = None
        self._written = 0

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Write the next frame: RGB (H, W, 3), sides even."""
        planes = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        if self._container is None:
            self._open_film(frame)
        frame.pts, frame.time_base = self._written, 1 / self._rate
        self._container.mux(self._stream.encode(frame))
        self._written += 1

    def _open_film(self, frame: Any) -> None:
        options = {"preset": "ultrafast", "crf": "24", "g": str(KEYFRAMES)}
        self._container = av.open(
            str(self._draft.resolve()), "w", format="mp4",  # else a "tcp:" is a protocol
            container_options={"fflags": "+bitexact", "movflags": "+faststart"},
        )  # fmt: skip
        self._stream = self._container.add_stream("libx264", rate=self._rate, options=options)
        self._stream.width, self._stream.height = frame.width, frame.height
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.flags |= Flags.bitexact
        self._stream.codec_context.colorspace = BT601
        self._stream.codec_context.color_range = LIMITED
        self._stream.thread_count = 1
        self._stream.codec_context.time_base = 1 / self._rate

    def __enter__(self) -> Self:
        """Clear away what an interrupted run left."""
        self._draft.unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the film in its place, or drop it after an error."""
        if self._container is not None:
            if kind is None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
        if kind is None and self._draft.exists():
            self._draft.replace(self._target)
        else:
            self._draft.unlink(missing_ok=True)


def write_jpeg(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write an RGB picture (H, W, 3) as JPEG, whole or not at all."""
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    write_whole(path, data.tobytes())
