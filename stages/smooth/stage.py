"""Smooth: masks follow the edges of the picture, in space and time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.stage import ArrayHandle, Arrays, Facts, Input, Stage, Window
from stages.arrays import (
    EVIDENCE,
    FLOW,
    FRAMES,
    INPUT_LABELS,
    INPUT_MASKS,
    KEY_FRAME,
    SMOOTH_LABELS,
    SMOOTH_MASKS,
    masks_to_smooth,
)
from stages.backend import Arithmetic, Array, arithmetic_on
from stages.facts import ClipFacts
from stages.ops.fixed_point import pack_mask, unpack_mask
from stages.ops.soft_masks import (
    far_from_background,
    keep_labels,
    leave_alone,
    winning_classes,
)
from stages.refine.voting import voting_passes
from stages.shared_settings import DEFAULT_APPEARANCE, DEFAULT_RADIUS, Appearance, Radius
from stages.smooth.filtering import follow_flow, stand_still
from stages.smooth.vanishing import POOLED, close_gaps, count_pixels, vanishing_classes

MASKS_IN, LABELS_IN, SETTLED = masks_to_smooth()

Smoothed = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Soft masks (H, W, C) and labels (H, W) of a frame."""


class Smooth(Stage):
    """3D weighted guided filter, then a last vote; see `stages.ops.guided`."""

    name: ClassVar[str] = "smooth"
    version: ClassVar[int] = 5
    writes: ClassVar[tuple[ArrayHandle, ...]] = (SMOOTH_MASKS, SMOOTH_LABELS)
    uses: ClassVar[tuple[str, ...]] = ("sparse", "classes")
    outside_key: ClassVar[tuple[str, ...]] = ("device",)

    method: Literal["static", "compensated", "none"] = Field(
        "static", description="box that stands still, box that follows the flow, or no filter"
    )
    spatial_kernel: int = Field(8, ge=1, le=255, description="rows and columns of the box")
    temporal_kernel: int = Field(
        4, ge=1, le=31, description="frames of the box; 1 is the 2D filter"
    )
    eps: float = Field(
        1e-4, ge=1e-6, description="guide variance (RGB in 0-1) under which a box is flat"
    )
    weighted: bool = Field(True, description="weigh pixels by how sure their mask is")
    weight_floor: float = Field(0.01, gt=0, le=1, description="weight of the least sure pixel")
    votes: int = Field(2, ge=0, le=5, description="passes of voting after the filter")
    blur: float = Field(
        1.0, ge=0, le=20, description="blur after voting, pixels (1 sigma): votes fray outlines"
    )
    radius: Radius = DEFAULT_RADIUS
    appearance: Appearance = DEFAULT_APPEARANCE
    device: str = Field("cpu", description="cpu or cuda")

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read as far as the boxes and the votes after them reach, for all frames counted."""
        # Without a clip, of which training asks what it reads, no class is known.
        counted = POOLED if len(facts.get("classes", ())) > 1 else 0
        votes = self.votes * self.radius
        reach = votes + self._box_reach() + counted
        flow = (votes if self._follows else max(votes - self.radius, 0)) + counted
        return (
            MASKS_IN.within(reach),
            SETTLED.within(counted),
            *self._own(facts, counted),
            FRAMES.within(reach),
            *([FLOW.within(flow)] if self.votes or self._follows else []),
        )

    def run(self, window: Window) -> Arrays:
        """Return the soft masks and the labels that win."""
        trust = window[SETTLED]
        if (trust.between(window.start, window.stop) == 255).all():
            out = [self._as_refined(window, t) for t in window.frames]
            return _stacked_arrays(out)
        on = arithmetic_on(self.device, setting="smooth.device")
        classes = window[MASKS_IN].array.shape[-1]
        # Where there is one class alone, nothing takes its place.
        counted = range(trust.start, trust.stop) if classes > 1 else window.frames
        kept: dict[int, Smoothed] = {}
        after: dict[int, NDArray[np.int64]] = {}
        with on.running("smooth"):
            masks = (on.get(mask) for mask in self._smoothed_masks(window, counted, on))
            for t, mask in zip(counted, masks, strict=True):
                frame = self._kept(mask, window, t)
                after[t] = count_pixels(frame[1], classes=classes)
                if t in window.frames:
                    kept[t] = frame
        if classes > 1:
            kept = _without_losses(window, kept, after)
        return _stacked_arrays(list(kept.values()))

    def _smoothed_masks(
        self, window: Window, frames_wanted: range, on: Arithmetic
    ) -> Iterator[Array]:
        """Return the masks of some frames, filtered and voted."""
        frames = window[FRAMES]
        reach = self.votes * self.radius
        wanted = range(
            max(frames_wanted.start - reach, frames.start),
            min(frames_wanted.stop + reach, frames.stop),
        )
        filtered = self._filtered_masks(window, wanted, on)
        if not self.votes:
            return filtered
        # In 255ths what is nearly nothing is nothing, and large areas need no vote.
        return voting_passes(
            (on.rounded(mask) for mask in filtered),
            frames,
            window[FLOW],
            frames_wanted,
            count=self.votes,
            radius=self.radius,
            appearance=self.appearance,
            voters=wanted,
            on=on,
        )

    @staticmethod
    def _own(facts: Facts, reach: int) -> tuple[Input, ...]:
        """Return the arrays of frames as they came in: labels; of key frames also the masks."""
        key_frames = (EVIDENCE, INPUT_MASKS, INPUT_LABELS) if ClipFacts(facts).sparse else ()
        return tuple(array.within(reach) for array in (LABELS_IN, *key_frames))

    @staticmethod
    def _as_refined(window: Window, t: int) -> Smoothed:
        """Return a frame's mask and labels as refined; key frames as they came in."""
        if _is_key_frame(window, t):
            return window[INPUT_MASKS][t], window[INPUT_LABELS][t]
        return window[MASKS_IN][t], window[LABELS_IN][t]

    def _kept(self, mask: NDArray[np.float32], window: Window, t: int) -> Smoothed:
        """Return a frame's mask and labels; as they came in where they are good."""
        if _is_key_frame(window, t):
            return window[INPUT_MASKS][t], window[INPUT_LABELS][t]
        if self.votes and self.blur > 0 and mask.size:
            # Pixel by pixel, what looks like its neighbours in time takes their mask and what does
            # not keeps its own: in grass or fur that is a saw-tooth with islands of a few pixels.
            mask = cv2.GaussianBlur(mask, (0, 0), self.blur).reshape(mask.shape)
        trust = window[SETTLED][t]
        mask = leave_alone(mask, window[MASKS_IN][t], trust)
        packed = pack_mask(mask)
        if mask.shape[-1] > 1:
            absent = far_from_background(_refined_labels(window, t) == 0)
            packed = close_gaps(packed, absent, window[MASKS_IN][t], settled=trust == 255)
            mask = unpack_mask(packed)
        return packed, keep_labels(winning_classes(mask), window[LABELS_IN][t], trust)

    @property
    def _follows(self) -> bool:
        return self.method == "compensated" and self.temporal_kernel > 1

    def _box_reach(self) -> int:
        if self.method == "none":
            return 0
        return self.radius if self._follows else self.temporal_kernel - 1

    def _filtered_masks(self, window: Window, wanted: range, on: Arithmetic) -> Iterator[Array]:
        masks, frames = window[MASKS_IN], window[FRAMES]
        floor = self.weight_floor if self.weighted else 1.0
        if self.method == "none":
            return (unpack_mask(masks[t]) for t in wanted)
        size, eps = self.spatial_kernel, self.eps
        if not self._follows:
            kernel = self.temporal_kernel
            return stand_still(
                masks, frames, wanted, kernel=kernel, size=size, eps=eps, floor=floor, on=on
            )
        return follow_flow(
            masks, frames, window[FLOW], wanted, radius=self.radius,
            appearance=self.appearance, size=size, eps=eps, floor=floor, on=on,
        )  # fmt: skip


def _without_losses(
    window: Window, smoothed: dict[int, Smoothed], after: dict[int, NDArray[np.int64]]
) -> dict[int, Smoothed]:
    """Return smoothed frames in which the classes that would vanish are as refined."""
    classes = window[MASKS_IN].array.shape[-1]
    before = {t: count_pixels(_refined_labels(window, t), classes=classes) for t in after}
    out = {}
    for t, frame in smoothed.items():
        near = [j for j in after if abs(j - t) <= POOLED]
        lost = vanishing_classes(
            np.stack([before[j] for j in near]), np.stack([after[j] for j in near])
        )
        out[t] = frame
        if lost.any() and not _is_key_frame(window, t):
            mixed = np.where(lost, window[MASKS_IN][t], frame[0])
            absent = (frame[1] > 0) & (_refined_labels(window, t) > 0)
            mask = close_gaps(mixed, absent, frame[0], settled=window[SETTLED][t] == 255)
            labels = winning_classes(unpack_mask(mask))
            out[t] = mask, keep_labels(labels, window[LABELS_IN][t], window[SETTLED][t])
    return out


def _refined_labels(window: Window, t: int) -> NDArray[np.uint8]:
    """Return the labels of a frame before smoothing."""
    if _is_key_frame(window, t):
        return window[INPUT_LABELS][t]
    labels = winning_classes(unpack_mask(window[MASKS_IN][t]))
    return keep_labels(labels, window[LABELS_IN][t], window[SETTLED][t])


def _is_key_frame(window: Window, t: int) -> bool:
    """Return whether a frame's mask is the user's own."""
    return ClipFacts(window.facts).sparse and bool(window[EVIDENCE][t][0] == KEY_FRAME)


def _stacked_arrays(frames: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> Arrays:
    return {
        "masks": np.stack([mask for mask, _ in frames]),
        "labels": np.stack([labels for _, labels in frames]),
    }
