"""Scores: the counts of `measure`, summed up for a clip in `metrics.json`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.stage import Clip, Facts, Input, Reader, Sink
from pipeline.whole_files import write_whole
from stages.arrays import AREAS, BOUNDARY, INPUT_MASKS, OVERLAP, PAIRS, RESTLESS, neighbour_offsets
from stages.facts import ClipFacts
from stages.metrics.harm import (
    Harm,
    blank_cause,
    blank_kind,
    find_blank,
    find_gone,
    find_restless,
    find_unlike,
)
from stages.metrics.stability import Consistency, consistency_at
from stages.shared_settings import DEFAULT_RADIUS, Radius

COUNTS = (PAIRS, BOUNDARY, RESTLESS, OVERLAP, AREAS)
SYSTEMS = ("input", "output")


class Scores(Sink):
    """E_cons and E_smooth before and after, and the frames that changed a lot."""

    name: ClassVar[str] = "scores"
    version: ClassVar[int] = 5
    uses: ClassVar[tuple[str, ...]] = (
        "frames", "shots", "size", "rate", "holes", "classes", "masks", "footage_notes",
        "mask_warnings", "mask_reading", "class_names",
    )  # fmt: skip

    radius: Radius = DEFAULT_RADIUS
    least_iou: float = Field(
        0.5,
        ge=0,
        le=1,
        description="list frames whose masks in and out overlap less; a clip that "
        "overlaps less as a whole has a warning",
    )
    slack: float = Field(
        0.02, ge=0, description="share by which E_cons may rise before a clip has a warning"
    )
    stretch: int = Field(
        6, ge=1, description="frames; a class that is gone for so long is a warning"
    )
    gone_share: float = Field(
        0.2, ge=0, le=1, description="a class is gone where less of its area than this is left"
    )

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read all counts; the masks in only where they say nothing, for the cause."""
        return (*(array.within() for array in COUNTS), INPUT_MASKS.within())

    def run(self, clip: Clip, facts: Facts, read: Reader, folder: Path) -> list[str]:
        """Write ``metrics.json``."""
        arrays = {array.name: np.stack(list(read(array))) for array in COUNTS}
        scores = self.summary(clip.name, facts, arrays)
        scores["warnings"] = [
            harm.to_json() for harm in self._find_harms(facts, arrays, scores, read)
        ]
        text = json.dumps(scores, indent=1, allow_nan=False)
        write_whole(folder / "metrics.json", f"{text}\n")
        return ["metrics.json"]

    def summary(self, name: str, facts: Facts, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """Return the scores of a clip as plain values; what cannot be measured is None."""
        inter, union = arrays["overlap"].T
        iou = np.where(union > 0, inter / np.maximum(union, 1), 1.0)
        scores: dict[str, Any] = {
            "clip": name,
            "frames": ClipFacts(facts).frames,
            "size": list(ClipFacts(facts).size),
            "shots": ClipFacts(facts).shots,
            "classes": ClipFacts(facts).classes,
            "class_names": ClipFacts(facts).class_names,
            "masks_read_as": ClipFacts(facts).mask_reading,
            "holes": ClipFacts(facts).holes,
            "warnings": [],
            "notes": [*ClipFacts(facts).footage_notes, *ClipFacts(facts).mask_warnings],
            "flow": "the pipeline's own: compare systems with another one",
            "iou_with_input": [round(float(value), 4) for value in iou],
            "changed_frames": [int(t) for t in np.flatnonzero(iou < self.least_iou)],
        }
        for which, system in enumerate(SYSTEMS):
            scores[system] = self._stability_scores(which, facts, arrays)
        return scores

    def _find_harms(
        self,
        facts: Facts,
        arrays: dict[str, NDArray[Any]],
        scores: dict[str, Any],
        read: Reader,
    ) -> list[Harm]:
        """Return where the masks out are worse than those in."""
        before, after = arrays["areas"][:, 0], arrays["areas"][:, 1]
        kind = blank_kind(before)
        cause = ""
        if kind is not None:
            meaning = ClipFacts(facts).mask_meaning
            highest = max((int(mask.max(initial=0)) for mask in read(INPUT_MASKS)), default=0)
            cause = blank_cause(kind, meaning=meaning, highest=highest)
        blank = find_blank(before, after, cause=cause)
        if blank:
            return blank
        unlike = find_unlike(arrays["overlap"], arrays["areas"], least_iou=self.least_iou)
        gone = find_gone(
            before,
            after,
            labels=ClipFacts(facts).classes,
            stretch=self.stretch,
            share=self.gone_share,
        )
        flicker = np.array([scores[system]["flicker"] for system in SYSTEMS], np.float64)
        stability = [scores[system]["E_cons"] for system in SYSTEMS]
        restless = find_restless(stability[0], stability[1], flicker, slack=self.slack)
        return [*unlike, *gone, *restless]

    def _stability_scores(
        self, which: int, facts: Facts, arrays: dict[str, NDArray[Any]]
    ) -> dict[str, Any]:
        pairs, steps = arrays["pairs"][:, which], neighbour_offsets(self.radius)
        total = Consistency()
        flicker: list[float | None] = [None] * ClipFacts(facts).frames
        for start, stop in ClipFacts(facts).shots:
            for i in range(start, stop):
                for j in range(i + 1, min(i + self.radius + 1, stop)):
                    pair_consistency = Consistency()
                    there, back = pairs[i, steps.index(j - i)], pairs[j, steps.index(i - j)]
                    for sums in (total, pair_consistency):
                        sums.add((int(there[0]), int(there[1])), (int(back[0]), int(back[1])))
                    if j == i + 1:
                        flicker[i] = _plain_number(pair_consistency.mean())
        boundary = float(np.median(arrays["boundary"][:, which]))
        restless = arrays["restless"][:, which]
        consistency = total.value(area=ClipFacts(facts).pixels, boundary=boundary)
        return {
            "E_cons": _plain_number(consistency),
            "E_cons_480": _plain_number(consistency_at(consistency, ClipFacts(facts).size[0])),
            "E_cons_unnormalised": _plain_number(total.mean()),
            "E_smooth": _plain_number(restless.sum() / boundary if boundary else math.nan),
            "E_smooth_mean": _plain_number(restless.mean() / boundary if boundary else math.nan),
            "boundary_pixels": boundary,
            "pairs_without_visible_pixels": total.blind_pairs,
            "flicker": flicker,
        }


def _plain_number(value: float) -> float | None:
    """Return a number that JSON has, or None for NaN."""
    return None if math.isnan(value) else round(float(value), 6)
