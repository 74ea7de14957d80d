"""What a decoder's residuals do to masks, in a window and over a whole shot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import ShapeError
from stages.models.decoders.deeplab import DeepLabDecoder
from stages.models.torch_models import repeatable
from stages.ops.shapes import bind_shapes

LEAST = 1e-4  # probability whose logarithm stands for that of 0, so that 0 can be corrected too

Frames = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
Masks = Sequence[NDArray[np.float32]] | NDArray[np.float32]


def refined_logits(masks: Tensor, residuals: Tensor) -> Tensor:
    """Return ``log P + R``, finite: a probability of 0 counts as 1e-4, so that it can rise.

    Azulay et al., "Temporally stable video segmentation without video annotations", section 5.1.

    Parameters
    ----------
    masks, residuals : Tensor, shape (…, C, H, W), float
        Probabilities, background included, and residual logits.

    Returns
    -------
    Tensor, shape (…, C, H, W), float
    """
    return masks.clamp(min=LEAST).log() + residuals


def refined(masks: Tensor, residuals: Tensor) -> Tensor:
    """Return ``softmax(log P + R)``, and P to the last bit where R is 0.

    ``P + softmax(log P + R) − softmax(log P)``: what the residuals change, added to the masks, so
    that neither rounding nor the floor of `refined_logits` changes anything by itself. It is the
    plain formula where no probability is under 1e-4.

    Parameters
    ----------
    masks, residuals : Tensor, shape (…, C, H, W), float
        Probabilities, background included, sum over classes 1, and residual logits.

    Returns
    -------
    Tensor, shape (…, C, H, W), float
        Probabilities, sum over classes as in `masks`.
    """
    before = refined_logits(masks, torch.zeros_like(residuals)).softmax(dim=-3)
    after = refined_logits(masks, residuals).softmax(dim=-3)
    moved = (masks + (after - before)).clamp(min=0)
    return moved * (masks.sum(dim=-3, keepdim=True) / moved.sum(dim=-3, keepdim=True))


def slide(
    decoder: DeepLabDecoder, frames: Frames, masks: Masks, *, start: int, stop: int
) -> Iterator[NDArray[np.float32]]:
    """Return, one after the other, the refined masks of frames `start` to `stop` of a shot.

    A window is centred on every frame of the shot, and filled by repeating the end frame where it
    reaches over the shot's end. A frame's residual is the mean over the windows that it is in, each
    counted once, at the frame's own place and not where it is repeated. What is given should reach
    K − 1 frames to either side of those wanted; where it reaches less far, the shot ends there.

    Each frame is encoded once and by itself; windows are decoded one at a time, a frame's residuals
    summed in their order. So a frame's result depends on the frames within its reach and on nothing
    else, to the last bit. Arrays are read when their turn comes, and only a window's are kept.

    Parameters
    ----------
    decoder : DeepLabDecoder
        Put into evaluation mode; K is its window.
    frames : sequence of N ndarray, shape (H, W, 3), uint8
        RGB, of one shot.
    masks : sequence of N ndarray, shape (H, W, C), float32
        Probabilities, background included, sum over classes 1.
    start, stop : int, 0 <= start <= stop <= N
        The frames wanted, counted within `frames`.

    Returns
    -------
    iterator of ndarray, shape (C, H, W), float32
        ``softmax(log P + mean R)`` of each frame wanted, see `refined`; stacked, (T, C, H, W).

    Raises
    ------
    ShapeError
        If frames and masks are not as many, or those wanted are not among them; while iterating,
        if an array has another shape than the others or the decoder's.
    """
    if len(frames) != len(masks):
        raise ShapeError(f"masks: expected {len(frames)}, one a frame, got {len(masks)}")
    if not 0 <= start <= stop <= len(frames):
        raise ShapeError(
            f"frames: expected frames {start} to {stop}, as wanted, among them, got {len(frames)}"
        )
    return _slide_window(decoder, frames, masks, start, stop)


@dataclass
class _WindowFrame:
    """A frame within the window: its masks (C, H, W), its code, and its residuals so far."""

    mask: Tensor
    code: Tensor
    total: Tensor
    windows: int = 0


def _slide_window(
    decoder: DeepLabDecoder, frames: Frames, masks: Masks, start: int, stop: int
) -> Iterator[NDArray[np.float32]]:
    half, last = decoder.window // 2, len(frames) - 1
    encoded: dict[int, _WindowFrame] = {}
    ready = start
    for centre in range(max(start - half, 0), min(stop + half, last + 1) if start < stop else 0):
        places = range(centre - half, centre + half + 1)
        near = [min(max(k, 0), last) for k in places]
        # Not inside a `with` across the yield: the caller must get its own torch modes back.
        with repeatable():
            encoded = {
                k: encoded.get(k) or _encode_frame(decoder, frames[k], masks[k]) for k in near
            }
            window = [encoded[k] for k in near]
            _add_window(
                decoder, window, [k == wanted for k, wanted in zip(near, places, strict=True)]
            )
        done = stop if centre == last else min(centre - half + 1, stop)
        for k in range(ready, done):
            with repeatable():
                soft = refined(encoded[k].mask, encoded[k].total / encoded[k].windows).cpu().numpy()
            yield soft
        ready = max(ready, done)


def _encode_frame(
    decoder: DeepLabDecoder, frame: NDArray[np.uint8], mask: NDArray[np.float32]
) -> _WindowFrame:
    """Encode one frame, by itself so that its bits depend on nothing else."""
    bind_shapes(frame=(frame, "H W 3"), mask=(mask, "H W C"))
    decoder.eval()
    where = decoder.mean.device
    picture = torch.tensor(frame.transpose(2, 0, 1), device=where).float() / 255
    soft = torch.tensor(mask.transpose(2, 0, 1), dtype=torch.float32, device=where)
    return _WindowFrame(soft, decoder.encode(picture[None], soft[None])[0], torch.zeros_like(soft))


def _add_window(decoder: DeepLabDecoder, window: list[_WindowFrame], real: list[bool]) -> None:
    """Decode one window and add each frame's residual at the frame's own place."""
    first = window[0].mask
    for window_frame in window:
        if window_frame.mask.shape != first.shape:
            raise ShapeError(
                f"masks: expected one shape (C H W) within a shot, {tuple(first.shape)} as before, "
                f"got {tuple(window_frame.mask.shape)}"
            )
    codes = torch.stack([window_frame.code for window_frame in window])
    rows, columns = first.shape[-2:]
    residuals = decoder.decode(codes[None], (rows, columns))[0]
    for window_frame, residual, counts in zip(window, residuals, real, strict=True):
        if counts:
            window_frame.total += residual
            window_frame.windows += 1
