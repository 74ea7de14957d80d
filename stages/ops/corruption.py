"""Makes a true mask look as if a flickering per-frame network had made it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

GRID = 4  # knots of the displacement along each side


def corrupted_mask(
    mask: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    growth: int,
    displacement: float,
    blobs: float = 0.0,
) -> NDArray[np.bool_]:
    """Return a mask with an error of its own, drawn afresh at each call.

    After the qualification clips of Azulay et al., "Temporally stable video segmentation without
    video annotations", sec. 4.1.

    Parameters
    ----------
    mask : ndarray, shape (H, W), bool
    rng : numpy Generator
        Same state, same result.
    growth : int, >= 0
        The mask is eroded or dilated (either at even odds) by this many pixels, anew at each call:
        neither axis of the paper; its accuracy axis is `eroded`.
    displacement : float, >= 0
        Pixels by which the knots of a coarse grid move, in random directions: consistency axis.
        The rest follows linearly, by .71 of it on average.
    blobs : float, in [0, 1]
        Chance that a disc of a tenth of the height is added, and that one is lost.

    Returns
    -------
    ndarray, shape (H, W), bool
    """
    dims = bind_shapes(mask=(mask, "H W"))
    out = mask.astype(np.uint8)
    if growth > 0:
        disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * growth + 1, 2 * growth + 1))
        out = (cv2.dilate if rng.random() < 0.5 else cv2.erode)(out, disk)
    angle = rng.uniform(0, 2 * np.pi, (GRID, GRID)).astype(np.float32)
    if displacement > 0:
        size = dims["W"], dims["H"]
        rows, columns = np.mgrid[: dims["H"], : dims["W"]].astype(np.float32)
        across = cv2.resize(np.cos(angle), size, interpolation=cv2.INTER_LINEAR)
        down = cv2.resize(np.sin(angle), size, interpolation=cv2.INTER_LINEAR)
        x, y = columns + displacement * across, rows + displacement * down
        out = cv2.remap(out, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    for value in (0, 1):
        row, column = rng.integers(dims["H"]), rng.integers(dims["W"])
        if rng.random() < blobs:
            cv2.circle(out, (int(column), int(row)), max(dims["H"] // 20, 1), value, -1)
    return out.astype(np.bool_)


def eroded_mask(mask: NDArray[np.bool_], *, pixels: int, angle: float) -> NDArray[np.bool_]:
    """Return a mask with so many pixels taken off on the side that lies in one direction.

    The accuracy axis of Azulay et al., sec. 4.1: with one angle for a whole clip the masks get
    less right and stay as still.

    Parameters
    ----------
    mask : ndarray, shape (H, W), bool
    pixels : int, >= 0
    angle : float
        Of the direction, in radians; 0 is to the right, growing downwards.

    Returns
    -------
    ndarray, shape (H, W), bool
    """
    bind_shapes(mask=(mask, "H W"))
    if pixels == 0:
        return mask.copy()
    line = np.zeros((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    end = round(pixels + pixels * np.cos(angle)), round(pixels + pixels * np.sin(angle))
    cv2.line(line, (pixels, pixels), end, 1)
    return np.asarray(cv2.erode(mask.astype(np.uint8), line) > 0)
