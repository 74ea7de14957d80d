"""What colours a mask covers, against what lies around it: evidence about every pixel."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

LEVELS = 16  # of each of R, G and B
DOUBT = 20.0  # pixels that a colour has to be seen on, to be believed by half
STRONGEST = 4.0  # log odds
AROUND = 1 / 16  # of the picture's height: how far round the mask its surroundings reach


def count_colours(image: NDArray[np.uint8], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how often each colour occurs inside each class and just around it.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), uint8
        RGB.
    mask : ndarray, shape (H, W, C), float32
        Probabilities. Only pixels within a sixteenth of the height of where it is over 0.5 count.

    Returns
    -------
    ndarray, shape (C, 2, 4096), float32
        Pixels inside, then outside; colours in steps of 16 levels, R first. May be summed over
        frames.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    dims = bind_shapes(image=(image, "H W 3"), mask=(mask, "H W C"))
    out = np.zeros((dims["C"], 2, LEVELS**3), np.float32)
    reach = 2 * max(round(dims["H"] * AROUND), 1) + 1
    for c in range(dims["C"]):
        plane = np.ascontiguousarray(mask[..., c])
        sure = (plane > 0.5).astype(np.uint8)
        if sure.any():
            near = cv2.dilate(sure, np.ones((reach, reach), np.uint8))
            _count_level(image, plane, near, out[c])
    return out


def colour_evidence(image: NDArray[np.uint8], counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each pixel's colour evidence: how much likelier it makes each class.

    ``log(q / (1 − q)) − log(p / (1 − p))`` with p the share of all counted pixels that lie inside
    and ``q = (inside + d·p) / (inside + outside + d)`` that of the pixel's colour; d = 20
    pixels, and counts are blurred over neighbouring colours. The method is this project's own.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), uint8
        RGB.
    counts : ndarray, shape (C, 2, 4096), float32
        From `count_colours`; the mean over frames.

    Returns
    -------
    ndarray, shape (H, W, C), float32, in [-4, 4]
        0 for a colour never seen, and where nothing was counted inside or outside.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    dims = bind_shapes(image=(image, "H W 3"), counts=(counts, "C 2 4096"))
    out = np.zeros((dims["H"], dims["W"], dims["C"]), np.float32)
    for c in range(dims["C"]):
        inside, outside = (_blurred_counts(counts[c, side]) for side in (0, 1))
        total = inside.sum() + outside.sum()
        prior = inside.sum() / total if total > 0 else 0.0
        if 0 < prior < 1:
            share = (inside + DOUBT * prior) / (inside + outside + DOUBT)
            table = np.log(share / (1 - share)) - np.log(prior / (1 - prior))
            _look_up(image, np.clip(table, -STRONGEST, STRONGEST).astype(np.float32), out[..., c])
    return out


def _blurred_counts(counts: NDArray[np.float32]) -> NDArray[np.float64]:
    """Spread a quarter of each count to the next level, either way, in R, G and B."""
    cube = counts.astype(np.float64).reshape(LEVELS, LEVELS, LEVELS)
    for axis in range(3):
        wide = np.pad(cube, [(1, 1) if k == axis else (0, 0) for k in range(3)], mode="edge")
        low, high = (np.take(wide, range(k, k + LEVELS), axis) for k in (0, 2))
        cube = 0.5 * cube + 0.25 * (low + high)
    return cube.reshape(-1)


@njit(nogil=True, cache=True)
def _count_level(
    image: NDArray[np.uint8],
    mask: NDArray[np.float32],
    near: NDArray[np.uint8],
    out: NDArray[np.float32],
) -> None:
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if near[y, x]:
                r, g, b = image[y, x, 0] >> 4, image[y, x, 1] >> 4, image[y, x, 2] >> 4
                colour = (r * LEVELS + g) * LEVELS + b
                out[0, colour] += mask[y, x]
                out[1, colour] += 1 - mask[y, x]


@njit(nogil=True, cache=True)
def _look_up(
    image: NDArray[np.uint8], table: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            r, g, b = image[y, x, 0] >> 4, image[y, x, 1] >> 4, image[y, x, 2] >> 4
            out[y, x] = table[(r * LEVELS + g) * LEVELS + b]
