"""Trust: which pixels of which frame and class are evidence, and which are errors."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
from pydantic import Field

from pipeline.stage import ArrayHandle, Arrays, Facts, Input, Stage, Window
from stages.arrays import (
    EVIDENCE,
    FLOW,
    FRAMES,
    KEY_FRAME,
    OUTLINES,
    REPAIRS,
    TRUST,
    input_masks,
)
from stages.facts import ClipFacts
from stages.shared_settings import DEFAULT_RADIUS, Radius
from stages.trust.outlines import survey_outlines
from stages.trust.spells import SpellSurvey
from stages.trust.structure import ROUNDS, Evidence, survey_structure


class Trust(Stage):
    """Every mask against what its neighbours say of it; see `stages.ops.structure`."""

    name: ClassVar[str] = "trust"
    version: ClassVar[int] = 4
    writes: ClassVar[tuple[ArrayHandle, ...]] = (TRUST, REPAIRS, OUTLINES)
    uses: ClassVar[tuple[str, ...]] = ("classes", "sparse", "shots")

    reach: int = Field(8, ge=1, le=30, description="frames to either side that are asked")
    appearance: float = Field(
        20.0, gt=0, description="how unlike a neighbour may look, in grey levels (1 sigma)"
    )
    spell: int = Field(
        24, ge=1, le=60, description="frames to either side between which a bad spell is bridged"
    )
    radius: Radius = DEFAULT_RADIUS

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read what the neighbours' neighbours say too: a bad neighbour has no vote."""
        reach = max(ROUNDS * self.reach, self.spell)
        sparse = ClipFacts(facts).sparse
        read = (FRAMES, FLOW, *([EVIDENCE] if sparse else []))
        labels = input_masks(sparse)[1].within(reach + self.spell)
        return (labels, *(array.within(reach) for array in read))

    def run(self, window: Window) -> Arrays:
        """Return trust on the flow's grid, and how each outline fits the picture."""
        classes = len(ClipFacts(window.facts).classes)
        sparse = ClipFacts(window.facts).sparse
        labels = window[input_masks(sparse)[1]]
        evidence = Evidence.from_window(
            window, labels, radius=self.radius, reach=self.reach, appearance=self.appearance
        )
        if sparse:
            own = window[EVIDENCE]
            key_frames = np.flatnonzero(own.array[:, 0] == KEY_FRAME) + own.start
            evidence = replace(evidence, certain=frozenset(key_frames.tolist()))
        spells = SpellSurvey(evidence, labels, self.spell)
        voters = evidence.around(window.frames, ROUNDS * self.reach)
        trust, voter_trust = survey_structure(
            evidence, window.frames, classes, spells.mistrusted(voters, classes)
        )
        repairs = [spells.mend(t, frame) for t, frame in zip(window.frames, trust, strict=True)]
        shots = ClipFacts(window.facts).shots
        start = next(first for first, stop in shots if first <= window.start < stop)
        outlines = list(
            survey_outlines(evidence, voter_trust, window.frames, classes, shot_start=start)
        )
        return {
            "trust": np.stack(trust), "repairs": np.stack(repairs), "outlines": np.stack(outlines)
        }  # fmt: skip
