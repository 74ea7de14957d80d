"""Ingest: the footage as frames at working resolution, with one timeline and its shots."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.stage import Arrays, Clip, Facts, Source
from stages.io.limits import USUAL, Limits
from stages.io.timeline import Timeline, content_digest, probe, working_size
from stages.io.video import read_frames
from stages.ops.shots import CutFinder, shots_between

BATCH = 16  # frames held at a time


class Ingest(Source):
    """Decoding, once; see `stages.io.video` and `stages.ops.shots`."""

    name: ClassVar[str] = "ingest"
    version: ClassVar[int] = 1
    reads: ClassVar[str] = "footage"
    outside_key: ClassVar[tuple[str, ...]] = ("limits",)

    short_side: int = Field(480, ge=1, description="working size in pixels; never upscaled")
    frame_rate: float = Field(24.0, gt=0, description="of folders of frames, per second")
    cuts: tuple[int, ...] | Literal["auto"] = Field(
        "auto", description="first frames of new shots, or auto to find them"
    )
    limits: Limits = Field(USUAL, description="what a clip may announce; else it is refused")
    cut_threshold: float = Field(
        3.0, gt=0, description="how many times a cut stands out from the changes around it"
    )

    def identity(self, clip: Clip) -> str:
        """Return the digest of the video's bytes, or of all the frame files."""
        return content_digest(clip.files[self.reads], self.limits)

    def run(self, clip: Clip, facts: Facts, emit: Callable[[Arrays], None]) -> Facts:
        """Emit the frames; return the timeline, the working size and the shots."""
        path = clip.files[self.reads]
        timeline = probe(path, rate=self.frame_rate, limits=self.limits)
        size = working_size(timeline.size, self.short_side)
        finder = CutFinder(self.cut_threshold)
        batch: list[NDArray[np.uint8]] = []
        frames = read_frames(path, timeline, size=size)
        for frame in frames:
            if self.cuts == "auto":
                finder.look(frame)
            batch.append(frame)
            if len(batch) == BATCH:
                emit({"frames": np.stack(batch)})
                batch = []
        if batch:
            emit({"frames": np.stack(batch)})
        cuts = finder.cuts() if self.cuts == "auto" else self.cuts
        shots = shots_between(cuts, timeline.frames)
        return self._facts(timeline, size, shots, frames.holes)

    @staticmethod
    def _facts(
        timeline: Timeline, size: tuple[int, int], shots: list[tuple[int, int]], holes: list[int]
    ) -> Facts:
        return {
            "frames": timeline.frames,
            "shots": [list(shot) for shot in shots],
            "size": list(size),
            "source_size": list(timeline.size),
            "rate": timeline.rate,
            "holes": holes,
            "timeline": timeline.to_json(),
        }
