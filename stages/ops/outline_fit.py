"""How well the outline of a mask fits the edges of the picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

REACH = 4  # pixels around an outline pixel in which the strongest edge is sought
SMOOTHING = 1.0  # pixels, sigma, before edges are measured
FAINTEST = 1.0  # of Lab a pixel: edges far below it are noise


def outline_fit(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """Return the mean edge strength on an outline over the strongest edge near it.

    Parameters
    ----------
    picture : ndarray, shape (H, W, 3), uint8
        RGB.
    mask : ndarray, shape (H, W), bool

    Returns
    -------
    float
        In [0, 1]: near 1 where the outline runs along edges, 0 where the picture is flat or the
        mask has no outline.
    """
    bind_shapes(picture=(picture, "H W 3"), mask=(mask, "H W"))
    whole = mask.astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    outline = cv2.dilate(whole, cross) != cv2.erode(whole, cross)
    if not outline.any():
        return 0.0
    colours = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    colours = cv2.GaussianBlur(colours, (0, 0), SMOOTHING)
    across = cv2.Sobel(colours, cv2.CV_32F, 1, 0) / 8
    down = cv2.Sobel(colours, cv2.CV_32F, 0, 1) / 8
    edges = np.sqrt((across**2 + down**2).sum(axis=-1))
    side = 2 * REACH + 1
    nearby = np.asarray(cv2.dilate(edges, np.ones((side, side), np.uint8)))
    return float((edges[outline] / (nearby[outline] + FAINTEST)).mean())
