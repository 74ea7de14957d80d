"""Cover: masks for redaction, which miss no frame of an object between sightings."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.stage import ArrayHandle, Arrays, Facts, Input, Stage, Window
from stages.arrays import (
    COVER,
    COVER_STATES,
    FLOW,
    INPUT_LABELS,
    SMOOTH_LABELS,
    SMOOTH_MASKS,
    neighbour_offsets,
)
from stages.ops.cover import cover_frames, grown_mask
from stages.ops.fixed_point import unpack_flow
from stages.ops.warp import resize_flow
from stages.shared_settings import DEFAULT_RADIUS, Radius

Flows = list[NDArray[np.float32]]


class Cover(Stage):
    """Evidence of either mask, carried over gaps; see `stages.ops.cover.cover_frames`.

    In the plan where ``export.formats`` has ``redacted``.
    """

    name: ClassVar[str] = "cover"
    version: ClassVar[int] = 2
    writes: ClassVar[tuple[ArrayHandle, ...]] = (COVER, COVER_STATES)

    gap: int = Field(
        12, ge=0, le=200, description="frames without an object, between two with it, to cover"
    )
    growth: int = Field(
        2, ge=0, le=32, description="pixels at work that the cover grows a frame away from evidence"
    )
    margin: int = Field(8, ge=0, le=256, description="pixels at work around all that is covered")
    floor: float = Field(
        0.25, gt=0, le=1, description="probability from which a soft mask is evidence"
    )
    edges: bool = Field(
        True, description="whether gaps at the ends of a shot are covered from their one side"
    )
    radius: Radius = DEFAULT_RADIUS

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read twice as many frames to either side as a gap may be long."""
        reach = self._reach
        return (
            INPUT_LABELS.within(reach),
            SMOOTH_LABELS.within(reach),
            SMOOTH_MASKS.within(reach),
            FLOW.within(reach),
        )

    @property
    def _reach(self) -> int:
        """See the notes on `stages.ops.cover.cover_frames`."""
        return max(2 * self.gap, 1)

    def run(self, window: Window) -> Arrays:
        """Return the cover of each class, and its state in each frame."""
        labels, reach = window[SMOOTH_LABELS], self._reach
        frames = range(labels.start, labels.stop)
        wanted = range(window.start - frames.start, window.stop - frames.start)
        # The window ends before its full reach only where the shot does.
        edges = (
            self.edges and frames.start > window.start - reach,
            self.edges and frames.stop < window.stop + reach,
        )
        backward, forward = self._flow_pairs(window, frames)
        classes = window[SMOOTH_MASKS].array.shape[-1]
        covers, states = [], []
        for k in range(classes):
            evidence = self._class_evidence(window, k)
            cover, state = cover_frames(
                evidence, backward, forward, wanted,
                gap=self.gap, growth=self.growth, edges=edges,
            )  # fmt: skip
            covers.append(np.stack([grown_mask(plane, self.margin) for plane in cover]))
            states.append(state)
        size = (len(window.frames), *labels.array.shape[1:], 0)
        return {
            "masks": np.stack(covers, axis=-1) if covers else np.zeros(size, np.bool_),
            "states": np.stack(states, axis=-1) if states else np.zeros((size[0], 0), np.uint8),
        }

    def _class_evidence(self, window: Window, k: int) -> NDArray[np.bool_]:
        """Return the pixels (T, H, W) that either mask gives to a class."""
        evidence: NDArray[np.bool_] = window[INPUT_LABELS].array == k + 1
        evidence |= window[SMOOTH_LABELS].array == k + 1
        evidence |= window[SMOOTH_MASKS].array[..., k] >= np.ceil(255 * self.floor)
        return evidence

    def _flow_pairs(self, window: Window, frames: range) -> tuple[Flows, Flows]:
        """Return each frame's flow to the one before and the one after, at working size."""
        size = window[SMOOTH_LABELS].array.shape[1:]
        steps, flow = neighbour_offsets(self.radius), window[FLOW]
        there = (steps.index(-1), steps.index(1))
        before, after = (
            [resize_flow(unpack_flow(flow[t][k]), (size[0], size[1])) for t in frames]
            for k in there
        )
        return before, after
