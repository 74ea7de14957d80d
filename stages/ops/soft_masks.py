"""Between labels and soft masks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

NEAR = 16  # pixels from the background within which it may come back


def softened_masks(
    labels: NDArray[np.uint8] | NDArray[np.uint16], classes: Sequence[int], *, sigma: float
) -> NDArray[np.float32]:
    """Return one-hot masks with a soft edge.

    Parameters
    ----------
    labels : ndarray, shape (H, W), integer
    classes : sequence of C labels
        The foreground; every other label is background.
    sigma : float, >= 0
        Of the Gaussian blur, in pixels; 0 leaves the masks hard.

    Returns
    -------
    ndarray, shape (H, W, C), float32
        Foreground probabilities; the background is what is left to 1. Blurring is linear, so the
        classes with their background still sum to 1.
    """
    hot = [(labels == label).astype(np.float32) for label in classes]
    if sigma > 0:
        hot = [cv2.GaussianBlur(plane, (0, 0), sigma) for plane in hot]
    if not hot:
        return np.zeros((*labels.shape, 0), np.float32)
    return np.stack(hot, axis=-1)


def far_from_background(background: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the pixels around which there is no background, where none is to come back.

    Parameters
    ----------
    background : ndarray, shape (H, W), bool

    Returns
    -------
    ndarray, shape (H, W), bool
        Pixels more than `NEAR` rows or columns away from all background.
    """
    bind_shapes(background=(background, "H W"))
    square = np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8)
    return np.asarray(cv2.dilate(background.astype(np.uint8), square) == 0)


def winning_classes(mask: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return for each pixel 0 where the background wins, else 1 + the number of the best class.

    Parameters
    ----------
    mask : ndarray, shape (H, W, C), float
        Foreground probabilities, C <= 254; a tie goes to the background, then to the earlier class.

    Returns
    -------
    ndarray, shape (H, W), uint8
    """
    dims = bind_shapes(mask=(mask, "H W C"))
    if dims["C"] == 0:
        return np.zeros((dims["H"], dims["W"]), np.uint8)
    if dims["C"] == 1:
        return (mask[..., 0] > 0.5).astype(np.uint8)
    best = np.argmax(mask, axis=-1)
    top = np.take_along_axis(mask, best[..., None], axis=-1)[..., 0]
    background = 1 - mask.sum(axis=-1)
    return np.where(top > background, best + 1, 0).astype(np.uint8)


def with_background(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a mask with the background, what the classes leave to 1, before them.

    Parameters
    ----------
    mask : ndarray, shape (H, W, C), float32

    Returns
    -------
    ndarray, shape (H, W, C + 1), float32
    """
    bind_shapes(mask=(mask, "H W C"))
    rest = np.maximum(1 - mask.sum(axis=-1, keepdims=True), 0)
    return np.concatenate([rest, mask], axis=-1)


def mask_confidence(mask: NDArray[np.uint8], *, floor: float) -> NDArray[np.float32]:
    """Return how sure a soft mask is: 1 minus its entropy over that of a uniform guess.

    Parameters
    ----------
    mask : ndarray, shape (H, W, C), uint8
        Foreground probabilities in 255ths.
    floor : float
        Least confidence, so that no box of the guided filter is empty.

    Returns
    -------
    ndarray, shape (H, W), float32, in [floor, 1]
    """
    dims = bind_shapes(mask=(mask, "H W C"))
    if dims["C"] == 0:
        return np.ones((dims["H"], dims["W"]), np.float32)
    p = np.arange(256) / 255
    entropy = np.zeros(256)
    entropy[1:] = -p[1:] * np.log(p[1:]) / np.log(dims["C"] + 1)
    if dims["C"] == 1:
        table = np.maximum(1 - entropy - entropy[::-1], floor).astype(np.float32)
        return np.asarray(cv2.LUT(mask[..., 0], table))
    out = np.empty((dims["H"], dims["W"]), np.float32)
    _sum_entropies(mask, entropy, floor, out)
    return out


@njit(nogil=True, cache=True)
def _sum_entropies(
    mask: NDArray[np.uint8], entropy: NDArray[np.float64], floor: float, out: NDArray[np.float32]
) -> None:
    """Write 1 minus the entropies of the background and all classes, at least `floor`."""
    rows, columns, classes = mask.shape
    for y in range(rows):
        for x in range(columns):
            whole = 0
            for k in range(classes):
                whole += mask[y, x, k]
            total = entropy[max(255 - whole, 0)]
            for k in range(classes):
                total += entropy[mask[y, x, k]]
            out[y, x] = np.float32(max(1 - total, floor))


def leave_alone(
    mask: NDArray[np.float32], before: NDArray[np.uint8], trust: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return `mask`, but what it was before as far as that is trusted.

    Parameters
    ----------
    mask : ndarray, shape (H, W, C), float32
    before : ndarray, shape (H, W, C), uint8
        In 255ths.
    trust : ndarray, shape (C,), uint8
        In each class as a whole, in 255ths.

    Returns
    -------
    ndarray, shape (H, W, C), float32
    """
    bind_shapes(mask=(mask, "H W C"), before=(before, "H W C"), trust=(trust, "C"))
    if not trust.any():
        return mask
    share = trust * np.float32(1 / 255)
    return mask + share * (before * np.float32(1 / 255) - mask)


def keep_labels(
    labels: NDArray[np.uint8], before: NDArray[np.uint8], trust: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Return `labels`, but a class trusted by more than half neither loses nor gains a pixel.

    A soft mask of hard labels has lost what is thin; the labels themselves have not.

    Parameters
    ----------
    labels, before : ndarray, shape (H, W), uint8
        0, or 1 + number of the class.
    trust : ndarray, shape (C,), uint8
        In 255ths.

    Returns
    -------
    ndarray, shape (H, W), uint8
    """
    bind_shapes(labels=(labels, "H W"), before=(before, "H W"), trust=(trust, "C"))
    kept = np.concatenate([[False], trust > 127])
    return np.where(kept[before] | kept[labels], before, labels)
