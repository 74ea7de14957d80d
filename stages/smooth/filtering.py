"""The guided filter over a window, frame after frame, holding few frames at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.stage import Span
from stages.arrays import neighbour_offsets
from stages.backend import HOST, Arithmetic, Array
from stages.ops.fixed_point import unpack_mask
from stages.ops.guided import kernel_reach
from stages.ops.soft_masks import mask_confidence
from stages.ops.voting import appearance_table

Box = tuple[Array, Array, Array]
"""Guide (H, W, 3), mask (H, W, C) and weight (H, W) of one frame."""


def centred_guide(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return an RGB picture as a guide in [-0.5, 0.5]."""
    return image.astype(np.float32) * np.float32(1 / 255) - np.float32(0.5)


def stand_still(
    masks: Span,
    frames: Span,
    wanted: range,
    *,
    kernel: int,
    size: int,
    eps: float,
    floor: float,
    on: Arithmetic = HOST,
) -> Iterator[Array]:
    """Yield masks filtered in boxes of `kernel` frames that stay where they are.

    Every box is fitted afresh from its own frames, in their order, so that the result does not
    depend on where the window began.

    Parameters
    ----------
    masks, frames : Span
        (H, W, C) and (H, W, 3) uint8, `kernel - 1` frames more than wanted on either side, or to
        the shot's ends.
    wanted : range
    kernel, size : int
        Frames, and rows and columns, of a box.
    eps, floor : float
        See `stages.ops.guided.fit_coefficients` and `stages.ops.soft_masks.mask_confidence`.
    on : Arithmetic
        Of the device; the masks are arrays of it.
    """
    before, after = kernel_reach(kernel)
    guides, boxes = on.placed(frames), on.placed(masks)
    weights: dict[int, NDArray[np.float32]] = {}
    fits: dict[int, Array] = {}

    def fit(k: int) -> Array:
        near = range(max(k - before, frames.start), min(k + after + 1, frames.stop))
        for j in near:
            if j not in weights:
                weights[j] = mask_confidence(masks[j], floor=floor)
        return on.fitted(
            guides.between(near.start, near.stop),
            boxes.between(near.start, near.stop),
            [weights[j] for j in near],
            size=size,
            eps=eps,
        )

    for t in wanted:
        # An even box leans to the past, so those that hold t lean to the future.
        holding = range(max(t - after, frames.start), min(t + before + 1, frames.stop))
        for k in holding:
            if k not in fits:
                fits[k] = fit(k)
        yield on.applied([fits[k] for k in holding], guides[t])
        fits = {k: fitted for k, fitted in fits.items() if k > t - after}
        weights = {j: weight for j, weight in weights.items() if j > t - after - before}


def follow_flow(
    masks: Span,
    frames: Span,
    flow: Span,
    wanted: range,
    *,
    radius: int,
    appearance: float,
    size: int,
    eps: float,
    floor: float,
    on: Arithmetic = HOST,
) -> Iterator[Array]:
    """Yield masks filtered in boxes that follow what moves.

    The neighbours' guides, masks and weights are carried to each frame along the flow, a weight
    counting as far as the neighbour looks alike; moments are summed over the carried stack, and
    boxes are averaged in space only.

    Parameters
    ----------
    masks, frames, flow : Span
        (H, W, C) uint8, (H, W, 3) uint8, (2 * radius, 2, h, w) int16; masks and frames `radius`
        frames more than wanted on either side, or to the shot's ends.
    wanted : range
    radius, size : int
        Frames to either side, and rows and columns, of a box.
    appearance : float
        See `stages.ops.voting.appearance_table`.
    eps, floor : float
        See `stages.ops.guided.fit_coefficients` and `stages.ops.soft_masks.mask_confidence`.
    on : Arithmetic
        Of the device; the masks are arrays of it.
    """
    table = on.put(appearance_table(appearance))
    boxes_by_frame: dict[int, Box] = {}
    flows = on.placed(flow)
    shape = frames.array.shape[1:3]
    for t in wanted:
        for j in range(max(t - radius, frames.start), min(t + radius + 1, frames.stop)):
            if j not in boxes_by_frame:
                weight = mask_confidence(masks[j], floor=floor)
                boxes_by_frame[j] = (
                    on.put(centred_guide(frames[j])),
                    on.put(unpack_mask(masks[j])),
                    on.put(weight),
                )
        stack = [boxes_by_frame[t]]
        for k, step in enumerate(neighbour_offsets(radius)):
            if t + step in boxes_by_frame:
                along = on.flow(flows[t][k], shape)
                stack.append(
                    on.carried(boxes_by_frame[t][0], *boxes_by_frame[t + step], along, table=table)
                )
        guides, boxes, trust = zip(*stack, strict=True)
        yield on.applied(
            [on.fitted(guides, boxes, trust, size=size, eps=eps)], boxes_by_frame[t][0]
        )
        boxes_by_frame = {j: box for j, box in boxes_by_frame.items() if j > t - radius}
