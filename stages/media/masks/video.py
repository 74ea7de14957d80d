"""Masks in a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.footage.limits import Limits
from stages.media.footage.timeline import Timeline, announced, timeline_of
from stages.media.footage.video import read_frames
from stages.media.masks.legend import Kind, Legend, Raw, SeenIntegers, look_through
from stages.media.masks.sizes import fit_note
from stages.media.masks.source import Known, MaskSource

if TYPE_CHECKING:
    from stages.media.masks.contract import FootageFacts, ReadingChoices

MOST_TINT = 32  # grey levels between red, green and blue that compression may leave in a grey video


class VideoMasks(MaskSource):
    """See `stages.media.masks.open.open_masks`."""

    timeline: Timeline

    def __init__(
        self, path: Path, footage: FootageFacts, choices: ReadingChoices, known: Known | None
    ) -> None:
        frames, size, kind = footage.frames, footage.size, choices.kind
        super().__init__(frames)
        self._path = path
        if known is not None:
            self.timeline = Timeline.from_json(known["timeline"])
            self.legend = Legend.from_json(known["legend"])
        else:
            self._look_through(Limits.like(frames, size), frames, size, kind)
        self.starts = self.timeline.parts

    def read(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """Yield the masks of frames `start` to `stop`."""
        for picture in self._pictures(start, stop):
            yield self.legend.apply(picture[..., 0])

    def _look_through(self, limits: Limits, frames: int, size: tuple[int, int], kind: Kind) -> None:
        found = announced(self._path, limits)
        self.timeline = timeline_of(self._path, found, limits)
        if self.timeline.frames != frames:
            raise InputError(
                f"{self._path}: expected {frames} frames like the footage, got "
                f"{self.timeline.frames}"
            )
        fit_note(self._path, self.timeline.size, size)
        if found["bits"] > 8:
            raise InputError(
                f"{self._path}: expected 8 bits a value, got {found['layout']}: give labels over "
                "255 as 16-bit PNG"
            )
        seen = look_through(map(self._grey, self._pictures(0, frames)), kind)
        if kind == "auto" and not found["exact"] and isinstance(seen, SeenIntegers):
            self.warnings = self._cut(seen, found["codec"])
        self.legend = seen.legend
        self.warnings += seen.warnings

    def _cut(self, seen: SeenIntegers, codec: str) -> tuple[str, ...]:
        """Take a lossy video for black and white; return the warning if greys are between."""
        if seen.legend.meaning == "binary":
            return ()
        seen.cut()
        if not seen.legend.classes:
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

    def _pictures(self, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
        frames = read_frames(self._path, self.timeline, frames=(start, stop))
        yield from frames
        if frames.holes:
            raise InputError(f"{self._path}: frames {frames.holes[:5]} cannot be decoded")
