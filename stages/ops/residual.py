"""What a decoder adds to a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

LEAST = np.float32(1 / 255)  # probability that a decoder starts from, if it is less


def add_residual(
    mask: NDArray[np.float32],
    residual: NDArray[np.float32],
    absent: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Return ``softmax(log P + R)`` over the classes and the background, whose residual is 0.

    Azulay et al., "Temporally stable video segmentation without video annotations", sec. 5.1.

    Parameters
    ----------
    mask : ndarray, shape (H, W, C), float32
        Probabilities of the foreground classes; the background is what they leave to 1. Less than
        1/255 counts as that much, so that what was ruled out can come back.
    residual : ndarray, shape (H, W, C), float32
        Of log odds.
    absent : ndarray, shape (H, W), bool, optional
        Where the background cannot come back: it keeps the share that it has.

    Returns
    -------
    ndarray, shape (H, W, C), float32
        Just `mask` at pixels where every residual is 0.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    bind_shapes(mask=(mask, "H W C"), residual=(residual, "H W C"))
    rest = np.maximum(1 - mask.sum(axis=-1, keepdims=True), LEAST)
    odds = np.maximum(mask, LEAST) * np.exp(residual)
    if absent is not None:
        bind_shapes(mask=(mask, "H W C"), absent=(absent, "H W"))
        share = np.clip(1 - mask.sum(axis=-1, keepdims=True), 0, 1 - LEAST)
        kept = odds.sum(axis=-1, keepdims=True) * share / (1 - share)
        rest = np.where(absent[..., None], kept, rest)
    out = odds / (rest + odds.sum(axis=-1, keepdims=True))
    changed = (residual != 0).any(axis=-1, keepdims=True)
    return np.asarray(np.where(changed, out, mask), np.float32)
