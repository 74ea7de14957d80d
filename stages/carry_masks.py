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
    neighbour_offsets,
)
from stages.facts import ClipFacts
from stages.ops.fixed_point import pack_mask, unpack_flow, unpack_mask
from stages.ops.key_matching import (
    KeyFrame,
    Match,
    describe_pixels,
    match_key_frames,
    matching_step,
    thin_out,
)
from stages.ops.propagation import (
    CarriedMask,
    ColourModel,
    carry_on,
    flow_targets,
    labelled_mask,
    learn_colours,
    local_separation,
    mix_sides,
    sample_plane,
    search_region,
)
from stages.ops.soft_masks import winning_classes

Floats = NDArray[np.float32]
FORWARD, BACKWARD = 1, -1
FAR_APART = 1e3  # of descriptors, in place of infinite


class CarryMasks(Stage):
    """Masks for the frames between labelled ones; see `stages.ops.propagation`."""

    name: ClassVar[str] = "carry"
    version: ClassVar[int] = 2
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
        if ClipFacts(window.facts).sparse and masks.shape[-1]:
            for t, mask in _carried_masks(window, self.reach):
                masks[t - window.start] = pack_mask(mask)
                labels[t - window.start] = winning_classes(mask)
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
    picture = sides[0][0].frame_picture(t)
    carried = [(path.masks_at(t), frames) for path, frames in sides]
    match = _match_frame(sides, t, search_region([mask for masks, _ in carried for mask in masks]))
    distance = _on_grid(match.distance, picture)
    for k in range(classes):
        both = [(masks[k], frames) for masks, frames in carried]
        matched = _on_grid(match.masks[..., k], picture), distance
        small = mix_sides(both, picture, matched)
        out[..., k] = cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(out / np.maximum(out.sum(axis=-1, keepdims=True), 1), np.float32)


def _match_frame(sides: list[tuple[_CarryPath, int]], t: int, region: NDArray[np.bool_]) -> Match:
    """Return the classes that a frame's pixels have in the labelled frames."""
    step = matching_step(region.shape[0])
    places: list[Floats] = [
        np.asarray(
            np.stack([thin_out(axis, step) for axis in path.source_places(t)]) / step, np.float32
        )
        for path, _ in sides
    ]
    descriptors = describe_pixels(sides[0][0].frame_picture(t))
    wanted = thin_out(region, step)
    return match_key_frames(descriptors, [path.key for path, _ in sides], places, wanted)


def _on_grid(values: Floats, picture: NDArray[np.uint8]) -> Floats:
    """Return values of the grid of matching on that of a picture."""
    size = picture.shape[1], picture.shape[0]
    finite = np.minimum(values, np.float32(FAR_APART))
    return np.asarray(cv2.resize(finite, size, interpolation=cv2.INTER_LINEAR), np.float32)


class _CarryPath:
    """Masks of one labelled frame, carried step by step in one direction, on the flow's grid."""

    def __init__(self, window: Window, origin: int, step: int) -> None:
        self._frames, self._flow, self._step = window[FRAMES], window[FLOW], step
        self._size = (self._flow.array.shape[-1], self._flow.array.shape[-2])
        mask = unpack_mask(window[INPUT_MASKS][origin])
        small = [self._shrink_mask(mask[..., k]) for k in range(mask.shape[-1])]
        picture = self.frame_picture(origin)
        every = matching_step(picture.shape[0])
        self.key = KeyFrame(describe_pixels(picture), thin_out(np.stack(small, axis=-1), every))
        rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
        self._places: dict[int, Floats] = {origin: np.stack([columns, rows])}
        self._colours: list[ColourModel] = [learn_colours(picture, plane) for plane in small]
        self._local = [local_separation(picture, plane) for plane in small]
        self._masks: dict[int, list[CarriedMask]] = {origin: [labelled_mask(p) for p in small]}
        self._last = origin

    def masks_at(self, t: int) -> list[CarriedMask]:
        """Return the masks of all classes on frame `t`, which lies on the way."""
        while t not in self._masks:
            self._carry_step()
        return self._masks[t]

    def source_places(self, t: int) -> Floats:
        """Return columns and rows (2, H, W) in the labelled frame of what frame `t` shows."""
        self.masks_at(t)
        return self._places[t]

    def _carry_step(self) -> None:
        t, before = self._last + self._step, self._last
        old, new = self.frame_picture(before), self.frame_picture(t)
        back, there = self._frames_between(t, -self._step), self._frames_between(before, self._step)
        self._masks[t] = [
            carry_on(own, old, new, back, there, colours, local_weight=local)
            for own, colours, local in zip(
                self._masks[before], self._colours, self._local, strict=True
            )
        ]
        x, y, _ = flow_targets(back)
        self._places[t] = np.stack([sample_plane(axis, x, y) for axis in self._places[before]])
        self._last = t

    def _frames_between(self, t: int, step: int) -> Floats:
        steps = neighbour_offsets(self._flow.array.shape[1] // 2)
        return unpack_flow(self._flow[t][steps.index(step)])

    def frame_picture(self, t: int) -> NDArray[np.uint8]:
        """Return a frame on the grid of the flow: (H, W, 3)."""
        small = cv2.resize(self._frames[t], self._size, interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8)

    def _shrink_mask(self, mask: Floats) -> Floats:
        small = cv2.resize(mask, self._size, interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.float32)
