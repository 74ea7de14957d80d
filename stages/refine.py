"""Refine: every frame's mask agrees with what its neighbours saw."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from pipeline.stage import Arrays, Facts, Input, Stage, Window
from stages.ops.fixed_point import pack_mask, unpack_mask
from stages.voting import passes


class Refine(Stage):
    """Motion-compensated voting, iterated; see `stages.ops.voting.vote`."""

    name: ClassVar[str] = "refine"
    version: ClassVar[int] = 1

    method: Literal["vote", "none"] = Field("vote", description="vote, or leave masks as they are")
    radius: int = Field(3, ge=1, le=8, description="frames to either side; that of flow")
    passes: int = Field(2, ge=1, le=10, description="each widens the reach by `radius` frames")
    appearance: float = Field(
        12.0, gt=0, description="how unlike a neighbour may look, in grey levels (1 sigma)"
    )

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read as far as all passes together reach."""
        if self.method == "none":
            return (Input("segment", "masks"),)
        reach = self.radius * self.passes
        return (
            Input("segment", "masks", reach),
            Input("ingest", "frames", reach),
            Input("flow", "flow", reach - self.radius),
        )

    def run(self, window: Window) -> Arrays:
        """Return the soft masks after voting."""
        masks = window["segment.masks"]
        if self.method == "none":
            return {"masks": masks.array}
        voted = passes(
            (unpack_mask(mask) for mask in masks.array),
            window["ingest.frames"],
            window["flow.flow"],
            window.frames,
            count=self.passes,
            radius=self.radius,
            appearance=self.appearance,
        )
        return {"masks": np.stack([pack_mask(mask) for mask in voted])}
