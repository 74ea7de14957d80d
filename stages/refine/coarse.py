"""Coarse masks after voting: drawn along the picture's edges by the aligned decoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.stage import Span
from stages.arrays import neighbour_offsets
from stages.models.decoders.load import load_decoder
from stages.ops.alignment import Box
from stages.ops.decoder_inputs import DecoderInputs, FrameView, decoder_inputs, frame_view
from stages.ops.fixed_point import unpack_flow, unpack_mask
from stages.ops.residual import add_residual
from stages.ops.soft_masks import far_from_background, winning_classes
from stages.ops.voting import appearance_table

if TYPE_CHECKING:
    from stages.models.decoders.aligned import AlignedDecoder

UNSURE = 0.02  # a mask within that much of 0 or 1 has no outline there
AROUND = 32  # pixels of picture that the decoder sees around an outline
GRID = 32  # pixels: boxes begin at multiples, as the decoder folds and halves its input
LEFT = 0.7  # share of a class's pixels that decoding has to leave


class CoarseDecoder:
    """Decodes some classes of the frames of a window, one frame after the other.

    Parameters
    ----------
    frames : Span
        (H, W, 3) uint8.
    flow : Span of (2 * radius, 2, h, w) int16
    masks : callable
        Returns the soft masks of a frame, (H, W, C) uint8, before voting.
    window_length : int
        Frames that the decoder may look at; no more than it was trained for.
    appearance : float
        See `stages.ops.voting.appearance_table`.
    weights, device : str
        See `stages.models.decoders.load.load_decoder`.
    """

    def __init__(
        self, frames: Span, flow: Span, masks: Callable[[int], NDArray[np.uint8]], *,
        window_length: int, appearance: float, weights: str, device: str,
    ) -> None:  # fmt: skip
        self._decoder = cast("AlignedDecoder", load_decoder("aligned", weights, device))
        self._frames, self._flow, self._masks = frames, flow, masks
        self._steps = neighbour_offsets(flow.array.shape[1] // 2)
        self._reach = min(self._decoder.window // 2, window_length // 2, len(self._steps) // 2)
        self._table = appearance_table(appearance)
        self._views: dict[int, FrameView] = {}

    def decode(
        self, t: int, voted: NDArray[np.float32], chosen: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return the voted masks (H, W, C) of frame `t`, some classes (C,) of them decoded.

        Frames have to rise from call to call.
        """
        residual = np.zeros((*voted.shape[:2], int(chosen.sum())), np.float32)
        views = {j - t: view.only(chosen) for j, view in self._near_views(t).items()}
        pair = np.stack([views[0].mask, voted[..., chosen]])
        boxes = {c: _box_around_outline(pair[..., c]) for c in range(residual.shape[-1])}
        known = {c: box for c, box in boxes.items() if box is not None}
        if known:
            whole = _box_around_all(list(known.values()))
            inputs = self._inputs(t, views, pair[1], whole)
            for c, box in known.items():
                part = _part(inputs, c, _within(box, whole))
                residual[(*box, c)] = self._decoder.refine(part)[0][..., 0]
        decoded = add_residual(
            np.ascontiguousarray(voted[..., chosen]), residual, mark_absent_background(voted)
        )
        out = voted.copy()
        out[..., chosen] = decoded
        return keep_small_classes(out, voted)

    def _near_views(self, t: int) -> dict[int, FrameView]:
        """Return the frames around one; views of earlier frames are dropped."""
        near = range(
            max(t - self._reach, self._frames.start), min(t + self._reach + 1, self._frames.stop)
        )
        for j in near:
            if j not in self._views:
                self._views[j] = frame_view(self._frames[j], unpack_mask(self._masks(j)))
        self._views = {j: view for j, view in self._views.items() if j >= near.start}
        return {j: self._views[j] for j in near}

    def _inputs(
        self, t: int, views: dict[int, FrameView], voted: NDArray[np.float32], box: Box
    ) -> DecoderInputs:
        flow = self._flow[t]
        return decoder_inputs(
            views,
            voted,
            {step: unpack_flow(flow[k]) for k, step in enumerate(self._steps) if step in views},
            window=self._decoder.window,
            table=self._table,
            box=box,
        )


def mark_absent_background(masks: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Mark where masks (H, W, C) of several classes have no background near; None for one class.

    The decoder tells an object from all that is around it. Between two classes it may doubt both,
    and what is left over would come out as background.
    """
    if masks.shape[-1] == 1:
        return None
    return far_from_background(1 - masks.sum(axis=-1) > 0.5)


def keep_small_classes(
    decoded: NDArray[np.float32], voted: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return decoded masks (H, W, C), but as voted where classes win of which too little is left.

    A class of few pixels is nothing to the decoder, which was trained on one object at a time.
    """
    classes = voted.shape[-1]
    if classes == 1:
        return decoded
    winners, left = winning_classes(voted), winning_classes(decoded)
    before, after = (np.bincount(w.ravel(), minlength=classes + 1) for w in (winners, left))
    small = after < LEFT * before
    small[0] = False  # the background
    return np.where(small[winners][..., None], voted, decoded)


def _box_around_outline(masks: NDArray[np.float32]) -> Box | None:
    """Return the box of all outlines of some masks (N, H, W), and what is around them."""
    unsure = (np.abs(masks - np.float32(0.5)) < 0.5 - UNSURE).any(axis=0)
    left, top, width, height = cv2.boundingRect(unsure.astype(np.uint8))
    if not width:
        return None
    rows, columns = unsure.shape
    return _side(top, top + height, rows), _side(left, left + width, columns)


def _side(start: int, stop: int, size: int) -> slice:
    """Return one side of a box, wider by what is around and rounded to the decoder's grid."""
    first = max(start - AROUND, 0) // GRID * GRID
    return slice(first, min(-(-(stop + AROUND) // GRID) * GRID, size))


def _box_around_all(boxes: list[Box]) -> Box:
    """Return the least box that holds some boxes."""
    rows, columns = (
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*boxes, strict=True)
    )
    return rows, columns


def _within(box: Box, whole: Box) -> Box:
    """Return a box as seen from another that holds it."""
    rows, columns = (
        slice(side.start - outer.start, side.stop - outer.start)
        for side, outer in zip(box, whole, strict=True)
    )
    return rows, columns


def _part(inputs: DecoderInputs, c: int, box: Box) -> DecoderInputs:
    """Return the inputs of one class within a box that begins at even places."""
    half = tuple(slice(side.start // 2, -(-side.stop // 2)) for side in box)
    return DecoderInputs(
        inputs.picture[(slice(None), *box)],
        inputs.masks[(slice(c, c + 1), slice(None), *box)],
        inputs.near[(slice(c, c + 1), slice(None), *half)],
    )
