"""How far outlines jump from frame to frame, and how far the flow can be believed beside them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

LEAST_JUMP, MOST_JUMP = 0.6, 3.0  # pixels that an outline is taken to jump by (1 sigma)
UNKNOWN_JUMP = 2.0  # pixels, where no outline is known to the frames around
WELL_KNOWN = 3.0  # weight of the neighbours from which the flow is surely right
FEWEST = 50  # pixels of which that is asked
MEDIAN_SQUARE = 0.4549  # of a normal distribution, in variances
NEAR = 2.0  # pixels from its outline at which a frame is compared with its neighbours


def estimate_jump(
    own: NDArray[np.float32], mean: NDArray[np.float32], weight: NDArray[np.float32]
) -> float:
    """Return how far an outline jumps from frame to frame, by how far it is from its mean.

    If outlines jump by s, independently, one lies s √(w / (1 + w)) from the mean of itself and w
    others. Where few frames know a pixel, the flow may be wrong: pixels that nearly all know
    decide, if there are enough, and the median rather than the mean.

    Parameters
    ----------
    own, mean, weight : ndarray, shape (N,), float32
        Distances of pixels to the own and to the mean outline, in pixels, and w.

    Returns
    -------
    float
        Pixels (1 sigma), in [0.6, 3]; 2 where no outline is known to the frames around.
    """
    bind_shapes(own=(own, "N"), mean=(mean, "N"), weight=(weight, "N"))
    known = weight >= WELL_KNOWN
    if np.count_nonzero(known) <= FEWEST:
        known = weight >= 1
    known &= np.abs(own) < 1
    if not known.any():
        return UNKNOWN_JUMP
    w = weight[known].astype(np.float64)
    square = np.median((mean[known] - own[known]) ** 2 * (1 + w) / w) / MEDIAN_SQUARE
    return float(np.clip(np.sqrt(square), LEAST_JUMP, MOST_JUMP))


def neighbour_belief(
    own: NDArray[np.float32],
    weight: NDArray[np.float32],
    scatter: NDArray[np.float32],
    *,
    jump: float,
) -> float:
    """Return the factor of the neighbours' weights, less the more they differ beyond the jumps.

    Two outlines that jump by s differ by √2 s. What they differ more by is the flow's error.

    Parameters
    ----------
    own, weight, scatter : ndarray, shape (N,), float32
        Distances of pixels to the own outline in pixels, and what
        `stages.ops.carried_distances.carry_distances` says of them, in squared pixels.
    jump : float, > 0
        Pixels (1 sigma).

    Returns
    -------
    float
        In (0, 1]: the root of the share of the differences that the jumps explain.
    """
    bind_shapes(own=(own, "N"), weight=(weight, "N"), scatter=(scatter, "N"))
    near = np.abs(own) < NEAR
    total = float(weight[near].sum(dtype=np.float64))
    apart = float(scatter[near].sum(dtype=np.float64))
    explained = 2 * jump**2 * total
    return 1.0 if apart <= explained else float(np.sqrt(explained / apart))
