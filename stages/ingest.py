"""Ingest: the footage as frames at working resolution, with one timeline and its shots."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.errors import InputError
from pipeline.stage import ArrayHandle, Arrays, Clip, Facts, Source
from stages.arrays import FRAMES
from stages.facts import ClipFacts
from stages.media.footage.limits import USUAL, Limits
from stages.media.footage.pictures import Orientation
from stages.media.footage.timeline import content_digest, probe, working_size
from stages.media.footage.video import read_frames
from stages.ops.shots import Changes, find_cuts, shots_between

BATCH = 16  # frames held at a time


class Probe(Source):
    """The timeline, made once: everything after it is checked against it."""

    name: ClassVar[str] = "probe"
    version: ClassVar[int] = 3
    reads: ClassVar[str] = "footage"

    outside_key: ClassVar[tuple[str, ...]] = ("limits",)

    short_side: int = 480
    frame_rate: float = 24.0
    orientation: Orientation = "upright"
    limits: Limits = USUAL

    def identity(self, clip: Clip) -> str:
        """Return the digest of the video's bytes, or of all the frame files."""
        return content_digest(clip.files[self.reads], self.limits)

    def run(
        self, clip: Clip, facts: Facts, part: tuple[int, int], emit: Callable[[Arrays], None]
    ) -> Facts:
        """Return the timeline, the working size and the parts to decode."""
        timeline = probe(
            clip.files[self.reads],
            rate=self.frame_rate, limits=self.limits, orientation=self.orientation,
        )  # fmt: skip
        edges = (*timeline.parts, timeline.frames)
        return {
            "frames": timeline.frames,
            "size": list(working_size(timeline.size, self.short_side)),
            "source_size": list(timeline.size),
            "rate": timeline.rate,
            "timeline": timeline.to_json(),
            "footage_notes": list(timeline.notes),
            "parts": [list(pair) for pair in pairwise(edges)],
        }


class Ingest(Source):
    """Decoding, once; see `stages.media.footage.video` and `stages.ops.shots`."""

    name: ClassVar[str] = "ingest"
    version: ClassVar[int] = 3
    writes: ClassVar[tuple[ArrayHandle, ...]] = (FRAMES,)
    reads: ClassVar[str] = "footage"
    identified_as: ClassVar[str] = "probe"
    uses: ClassVar[tuple[str, ...]] = ("size", "timeline", "parts")
    outside_key: ClassVar[tuple[str, ...]] = ("limits",)

    short_side: int = Field(480, ge=1, description="working size in pixels; never upscaled")
    frame_rate: float = Field(24.0, gt=0, description="of folders of frames, per second")
    orientation: Orientation = Field(
        "upright", description="of pictures: turned as EXIF says, or as their pixels are stored"
    )
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

    def parts(self, facts: Facts) -> Sequence[tuple[int, int]]:
        """Return the parts that can be decoded by themselves."""
        return ClipFacts(facts).parts

    def run(
        self, clip: Clip, facts: Facts, part: tuple[int, int], emit: Callable[[Arrays], None]
    ) -> Facts:
        """Emit the frames of a part; return its holes and how much its frames differ."""
        timeline = ClipFacts(facts).timeline
        size = ClipFacts(facts).size
        changes = Changes() if self.cuts == "auto" else None
        batch: list[NDArray[np.uint8]] = []
        frames = read_frames(clip.files[self.reads], timeline, size=size, frames=part)
        for frame in frames:
            if changes is not None:
                changes.add_frame(frame)
            batch.append(frame)
            if len(batch) == BATCH:
                emit({"frames": np.stack(batch)})
                batch = []
        if batch:
            emit({"frames": np.stack(batch)})
        return {
            "part": list(part),
            "holes": frames.holes,
            "changes": changes.values if changes else [],
            "ends": [_packed_picture(small) for small in changes.ends] if changes else [],
        }

    def conclude(self, part_facts: Sequence[Facts]) -> Facts:
        """Return the holes and the shots of the clip."""
        holes = [hole for facts in part_facts for hole in ClipFacts(facts).holes]
        if len(holes) == part_facts[-1]["part"][1]:
            raise InputError(f"none of {len(holes)} frames can be decoded")
        cuts = self.cuts
        if cuts == "auto":
            changes = [value for facts in part_facts for value in facts["changes"]]
            for before, after in pairwise(part_facts):
                small = _unpacked_picture(before["ends"][1]), _unpacked_picture(after["ends"][0])
                changes[after["part"][0]] = Changes.between(*small)
            cuts = tuple(find_cuts(changes, self.cut_threshold))
        shots = shots_between(cuts, part_facts[-1]["part"][1])
        return {"holes": holes, "shots": [list(shot) for shot in shots]}


def _packed_picture(picture: NDArray[np.uint8]) -> str:
    done, data = cv2.imencode(".png", picture)
    if not done:
        raise RuntimeError("a small picture could not be packed")
    return b64encode(data.tobytes()).decode()


def _unpacked_picture(text: str) -> NDArray[Any]:
    picture: NDArray[Any] | None = cv2.imdecode(
        np.frombuffer(b64decode(text), np.uint8), cv2.IMREAD_COLOR
    )
    if picture is None:
        raise InputError("expected a small picture of the part's end, got something else")
    return picture
