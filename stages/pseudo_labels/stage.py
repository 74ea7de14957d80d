"""Pseudo-labels: frames of a clip with the labels that a student may learn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.errors import InputError
from pipeline.stage import Clip, Facts, Input, Reader, Sink
from stages.arrays import FLOW, FRAMES, REFINED_MASKS, SMOOTH_LABELS, SMOOTH_MASKS, VISIBLE
from stages.facts import ClipFacts
from stages.media.footage.limits import Limits
from stages.media.footage.timeline import content_digest
from stages.media.label_sets.clip_folder import PseudoLabelFolder
from stages.ops.ignored_label import IGNORE
from stages.ops.label_trust import SURE, certainty_histogram, trust_levels, trusted_by_class
from stages.pseudo_labels.evidence import Demands, Judged, judged_frames, motion_lengths
from stages.pseudo_labels.sampling import by_diversity, by_motion, colour_thumbnail
from stages.shared_settings import DEFAULT_RADIUS, Radius

Share = Annotated[float, Field(ge=0, le=1)]

CANDIDATES = 20_000  # frames that diversity looks at; of a longer clip evenly spread ones


class PseudoLabels(Sink):
    """Chosen frames, labels with 255 where they are not trusted, and their certainty.

    All at working size. See `stages.ops.label_trust`, `stages.pseudo_labels.sampling`.
    """

    name: ClassVar[str] = "pseudo_labels"
    version: ClassVar[int] = 1
    uses: ClassVar[tuple[str, ...]] = ("frames", "shots", "size", "timeline", "holes", "classes")

    enabled: bool = Field(False, description="write pseudo-labels of every clip")
    sample: Literal["every", "motion", "diversity"] = Field(
        "every", description="which frames: see the three fields that follow"
    )
    every: int = Field(1, ge=1, description="with every: each so manieth frame")
    motion: float = Field(
        8.0, gt=0, description="with motion: mean motion between two frames, pixels at work"
    )
    count: int = Field(100, ge=1, description="with diversity: frames of a clip at most")
    sure: float = Field(0.8, ge=0, le=1, description="least probability of a label")
    sure_of: dict[int, Share] = Field({}, description="the same by class; 0 is the background")
    keep: float = Field(
        1.0, gt=0, le=1, description="share of each class's pixels to keep, the surest; 1: all"
    )
    keep_of: dict[int, Share] = Field({}, description="the same by class; 0 is the background")
    support: float = Field(
        0.5, ge=0, le=1, description="share of the neighbours seeing a pixel that agree"
    )
    least_seen: int = Field(1, ge=0, le=16, description="neighbours that must see a pixel")
    passes_agree: bool = Field(
        True, description="trust only what voting and smoothing give the same label"
    )
    radius: Radius = DEFAULT_RADIUS
    soft: bool = Field(False, description="write soft masks too")
    pictures: Literal["jpg", "png"] = Field("jpg", description="format of the pictures")
    quality: int = Field(95, ge=1, le=100, description="of JPEG pictures")

    @property
    def trust_demands(self) -> Demands:
        """What a pixel has to pass besides being certain."""
        return Demands(self.support, self.least_seen, self.passes_agree, self.radius)

    def most(self, frames: int) -> int:
        """Return how many frames of a clip of so many are written at most."""
        if self.sample == "every":
            return -(-frames // self.every)
        return min(frames, self.count) if self.sample == "diversity" else frames

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read pictures and stabilised masks, and what is asked for needs."""
        needed = [FRAMES.within(), SMOOTH_MASKS.within(), SMOOTH_LABELS.within()]
        if self.passes_agree:
            needed.append(REFINED_MASKS.within())
        if self.trust_demands.ask_neighbours or self.sample == "motion":
            needed.append(FLOW.within())
        if self.trust_demands.ask_neighbours:
            needed.append(VISIBLE.within())
        return tuple(needed)

    def run(self, clip: Clip, facts: Facts, read: Reader, folder: Path) -> list[str]:
        """Write the folder ``pseudo_labels``."""
        ids = self._class_ids(facts)
        chosen = self._chosen_frames(facts, read)
        counted = _CountedPixels(len(ids))
        for judged_frame in judged_frames(read, chosen, ClipFacts(facts).shots, self.trust_demands):
            counted.count_passed(judged_frame)
        level = trust_levels(counted.passed, counted.pixels, least=self._by_class("sure", ids),
                       kept_shares=self._by_class("keep", ids))  # fmt: skip
        suffix = f".{self.pictures}"
        with PseudoLabelFolder(folder, suffix=suffix, quality=self.quality) as files:
            trusted_pixels: list[int] = []
            for judged_frame, picture in self._with_pictures(facts, read, chosen):
                kept = trusted_by_class(
                    judged_frame.labels, judged_frame.sure, judged_frame.passed, level
                )
                trusted_pixels.append(counted.count_trusted(judged_frame, kept))
                name = f"{judged_frame.frame:05d}"
                labels = np.where(kept, ids[judged_frame.labels], IGNORE)
                files.write(name, picture, labels, judged_frame.sure)
                if self.soft:
                    files.write_soft(name, judged_frame.mask, ids[1:])
            files.describe(
                self._clip_description(
                    clip,
                    facts,
                    _sample_entries(facts, chosen, trusted_pixels),
                    counted.summary(ids, level),
                )
            )
        return files.names()

    @staticmethod
    def _class_ids(facts: Facts) -> NDArray[np.uint16]:
        if IGNORE in ClipFacts(facts).classes:
            raise InputError(
                f"pseudo_labels: class {IGNORE}: expected other labels, as {IGNORE} marks what is "
                "not trusted: give the class another number, or --set segment.union=true"
            )
        return np.array([0, *ClipFacts(facts).classes], np.uint16)

    def _by_class(self, field: str, ids: NDArray[np.uint16]) -> list[float]:
        usual, special = getattr(self, field), getattr(self, f"{field}_of")
        return [special.get(label, usual) for label in ids.tolist()]

    def _chosen_frames(self, facts: Facts, read: Reader) -> list[int]:
        """Return the frames to write, without those that could not be decoded."""
        holes = set(ClipFacts(facts).holes)
        whole = [t for t in range(ClipFacts(facts).frames) if t not in holes]
        if self.sample == "every":
            return whole[:: self.every]
        if self.sample == "motion":
            lengths = motion_lengths(read, self.radius, ClipFacts(facts).size)
            picked = by_motion(lengths, ClipFacts(facts).shots, threshold=self.motion)
            return [t for t in picked if t not in holes]
        apart = -(-len(whole) // CANDIDATES)
        candidates = whole[::apart]
        thumbs = [colour_thumbnail(frame) for frame in read(FRAMES, candidates)]
        return [candidates[k] for k in by_diversity(np.stack(thumbs), count=self.count)]

    def _with_pictures(
        self, facts: Facts, read: Reader, chosen: Sequence[int]
    ) -> Iterator[tuple[Judged, NDArray[np.uint8]]]:
        labelled = judged_frames(read, chosen, ClipFacts(facts).shots, self.trust_demands)
        return zip(labelled, read(FRAMES, chosen), strict=True)

    def _clip_description(
        self, clip: Clip, facts: Facts, samples: list[dict[str, Any]], statistics: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the content of ``clip.json``."""
        source, size = clip.files["footage"], ClipFacts(facts).timeline.size
        limits = Limits.like(ClipFacts(facts).frames, size).model_copy(update={"file_bytes": 2**63})
        digest = content_digest(source, limits)
        return {
            "clip": clip.name,
            "source": {"file": source.name, "digest": digest, "frames": ClipFacts(facts).frames},
            "size": list(ClipFacts(facts).size),
            "classes": list(ClipFacts(facts).classes),
            "settings": self.model_dump(mode="json"),
            "samples": samples,
            "statistics": statistics,
            "warnings": _label_warnings(statistics),
        }


def _sample_entries(
    facts: Facts, chosen: Sequence[int], trusted: Sequence[int]
) -> list[dict[str, Any]]:
    """Return number, timestamp and trusted pixels of the frames chosen."""
    timeline = ClipFacts(facts).timeline
    base = Fraction(*timeline.time_base)
    return [
        {
            "name": f"{t:05d}",
            "frame": t,
            "time_s": round(float(timeline.pts[t] * base), 6) if timeline.timed else None,
            "trusted": pixels,
        }
        for t, pixels in zip(chosen, trusted, strict=True)
    ]


class _CountedPixels:
    """Pixels of each class: all, those that passed the tests by certainty, those trusted."""

    def __init__(self, classes: int) -> None:
        self.passed = np.zeros((classes, 256), np.int64)
        self.pixels = np.zeros(classes, np.int64)
        self._kept, self._frames = np.zeros(classes, np.int64), np.zeros(classes, np.int64)

    def count_passed(self, judged_frame: Judged) -> None:
        """Count before anything is decided."""
        classes = len(self.pixels)
        self.passed += certainty_histogram(
            judged_frame.labels, judged_frame.sure, judged_frame.passed, classes=classes - 1
        )
        self.pixels += np.bincount(judged_frame.labels.ravel(), minlength=classes)

    def count_trusted(self, judged_frame: Judged, kept: NDArray[np.bool_]) -> int:
        """Count what is trusted; return how many pixels of the frame are."""
        trusted_pixels = np.bincount(judged_frame.labels[kept], minlength=len(self.pixels))
        self._kept += trusted_pixels
        self._frames += trusted_pixels > 0
        return int(trusted_pixels.sum())

    def summary(self, ids: NDArray[np.uint16], level: NDArray[np.int64]) -> dict[str, Any]:
        """Return the counts by label, as plain values."""
        return {
            str(label): {
                "pixels": int(self.pixels[k]),
                "trusted": int(self._kept[k]),
                "frames": int(self._frames[k]),
                "least_sure": round(int(level[k]) / SURE, 4),
            }
            for k, label in enumerate(ids.tolist())
        }


def _label_warnings(statistics: dict[str, Any]) -> list[str]:
    """Return the remarks on a clip's labels that a user should read."""
    if not any(entry["trusted"] for entry in statistics.values()):
        return ["no pixel is trusted: lower pseudo_labels.sure or support, or check its masks"]
    warnings = []
    for label, entry in statistics.items():
        called = f"class {label}" if label != "0" else "the background"
        if not entry["pixels"]:
            warnings.append(f"{called} never occurs in the frames chosen")
        elif not entry["trusted"]:
            warnings.append(f"{called} is nowhere trusted")
    return warnings
