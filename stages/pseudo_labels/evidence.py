"""What speaks for and against the labels of some frames of a clip, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.stage import Reader
from stages.arrays import (
    FLOW,
    REFINED_MASKS,
    SMOOTH_LABELS,
    SMOOTH_MASKS,
    VISIBLE,
    neighbour_offsets,
)
from stages.ops.fixed_point import unpack_flow, unpack_mask
from stages.ops.label_trust import label_certainty, neighbour_agreement, supported_pixels
from stages.ops.soft_masks import winning_classes
from stages.ops.warp import resize_flow

Shots = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Judged:
    """A frame's stabilised masks and how far to trust them.

    Attributes
    ----------
    frame : int
    labels : ndarray, shape (H, W), uint8
        0, or 1 + number of the class.
    mask : ndarray, shape (H, W, C), uint8
    sure : ndarray, shape (H, W), uint8
        Certainty in 255ths.
    passed : ndarray, shape (H, W), bool
        Pixels that neighbours and passes agree on.
    """

    frame: int
    labels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    sure: NDArray[np.uint8]
    passed: NDArray[np.bool_]


@dataclass(frozen=True)
class Demands:
    """What a pixel has to pass besides being certain.

    Attributes
    ----------
    support : float, in [0, 1]
        See `stages.ops.label_trust.supported_pixels`; with `least_seen` 0 too, none is asked.
    least_seen : int
    passes_agree : bool
        Whether voting and smoothing must give the same label.
    radius : int
        Frames to either side.
    """

    support: float
    least_seen: int
    passes_agree: bool
    radius: int

    @property
    def ask_neighbours(self) -> bool:
        """Whether flow is needed."""
        return self.support > 0 or self.least_seen > 0


def judged_frames(
    read: Reader, chosen: Sequence[int], shots: Shots, demands: Demands
) -> Iterator[Judged]:
    """Yield the chosen frames, which rise, with what the demands say of them."""
    around = _LabelsAround(read, chosen, shots, demands) if demands.ask_neighbours else None
    voted = read(REFINED_MASKS, chosen) if demands.passes_agree else None
    labels = read(SMOOTH_LABELS, chosen)
    for t, own, mask in zip(chosen, labels, read(SMOOTH_MASKS, chosen), strict=True):
        passed = np.ones(own.shape, np.bool_)
        if voted is not None:
            passed &= winning_classes(unpack_mask(next(voted))) == own
        if around is not None:
            passed &= around.support(t, own)
        yield Judged(t, own, mask, label_certainty(mask, own), passed)


class _LabelsAround:
    """The labels around the chosen frames, no more of them held than is looked at."""

    def __init__(self, read: Reader, chosen: Sequence[int], shots: Shots, demands: Demands) -> None:
        self._demands = demands
        self._near = {t: _near_frames(t, shots, demands.radius) for t in chosen}
        wanted = sorted({j for near in self._near.values() for j in near})
        self._coming = zip(wanted, read(SMOOTH_LABELS, wanted), strict=True)
        self._held: dict[int, NDArray[np.uint8]] = {}
        self._flow = read(FLOW, chosen)
        self._seen = read(VISIBLE, chosen)

    def support(self, t: int, own: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return the pixels of frame t that its neighbours support."""
        near = self._near[t]
        while near and near[-1] not in self._held:
            j, labels = next(self._coming)
            self._held[j] = labels
        self._held = {j: kept for j, kept in self._held.items() if j >= t - self._demands.radius}
        steps, flow, visible = (
            neighbour_offsets(self._demands.radius),
            next(self._flow),
            next(self._seen),
        )
        answers = np.zeros((len(near), *own.shape), np.uint8)
        for k, j in enumerate(near):
            step = steps.index(j - t)
            along = resize_flow(unpack_flow(flow[step]), (own.shape[0], own.shape[1]))
            answers[k] = neighbour_agreement(
                own, self._held[j], along, _enlarged_flow(visible[step], own.shape)
            )
        return supported_pixels(
            answers, share=self._demands.support, least=self._demands.least_seen
        )


def _near_frames(t: int, shots: Shots, radius: int) -> list[int]:
    start, stop = next((a, b) for a, b in shots if a <= t < b)
    return [j for j in range(max(t - radius, start), min(t + radius + 1, stop)) if j != t]


def _enlarged_flow(visible: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if visible.shape == shape:
        return visible
    size = (shape[1], shape[0])
    large = cv2.resize(visible.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(large, np.bool_)


def motion_lengths(read: Reader, radius: int, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the mean length of the flow from each frame to the next, (T,), in working pixels."""
    k = neighbour_offsets(radius).index(1)
    lengths = []
    for packed in read(FLOW):
        flow = unpack_flow(packed[k])
        across, down = (size[1] / flow.shape[2], size[0] / flow.shape[1])
        lengths.append(float(np.hypot(flow[0] * across, flow[1] * down).mean(dtype=np.float64)))
    return np.array(lengths, np.float64)
