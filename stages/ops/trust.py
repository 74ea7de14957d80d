"""Where masks are good as they came, and are better left alone."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

REACH = 1 / 15  # of the picture's height: half the side of the box
FROM, FULL = 0.80, 0.95  # mean trust from which a mask counts, and at which it counts in full
EDGE = 0.45  # a pixel is at an edge if its probability is that near to one half


def at_edges(
    trust: NDArray[np.float32], own: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the trust at a mask's edges, and how many edge pixels there are, summed over boxes.

    Parameters
    ----------
    trust, own : ndarray, shape (H, W, C), float32
        Probability that the mask is right, and the mask.

    Returns
    -------
    (trusted, edges) : ndarrays, shape (H, W, C), float32
        Means over boxes of two fifteenths of the height, for `left_alone` to sum over frames.
    """
    dims = bind_shapes(trust=(trust, "H W C"), own=(own, "H W C"))
    edge = (np.abs(own - 0.5) < EDGE).astype(np.float32)
    side = 2 * max(round(dims["H"] * REACH), 1) + 1
    both = np.concatenate([trust * edge, edge], axis=-1)
    mean = np.stack(
        [cv2.blur(np.ascontiguousarray(plane), (side, side)) for plane in np.moveaxis(both, -1, 0)],
        axis=-1,
    )
    return mean[..., : dims["C"]], mean[..., dims["C"] :]


def left_alone(
    counts: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
) -> NDArray[np.float32]:
    """Return how far the mask of a frame is to be left as it came.

    One frame's mask may look right and flicker: so the trust is averaged over the edges around, in
    several frames. 0 up to a mean of 0.8, rising to 1 at 0.95; 0 where there is no edge.

    Parameters
    ----------
    counts : sequence of (trusted, edges)
        From `at_edges`, of the frame and its neighbours in time, in their order.

    Returns
    -------
    ndarray, shape (H, W, C), float32, in [0, 1]
    """
    trusted, edges = (np.stack(part).sum(axis=0) for part in zip(*counts, strict=True))
    mean = trusted / np.maximum(edges, 1e-6)
    return np.asarray(np.clip((mean - FROM) / (FULL - FROM), 0, 1), np.float32)
