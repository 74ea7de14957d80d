"""Classes that smoothing would wipe out: poles, signs and fences average to nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

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
