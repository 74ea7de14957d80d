"""Where masks are good as they came, and are better left alone."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

FROM, FULL = 0.66, 0.74  # mean trust from which a mask counts, and at which it counts in full
EDGE = 0.45  # a pixel is at an edge if its probability is that near to one half
ALIKE = 0.5  # weight from which two pictures show the same
PIECE = 1 / 160  # of the picture's height: half the width of the thinnest piece, rounded down
STEADY, UNSTEADY = 0.03, 0.08  # pixels in pieces that come or go, for each pixel of the outline

Counts = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Two counts for each class, (C,), to be summed over frames."""


def at_edges(trust: NDArray[np.float32], own: NDArray[np.float32]) -> Counts:
    """Return the trust at a mask's edges, summed, and how many edge pixels there are.

    Parameters
    ----------
    trust, own : ndarray, shape (H, W, C), float32
        Probability that the mask is right, and the mask.

    Returns
    -------
    (trusted, edges) : ndarrays, shape (C,), float32
        For `mask_sureness`.
    """
    bind_shapes(trust=(trust, "H W C"), own=(own, "H W C"))
    edge = np.abs(own - 0.5) < EDGE
    trusted = np.asarray((trust * edge).sum(axis=(0, 1), dtype=np.float64), np.float32)
    return trusted, np.asarray(edge.sum(axis=(0, 1)), np.float32)


def mask_sureness(counts: Sequence[Counts]) -> NDArray[np.float32]:
    """Return how surely the masks of a few frames are right.

    One frame's mask may look right and flicker: so the trust is averaged over the edges of
    several. 0 up to a mean of 0.66, rising to 1 at 0.74; 0 where there is no edge.

    Parameters
    ----------
    counts : sequence of (trusted, edges)
        From `at_edges`, in the frames' order.

    Returns
    -------
    ndarray, shape (C,), float32, in [0, 1]
    """
    trusted, edges = (np.stack(part).sum(axis=0) for part in zip(*counts, strict=True))
    mean = trusted / np.maximum(edges, 1e-6)
    return np.asarray(np.clip((mean - FROM) / (FULL - FROM), 0, 1), np.float32)


def changed_pieces(mask: NDArray[np.float32], near: NDArray[np.float32]) -> Counts:
    """Count the pixels of a mask that come or go in pieces, where the picture stays the same.

    True masks too differ along their outlines from their neighbours as the flow carries them, but
    by a line; and the flow is to be believed where the pictures look alike.

    Parameters
    ----------
    mask : ndarray, shape (H, W, C), float32
    near : ndarray, shape (C, 2 (window - 1), H, W), float32
        From `stages.ops.alignment.look_around`: the neighbours' masks, and how alike they look.

    Returns
    -------
    (changed, outline) : ndarrays, shape (C,), float32
        Pixels of pieces three pixels wide or more (at a height of 240) in which a direct neighbour
        differs, mean of both; and pixels of the mask's outline. For `mask_steadiness`.
    """
    dims = bind_shapes(mask=(mask, "H W C"), near=(near, "C N H W"))
    side = 2 * max(int(dims["H"] * PIECE), 1) + 1
    thinnest, cross = np.ones((side, side), np.uint8), np.ones((3, 3), np.uint8)
    changed, outline = (np.zeros(dims["C"], np.float32) for _ in range(2))
    for c in range(dims["C"]):
        own = (mask[..., c] > 0.5).astype(np.uint8)
        outline[c] = np.count_nonzero(own != cv2.erode(own, cross))
        for carried, weight in zip(near[c, 0:4:2], near[c, 1:4:2], strict=True):
            differs = ((carried > 0.5) != own) & (weight > ALIKE)
            whole = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_OPEN, thinnest)
            changed[c] += np.count_nonzero(whole) / 2
    return changed, outline


def mask_steadiness(counts: Sequence[Counts]) -> NDArray[np.float32]:
    """Return how steady masks are: 1 if next to no pieces of them come and go, 0 if many do.

    Parameters
    ----------
    counts : sequence of (changed, outline)
        From `changed_pieces`, of several frames, in their order.

    Returns
    -------
    ndarray, shape (C,), float32, in [0, 1]
    """
    changed, outline = (np.stack(part).sum(axis=0) for part in zip(*counts, strict=True))
    share = changed / np.maximum(outline, 1)
    return np.asarray(np.clip((UNSTEADY - share) / (UNSTEADY - STEADY), 0, 1), np.float32)
