"""Visibility: which pixels the neighbours show too."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from pipeline.stage import ArrayHandle, Arrays, Facts, Input, Stage, Window
from stages.arrays import FLOW, VISIBLE, neighbour_offsets
from stages.backend import arithmetic_on
from stages.facts import ClipFacts
from stages.shared_settings import DEFAULT_RADIUS, Radius


class Visibility(Stage):
    """Forward-backward check of the flow; see `stages.ops.visibility.visible`."""

    name: ClassVar[str] = "visibility"
    version: ClassVar[int] = 1
    writes: ClassVar[tuple[ArrayHandle, ...]] = (VISIBLE,)
    uses: ClassVar[tuple[str, ...]] = ("size",)
    outside_key: ClassVar[tuple[str, ...]] = ("device",)

    radius: Radius = DEFAULT_RADIUS
    slack: float = Field(0.01, ge=0, description="error allowed per squared pixel of motion")
    floor: float = Field(0.5, ge=0, description="error always allowed, squared pixels at work")
    device: str = Field("cpu", description="cpu or cuda")

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read the flow of the neighbours too: it has to lead back."""
        return (FLOW.within(self.radius),)

    def run(self, window: Window) -> Arrays:
        """Return the pixels that come home, on the flow's own grid."""
        flow = window[FLOW]
        rows, columns = flow.array.shape[-2:]
        out = np.zeros((len(window.frames), 2 * self.radius, rows, columns), np.bool_)
        floor = self.floor * (rows / ClipFacts(window.facts).size[0]) ** 2
        steps = neighbour_offsets(self.radius)
        on = arithmetic_on(self.device, setting="visibility.device")
        with on.running("visibility"):
            placed = on.placed(flow)
            for t in window.frames:
                for k, step in enumerate(steps):
                    if flow.start <= t + step < flow.stop:
                        there = on.flow(placed[t][k])
                        back = on.flow(placed[t + step][steps.index(-step)])
                        visible = on.visible(there, back, slack=self.slack, floor=floor)
                        out[t - window.start, k] = on.get(visible)
        return {"seen": out}
