"""Classes that smoothing would wipe out: poles, signs and fences average to nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages.ops.fixed_point import unpack_mask
from stages.ops.shapes import bind_shapes
from stages.ops.soft_masks import winning_classes

POOLED = 8  # frames to either side whose pixels are counted together
LEFT = 0.7  # share of a class's pixels that smoothing has to leave


def count_pixels(labels: NDArray[np.uint8], *, classes: int) -> NDArray[np.int64]:
    """Return the pixels of each class, (C,); the background is left out."""
    bind_shapes(labels=(labels, "H W"))
    return np.bincount(labels.ravel(), minlength=classes + 1)[1:]


def vanishing_classes(before: NDArray[np.int64], after: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the classes, (C,), of whose pixels smoothing leaves too few.

    Masks of a thin class that jitter by their own width have a mean under one half everywhere, so
    that another class wins. What is thick keeps its pixels: on a driving sequence of eleven
    classes, two kept a quarter and all others 94 % or more.

    Parameters
    ----------
    before, after : ndarray, shape (N, C), int64
        Pixels of each class in some frames, from `count_pixels`.
    """
    bind_shapes(before=(before, "N C"), after=(after, "N C"))
    return np.asarray(after.sum(axis=0) < LEFT * before.sum(axis=0))


def close_gaps(
    mixed: NDArray[np.uint8],
    smoothed: NDArray[np.uint8],
    after: NDArray[np.uint8],
    before: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Return masks of which some classes are not smoothed, without background that nobody has.

    Masks of one frame before and after smoothing, mixed by class, can leave more to the background
    than either.

    Parameters
    ----------
    mixed, smoothed : ndarray, shape (H, W, C), uint8
    after, before : ndarray, shape (H, W), uint8
        Labels after and before smoothing.

    Returns
    -------
    ndarray, shape (H, W, C), uint8
        As mixed; where the background wins, but neither after nor before, the classes share 255.
    """
    bind_shapes(
        mixed=(mixed, "H W C"), smoothed=(smoothed, "H W C"), after=(after, "H W"),
        before=(before, "H W"),
    )  # fmt: skip
    gaps = (after > 0) & (before > 0) & (winning_classes(unpack_mask(mixed)) == 0)
    values = mixed[gaps].astype(np.float32)
    total = values.sum(axis=-1, keepdims=True)
    shared = np.where(total > 0, np.rint(values * 255 / np.maximum(total, 1)), smoothed[gaps])
    out = mixed.copy()
    out[gaps] = shared.astype(np.uint8)
    return out
