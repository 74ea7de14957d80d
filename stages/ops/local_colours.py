"""Colours just inside and just outside of an outline: which side a pixel near it belongs to."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

WINDOW = 10  # pixels to either side of a place in which colours are learnt
CLEAR = 2.0  # pixels from the outline beyond which a pixel is surely inside, or outside
FEWEST = 20  # pixels of a side within the window, from which its colours are known
NOISE = 60.0  # squared grey levels: variance of a colour without any texture
CLEAR_ODDS = 6.0  # log odds of a colour are cut there
BLUR = 1.2  # pixels: 1 sigma over which the odds of neighbouring pixels are averaged
SHARE = 0.35  # of the log odds that count: those of neighbouring pixels are much the same
UNEVEN = 0.5  # pixels that the mean of any number of outlines is still off


def local_colour_odds(
    image: NDArray[np.uint8], distance: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the log odds that each pixel's colour is one of inside an outline.

    On either side the colours in a window around the pixel are taken for normally distributed,
    with the covariance that they have there.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), uint8
    distance : ndarray, shape (H, W), float32
        Signed distance to the outline in pixels, positive inside.

    Returns
    -------
    ndarray, shape (H, W), float32
        In [-6, 6], natural logarithm; 0 where one of the sides is not in the window.
    """
    bind_shapes(image=(image, "H W 3"), distance=(distance, "H W"))
    colours = image.astype(np.float64)
    inside, in_count = _log_density(colours, distance > CLEAR)
    outside, out_count = _log_density(colours, distance < -CLEAR)
    known = (in_count >= FEWEST) & (out_count >= FEWEST)
    odds = np.where(known, np.clip(inside - outside, -CLEAR_ODDS, CLEAR_ODDS), 0)
    return np.asarray(odds, np.float32)


def _log_density(
    colours: NDArray[np.float64], side: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the log density of each pixel's colour on a side, and how many pixels say so."""
    # Sums of whole numbers in float64 are exact, in whatever order OpenCV adds them up.
    weight = side.astype(np.float64)
    count = _window_sum(weight)
    counted = np.maximum(count, 1)[..., None]
    mean = _window_sum(colours * weight[..., None]) / counted
    away = [colours[..., k] - mean[..., k] for k in range(3)]
    spread = {
        (i, j): _window_sum(colours[..., i] * colours[..., j] * weight) / counted[..., 0]
        - mean[..., i] * mean[..., j]
        for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    }
    rr, gg, bb = (spread[k, k] + NOISE for k in range(3))
    rg, rb, gb = spread[0, 1], spread[0, 2], spread[1, 2]
    # The inverse of the covariance by its cofactors.
    cofactors = (gg * bb - gb * gb, rr * bb - rb * rb, rr * gg - rg * rg)
    mixed = (rb * gb - rg * bb, rg * gb - rb * gg, rg * rb - rr * gb)
    determinant = rr * cofactors[0] + rg * mixed[0] + rb * mixed[1]
    square = sum(cofactor * away[k] ** 2 for k, cofactor in enumerate(cofactors))
    square += 2 * (mixed[0] * away[0] * away[1] + mixed[1] * away[0] * away[2])
    square += 2 * mixed[2] * away[1] * away[2]
    density = -0.5 * (square / determinant + np.log(determinant))
    return density, count


def _window_sum(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    size = (2 * WINDOW + 1, 2 * WINDOW + 1)
    total = cv2.boxFilter(plane, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(total, np.float64)


def shift_to_colours(
    image: NDArray[np.uint8],
    own: NDArray[np.float32],
    places: NDArray[np.int32],
    mean: NDArray[np.float32],
    weight: NDArray[np.float32],
    *,
    jump: float,
) -> NDArray[np.float32]:
    """Return averaged distances to an outline, moved to where the colours say that it is.

    An outline averaged from few frames is uncertain, and the colours on either side then count
    for more: by normal distributions, the log odds of a pixel to be inside are 1.7 times its
    distance in units of that uncertainty, and those of its colour add to them.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), uint8
    own : ndarray, shape (H, W), float32
        Signed distance to the frame's own outline in pixels.
    places : ndarray, shape (N, 2), int32
        Row and column of the pixels averaged.
    mean, weight : ndarray, shape (N,), float32
        `stages.ops.carried_distances.carry_distances`, in pixels, the frame itself counting 1.
    jump : float, > 0
        Pixels (1 sigma) that the outline of one frame is off.

    Returns
    -------
    ndarray, shape (N,), float32
        Pixels.
    """
    bind_shapes(
        image=(image, "H W 3"), own=(own, "H W"), places=(places, "N 2"), mean=(mean, "N"),
        weight=(weight, "N"),
    )  # fmt: skip
    if not len(places):
        return mean
    rows, columns = places.T
    plane = own.copy()
    plane[rows, columns] = mean
    margin = 2 * WINDOW
    top, left = max(rows.min() - margin, 0), max(columns.min() - margin, 0)
    box = np.s_[top : rows.max() + margin + 1, left : columns.max() + margin + 1]
    odds = cv2.GaussianBlur(local_colour_odds(image[box], plane[box]), (0, 0), BLUR)
    uncertain = np.float32(jump) / np.sqrt(1 + weight) + np.float32(UNEVEN)
    shift = SHARE / 1.702 * uncertain * odds[rows - top, columns - left]
    return np.asarray(mean + shift, np.float32)
