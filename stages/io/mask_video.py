"""Masks in a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.io.limits import Limits
from stages.io.mask_legend import IntegerLegend, Raw, learn
from stages.io.mask_source import Kind, MaskSource, check_size
from stages.io.timeline import announced, timeline_of
from stages.io.video import read_frames

MOST_TINT = 32  # grey levels between red, green and blue that compression may leave in a grey video


class VideoMasks(MaskSource):
    """See `stages.io.masks.open_masks`."""

    def __init__(self, path: Path, frames: int, size: tuple[int, int], kind: Kind) -> None:
        self._path = path
        limits = Limits.like(frames, size)
        found = announced(path, limits)
        self._timeline = timeline_of(path, found, limits)
        if self._timeline.frames != frames:
            raise InputError(
                f"{path}: expected {frames} frames like the footage, got {self._timeline.frames}"
            )
        check_size(path, self._timeline.size, size)
        codec, is_exact = found["codec"], found["exact"]
        if found["bits"] > 8:
            raise InputError(
                f"{path}: expected 8 bits a value, got {found['layout']}: give labels over 255 as "
                "16-bit PNG"
            )
        seen = learn(map(self._grey, self._pictures()), kind)
        self.warnings = ()
        if kind == "auto" and not is_exact and isinstance(seen, IntegerLegend):
            self.warnings = self._cut(seen, codec)
        self._legend = seen
        self.kind, self.classes = seen.kind, seen.classes
        self.warnings += seen.warnings

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield the masks of all frames."""
        for picture in self._pictures():
            yield self._legend.apply(picture[..., 0])

    def _cut(self, seen: IntegerLegend, codec: str) -> tuple[str, ...]:
        """Take a lossy video for black and white; return the warning if greys are between."""
        if seen.meaning == "binary":
            return ()
        seen.cut()
        if not seen.classes:
            raise InputError(
                f"{self._path}: expected black and white masks in a lossy video ({codec}), got "
                "nothing over half height: use FFV1 for labels, or set segment.kind"
            )
        return (f"a lossy mask video ({codec}): its greys are cut at half height",)

    def _grey(self, picture: NDArray[np.uint8]) -> Raw:
        red, green, blue = cv2.split(picture)
        if max(cv2.absdiff(red, green).max(), cv2.absdiff(red, blue).max()) > MOST_TINT:
            raise InputError(
                f"{self._path}: expected a grey video, got colours: convert colour-coded masks to "
                "indexed PNG"
            )
        return Raw(self._path, np.asarray(red))

    def _pictures(self) -> Iterator[NDArray[np.uint8]]:
        frames = read_frames(self._path, self._timeline)
        yield from frames
        if frames.holes:
            raise InputError(f"{self._path}: frames {frames.holes[:5]} cannot be decoded")
