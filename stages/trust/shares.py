"""Shares: how much of each object's mask is wrong, or in doubt, frame by frame."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes
from stages.trust.structure import TRUSTED, WRONG


def trust_shares(trust: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return which share of each class's pixels is wrong, and which share is not trusted.

    The pixels of a class are those of its mask, and those beside it whose trust is less than
    full: where an object is missing, its place counts.

    Parameters
    ----------
    trust : ndarray, shape (h, w, C), uint8
        Of a frame; see `stages.arrays.TRUST`.
    labels : ndarray, shape (H, W), uint8
        Of the same frame as it came in; class number `c` is `c` + 1.

    Returns
    -------
    ndarray, shape (C, 2), float64
        In [0, 1]: what is `WRONG`, and what is not `TRUSTED`, so that the second is never less
        than the first; NaN for a class without pixels.
    """
    dims = bind_shapes(trust=(trust, "h w C"), labels=(labels, "H W"))
    small = cv2.resize(labels, (dims["w"], dims["h"]), interpolation=cv2.INTER_NEAREST)
    out = np.full((dims["C"], 2), np.nan)
    for number in range(dims["C"]):
        untrusted = trust[..., number] != TRUSTED
        pixels = np.count_nonzero(untrusted | (small == number + 1))
        if pixels:
            wrong = np.count_nonzero(trust[..., number] == WRONG)
            out[number] = wrong / pixels, np.count_nonzero(untrusted) / pixels
    return out
