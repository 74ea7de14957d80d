"""Carry: frames without a mask get one from the labelled frames on either side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.stage import ArrayHandle, Arrays, Facts, Input, Stage, Window
from stages.arrays import (
    CARRIED_LABELS,
    CARRIED_MASKS,
    EVIDENCE,
    FLOW,
    FRAMES,
    INPUT_LABELS,
    INPUT_MASKS,
    offsets,
)
from stages.facts import ClipFacts
from stages.ops.fixed_point import pack_mask, unpack_flow, unpack_mask
from stages.ops.propagation import (
    CarriedMask,
    ColourModel,
    carry_on,
    labelled_mask,
    learn_colours,
    local_separation,
    mix_sides,
)
from stages.ops.soft_masks import winners

Floats = NDArray[np.float32]
FORWARD, BACKWARD = 1, -1


class CarryMasks(Stage):
    """Masks for the frames between labelled ones; see `stages.ops.propagation`."""

    name: ClassVar[str] = "carry"
    version: ClassVar[int] = 1
    writes: ClassVar[tuple[ArrayHandle, ...]] = (CARRIED_MASKS, CARRIED_LABELS)
    uses: ClassVar[tuple[str, ...]] = ("sparse",)

    reach: int = Field(
        48, ge=1, le=240, description="frames that a mask is carried at most, never across a cut"
    )

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read as far as masks are carried; nothing more where all frames have their own."""
        if not ClipFacts(facts).sparse:
            return (INPUT_MASKS.within(), INPUT_LABELS.within())
        handles = (INPUT_MASKS, EVIDENCE, FRAMES, FLOW)
        return (*(handle.within(self.reach) for handle in handles), INPUT_LABELS.within())

    def run(self, window: Window) -> Arrays:
        """Return masks and labels of every frame, those that had one unchanged."""
        masks = np.array(window[INPUT_MASKS].between(window.start, window.stop))
        labels = np.array(window[INPUT_LABELS].array)
        if ClipFacts(window.facts).sparse:
            for t, mask in _carried_masks(window, self.reach):
                masks[t - window.start] = pack_mask(mask)
                labels[t - window.start] = winners(mask)
        return {CARRIED_MASKS.name: masks, CARRIED_LABELS.name: labels}


def _carried_masks(window: Window, reach: int) -> Iterator[tuple[int, Floats]]:
    """Yield the frames of a window that have no mask and can be reached, with their masks."""
    evidence = window[EVIDENCE]
    labelled = [t for t in range(evidence.start, evidence.stop) if evidence[t][0]]
    paths: dict[tuple[int, int], _CarryPath] = {}
    for t in window.frames:
        if evidence[t][0]:
            continue
        before = max((a for a in labelled if t - reach <= a < t), default=None)
        after = min((b for b in labelled if t < b <= t + reach), default=None)
        sides = []
        for origin, step in ((before, FORWARD), (after, BACKWARD)):
            if origin is not None:
                path = paths.setdefault((origin, step), _CarryPath(window, origin, step))
                sides.append((path, abs(t - origin)))
        if sides:
            yield t, _mixed_mask(sides, t, window[INPUT_MASKS].array.shape[1:])


def _mixed_mask(sides: list[tuple[_CarryPath, int]], t: int, shape: tuple[int, ...]) -> Floats:
    """Return the mask of a frame at working size from what its sides carry there."""
    rows, columns, classes = shape
    out = np.zeros(shape, np.float32)
    for k in range(classes):
        both = [(path.at(t)[k], frames) for path, frames in sides]
        small = mix_sides(both)
        out[..., k] = cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(out / np.maximum(out.sum(axis=-1, keepdims=True), 1), np.float32)


class _CarryPath:
    """Masks of one labelled frame, carried step by step in one direction, on the flow's grid."""

    def __init__(self, window: Window, origin: int, step: int) -> None:
        self._frames, self._flow, self._step = window[FRAMES], window[FLOW], step
        self._size = (self._flow.array.shape[-1], self._flow.array.shape[-2])
        mask = unpack_mask(window[INPUT_MASKS][origin])
        small = [self._shrink_mask(mask[..., k]) for k in range(mask.shape[-1])]
        picture = self._frame_picture(origin)
        self._colours: list[ColourModel] = [learn_colours(picture, plane) for plane in small]
        self._local = [local_separation(picture, plane) for plane in small]
        self._masks: dict[int, list[CarriedMask]] = {origin: [labelled_mask(p) for p in small]}
        self._last = origin

    def at(self, t: int) -> list[CarriedMask]:
        """Return the masks of all classes on frame `t`, which lies on the way."""
        while t not in self._masks:
            self._carry_step()
        return self._masks[t]

    def _carry_step(self) -> None:
        t, before = self._last + self._step, self._last
        old, new = self._frame_picture(before), self._frame_picture(t)
        back, there = self._frames_between(t, -self._step), self._frames_between(before, self._step)
        self._masks[t] = [
            carry_on(own, old, new, back, there, colours, local_weight=local)
            for own, colours, local in zip(
                self._masks[before], self._colours, self._local, strict=True
            )
        ]
        self._last = t

    def _frames_between(self, t: int, step: int) -> Floats:
        steps = offsets(self._flow.array.shape[1] // 2)
        return unpack_flow(self._flow[t][steps.index(step)])

    def _frame_picture(self, t: int) -> NDArray[np.uint8]:
        small = cv2.resize(self._frames[t], self._size, interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8)

    def _shrink_mask(self, mask: Floats) -> Floats:
        small = cv2.resize(mask, self._size, interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.float32)
