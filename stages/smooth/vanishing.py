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
    masks: NDArray[np.uint8],
    absent: NDArray[np.bool_],
    otherwise: NDArray[np.uint8],
    *,
    settled: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """Return masks of several classes without background where there is none.

    Each class is filtered by itself, so that between two of them both may have too little; and
    classes before and after smoothing, mixed, can leave more to the background than either.

    Parameters
    ----------
    masks : ndarray, shape (H, W, C), uint8
    absent : ndarray, shape (H, W), bool
        Where there is no background.
    otherwise : ndarray, shape (H, W, C), uint8
        Masks for where no class that may change has anything.
    settled : ndarray, shape (C,), bool
        Classes whose masks stay as they are.

    Returns
    -------
    ndarray, shape (H, W, C), uint8
        Where the background is absent, but wins, the other classes share what these leave of 255.
    """
    bind_shapes(
        masks=(masks, "H W C"), absent=(absent, "H W"), otherwise=(otherwise, "H W C"),
        settled=(settled, "C"),
    )  # fmt: skip
    gaps = absent & (winning_classes(unpack_mask(masks)) == 0)
    values = masks[gaps].astype(np.float32)
    free = np.where(settled, np.float32(0), values)
    total = free.sum(axis=-1, keepdims=True)
    left = (255 - (values - free).sum(axis=-1, keepdims=True)).clip(0)
    shared = np.where(settled, values, np.rint(free * left / np.maximum(total, 1)))
    out = masks.copy()
    out[gaps] = np.where(total > 0, shared, otherwise[gaps]).astype(np.uint8)
    return out
