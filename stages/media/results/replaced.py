"""Format ``cutout``: the original before a colour, a picture, a video, or a blur of itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.footage.pictures import SUFFIXES
from stages.media.footage.timeline import probe
from stages.media.footage.video import read_frames, read_picture
from stages.media.results.overlay import H264
from stages.media.results.result import ResultClip, ResultFrame
from stages.media.results.settings import ResultSettings, is_colour, parse_colour

BLUR = 0.03  # sigma, as a share of the picture's short side

Picture = NDArray[np.uint8]


class Replaced(H264):
    """``cutout.mp4``: what the soft masks do not cover is replaced."""

    format: ClassVar[str] = "cutout"
    template: ClassVar[str] = "cutout.mp4"
    needs_alpha: ClassVar[bool] = True

    def __init__(self, clip: ResultClip, settings: ResultSettings) -> None:
        super().__init__(clip, settings)
        self._backgrounds: Iterator[Picture] | None = None
        background = settings.background
        if background != "blur" and not is_colour(background) and not Path(background).exists():
            raise InputError(
                f"export.background = {background!r}: expected blur, a colour such as '#00ff00', "
                "or the path of a picture or video"
            )

    def options(self) -> dict[str, str]:
        """Return a quality at which the object looks like the original."""
        # Slower presets look ahead, and gave other bytes for the same frames now and then.
        return {"preset": "ultrafast", "crf": "14"}

    def shown(self, frame: ResultFrame) -> Picture:
        """Return the object before its new background."""
        alpha = frame.opacity[..., None]
        mixed = alpha * frame.picture + (1 - alpha) * self._background_picture(frame)
        return np.asarray(mixed + 0.5, np.uint8)

    def _background_picture(self, frame: ResultFrame) -> Picture:
        text, size = self.settings.background, frame.picture.shape[:2]
        if text == "blur":
            return blurred(frame.picture)
        if is_colour(text):
            return np.full((1, 1, 3), parse_colour(text), np.uint8)
        if self._backgrounds is None:
            self._backgrounds = read_backgrounds(Path(text), frame.index)
        return filling(next(self._backgrounds), (size[0], size[1]))


def blurred(picture: Picture) -> Picture:
    """Return a picture out of focus; at an eighth of its size, where such a blur is cheap."""
    rows, columns = picture.shape[:2]
    small = cv2.resize(
        picture, (max(columns // 8, 1), max(rows // 8, 1)), interpolation=cv2.INTER_AREA
    )
    small = cv2.GaussianBlur(small, (0, 0), max(BLUR * min(rows, columns) / 8, 0.5))
    return np.asarray(cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR))


def read_backgrounds(path: Path, first: int) -> Iterator[Picture]:
    """Yield the background of frame `first` and of those that follow; a video begins again."""
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        yield from repeat(read_picture(path))
    line = probe(path)
    start = first % line.frames
    rest = iter(read_frames(path, line, frames=(start, line.frames)))
    again = (frame for _ in repeat(None) for frame in read_frames(path, line))
    yield from chain(rest, again)


def filling(picture: Picture, size: tuple[int, int]) -> Picture:
    """Return a picture at another size, which it fills: what is too long is cut off evenly."""
    scale = max(size[0] / picture.shape[0], size[1] / picture.shape[1])
    rows, columns = (
        max(round(side * scale), least) for side, least in zip(picture.shape[:2], size, strict=True)
    )
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    large = cv2.resize(picture, (columns, rows), interpolation=how)
    top, left = (rows - size[0]) // 2, (columns - size[1]) // 2
    return np.asarray(large[top : top + size[0], left : left + size[1]])
