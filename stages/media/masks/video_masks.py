"""Masks in a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.footage.limits import Limits
from stages.media.footage.timeline import Timeline, announced, timeline_of
from stages.media.footage.video import read_frames
from stages.media.masks.legend import Legend, count_masks
from stages.media.masks.raw import Raw
from stages.media.masks.readings import decide
from stages.media.masks.sizes import fit_labels, fit_note, fit_soft
from stages.media.masks.source import Known, MaskSource

if TYPE_CHECKING:
    from stages.media.masks.contract import FootageFacts, ReadingChoices

ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # the usual ones leave alpha out
FEW_FRAMES = 2  # that a mask video may be shorter or longer by, where frames may lack a mask


class VideoMasks(MaskSource):
    """One frame of a video a frame; see `stages.media.masks.readings` for the values' meaning."""

    timeline: Timeline

    def __init__(
        self, path: Path, footage: FootageFacts, choices: ReadingChoices, known: Known | None
    ) -> None:
        super().__init__(footage.frames)
        self._path, self._size, self._missing = path, footage.size, choices.missing
        if known is not None:
            self.timeline = Timeline.from_json(known["timeline"])
            self.legend = Legend.from_json(known["legend"])
            self._pixels, self._decoder, self._exact = known["decoding"]
        else:
            self._look_through(footage, choices)
        self.starts = tuple(start for start in self.timeline.parts if start < footage.frames)
        if self._missing == "empty":
            self.declared_empty = tuple(range(self.timeline.frames, footage.frames))

    @property
    def known(self) -> Known:
        """See `MaskSource.known`."""
        return {**super().known, "decoding": [self._pixels, self._decoder, self._exact]}

    def read(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """Yield the masks of frames `start` to `stop`."""
        last: NDArray[Any] | None = None
        for raw in self._decoded_pictures(start, min(stop, self.timeline.frames)):
            mask = self.legend.apply(raw)
            hard = self.legend.kind == "labels"
            last = fit_labels(mask, self._size) if hard else fit_soft(mask, self._size)
            yield last
        for _ in range(max(self.timeline.frames, start), stop):  # a video that is short by a few
            if last is None:
                raise InputError(f"{self._path}: its last frames cannot be decoded")
            yield last if self._missing == "hold" else np.zeros_like(last)

    def _look_through(self, footage: FootageFacts, choices: ReadingChoices) -> None:
        path, frames = self._path, footage.frames
        limits = Limits.like(frames, footage.size)
        facts = announced(path, limits)
        self.timeline = timeline_of(path, facts, limits)
        count_note = self._check_count(frames)
        stretch = choices.fit == "stretch"
        size_note = fit_note(
            path, self.timeline.size, footage.size, footage.rotation, footage.aspect,
            stretch=stretch,
        )  # fmt: skip
        self._pixels = _pixel_layout(facts)
        self._decoder = ALPHA_DECODERS.get(facts["codec"], "") if facts["alpha"] else ""
        grey = facts["layout"].startswith("gray")
        # Grey levels that were turned into luma and back are not those that were written.
        self._exact = bool(facts["exact"]) and (grey or not facts["layout"].startswith("yuv"))
        census = count_masks(self._decoded_pictures(0, min(frames, self.timeline.frames)))
        reading = decide(path, census, choices)
        self.legend = reading.legend
        self.warnings = (*(n for n in (count_note, size_note) if n), *reading.notes)
        codec = f"{facts['codec']} {facts['layout']}" + (" with alpha" if facts["alpha"] else "")
        match = f"all {frames} frames"
        if self.timeline.frames < frames:
            match = f"frames 0–{self.timeline.frames - 1} of {frames}; the others: {self._missing}"
        self.reading = (
            f"{self.timeline.frames} masks, video ({codec}; {reading.words}), "
            f"{self.legend.describe_classes()}; {match}"
        )

    def _check_count(self, frames: int) -> str:
        """Return a note on a video that is a little shorter or longer; refuse any other."""
        count = self.timeline.frames
        if count == frames:
            return ""
        few = abs(count - frames) <= FEW_FRAMES
        if not few or self._missing == "error":
            advice = (
                ": if it begins with the footage and only its end differs, set segment.missing to "
                "hold or empty"
                if few
                else ": were frames repeated or dropped in a constant rate? (-fps_mode passthrough)"
            )
            raise InputError(
                f"{self._path}: expected {frames} frames like the footage, got {count}{advice}"
            )
        if count > frames:
            return f"the mask video has {count} frames, the last {count - frames} are left out"
        return f"the mask video ends {frames - count} frames early ({self._missing})"

    def _decoded_pictures(self, start: int, stop: int) -> Iterator[Raw]:
        frames = read_frames(
            self._path, self.timeline, frames=(start, stop), pixels=self._pixels,
            decoder=self._decoder,
        )  # fmt: skip
        for picture in frames:
            values = picture[..., 1 % picture.shape[2]] if picture.dtype != np.uint8 else picture
            yield Raw(self._path, values, exact=self._exact)
        if frames.holes:
            raise InputError(f"{self._path}: frames {frames.holes[:5]} cannot be decoded")


def _pixel_layout(facts: dict[str, Any]) -> str:
    """Return the layout to decode to: with alpha, or of 16 bits, where the video has them."""
    if facts["alpha"]:
        return "rgba"
    if facts["bits"] > 8:
        return "gray16le" if facts["layout"].startswith("gray") else "rgb48le"
    return "rgb24"
