"""Review: which frames of which objects a person should look at, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.stage import Clip, Facts, Input, Reader, Sink
from stages.arrays import AREAS, CARRIED, FRAMES, OBJECTS, SMOOTH_LABELS
from stages.facts import ClipFacts
from stages.metrics.colour_fit import ColourModel, colour_bins
from stages.metrics.risk import frame_risk, gather_evidence, review_rows

COUNTS = (CARRIED, OBJECTS, AREAS)


class Review(Sink):
    """The risk of every frame and object, and the frames to look at; see `metrics.risk`."""

    name: ClassVar[str] = "review"
    version: ClassVar[int] = 2
    uses: ClassVar[tuple[str, ...]] = ("frames", "shots", "classes")

    enabled: bool = Field(True, description="say which frames a person should look at")
    least_risk: float = Field(
        0.5, ge=0, le=1, description="list frames whose risk of an IoU under .8 is as high"
    )

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read counts, and pictures and masks for how well colours fit."""
        return tuple(array.within() for array in (*COUNTS, FRAMES, SMOOTH_LABELS))

    def run(self, clip: Clip, facts: Facts, read: Reader, folder: Path) -> list[str]:
        """Write ``review.json``."""
        known = ClipFacts(facts)
        carried, objects, areas = (np.stack(list(read(array))) for array in COUNTS)
        evidence = gather_evidence(carried, objects, areas, self._colour_misfit(known, read))
        risk = frame_risk(evidence, known.shots)
        rows = review_rows(risk, evidence, known.classes, known.shots, least=self.least_risk)
        content: dict[str, Any] = {
            "clip": clip.name,
            "rows": rows,
            "risk": {
                str(label): [round(float(value), 4) for value in risk[:, k]]
                for k, label in enumerate(known.classes)
            },
        }
        draft = folder / "review.json.draft"
        draft.write_text(json.dumps(content, allow_nan=False) + "\n")
        draft.replace(folder / "review.json")
        return ["review.json"]

    @staticmethod
    def _colour_misfit(known: ClipFacts, read: Reader) -> NDArray[np.float64]:
        """Return how badly each frame's masks fit the colours of their shot: (T, C)."""
        out = np.full((known.frames, len(known.classes)), np.nan)
        for start, stop in known.shots:
            frames, model = range(start, stop), ColourModel(len(known.classes))
            for picture, labels in zip(
                read(FRAMES, frames), read(SMOOTH_LABELS, frames), strict=True
            ):
                model.add(colour_bins(picture), labels)
            both = zip(read(FRAMES, frames), read(SMOOTH_LABELS, frames), strict=True)
            for t, (picture, labels) in zip(frames, both, strict=True):
                out[t] = model.misfit(colour_bins(picture), labels)
        return out
