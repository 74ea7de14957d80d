"""What the aligned decoder sees of a frame: put together here for the pipeline and for training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.ops.alignment import Box, Halved, halved_frame, look_around
from stages.ops.colour import STRONGEST, colour_evidence, count_colours
from stages.ops.shapes import bind_shapes


@dataclass(frozen=True)
class FrameView:
    """A frame, (H, W, 3) uint8, its masks, (H, W, C) float32, and what is made of them once."""

    image: NDArray[np.uint8]
    mask: NDArray[np.float32]
    half: Halved
    colours: NDArray[np.float32]

    def only(self, chosen: NDArray[np.bool_]) -> FrameView:
        """Return the same with some classes alone, (C,) bool."""
        if chosen.all():
            return self
        half = Halved(self.half.image, self.half.mask[..., chosen])
        return FrameView(self.image, self.mask[..., chosen], half, self.colours[chosen])


def frame_view(image: NDArray[np.uint8], mask: NDArray[np.float32]) -> FrameView:
    """Return a frame, RGB, with its masks, ready to be looked at by its neighbours too."""
    return FrameView(image, mask, halved_frame(image, mask), count_colours(image, mask))


@dataclass(frozen=True)
class DecoderInputs:
    """What `AlignedDecoder.decode` takes, all in [0, 1], float32.

    Attributes
    ----------
    picture : ndarray, shape (3, H, W)
        RGB.
    masks : ndarray, shape (C, 3, H, W)
        For each class the frame's own mask, the voted one, and the evidence of colour, [-4, 4]
        taken to [0, 1].
    near : ndarray, shape (C, 2 (window - 1), ceil(H/2), ceil(W/2))
        See `stages.ops.alignment.look_around`.
    """

    picture: NDArray[np.float32]
    masks: NDArray[np.float32]
    near: NDArray[np.float32]

    def planes(self, c: int) -> NDArray[np.float32]:
        """Return the picture and the masks of one class: (6, H, W)."""
        return np.concatenate([self.picture, self.masks[c]])


def decoder_inputs(
    around: Mapping[int, FrameView],
    voted: NDArray[np.float32],
    flows: Mapping[int, NDArray[np.float32]],
    *,
    window: int,
    table: NDArray[np.float32],
    box: Box | None = None,
) -> DecoderInputs:
    """Return the decoder's inputs for a frame among its neighbours.

    Parameters
    ----------
    around : mapping of FrameView
        By distance in frames: 0 is the frame itself. Colours are counted in all of them.
    voted : ndarray, shape (H, W, C), float32
        The frame's masks after voting.
    flows : mapping of ndarray, shape (2, h, w), float32
        From the frame to each neighbour, in pixels of its own grid.
    window : int, odd
        Frames that the decoder looks at.
    table : ndarray, float32
        From `stages.ops.voting.appearance_table`.
    box : (rows, columns), optional
        Part of the frame that is wanted, beginning at even places; all of it if left out.
    """
    own = around[0]
    bind_shapes(image=(own.image, "H W 3"), mask=(own.mask, "H W C"), voted=(voted, "H W C"))
    rows, columns = own.image.shape[:2]
    part = (slice(0, rows), slice(0, columns)) if box is None else box
    others = {step: view.half for step, view in around.items() if step}
    near = look_around(own.half, others, flows, window=window, table=table, box=_halved_box(part))
    counts = np.stack([around[step].colours for step in sorted(around)])
    image = np.ascontiguousarray(own.image[part])
    colour = colour_evidence(image, counts.mean(axis=0, dtype=np.float32))
    masks = np.stack([own.mask[part], voted[part], colour / (2 * STRONGEST) + np.float32(0.5)])
    return DecoderInputs(
        picture=np.moveaxis(image, -1, 0).astype(np.float32) / np.float32(255),
        masks=np.ascontiguousarray(masks.transpose(3, 0, 1, 2)),
        near=near,
    )


def _halved_box(box: Box) -> Box:
    """Return the same part at half size."""
    rows, columns = (slice(side.start // 2, -(-side.stop // 2)) for side in box)
    return rows, columns
