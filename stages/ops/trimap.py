"""Trimaps: what is certainly foreground, certainly background, and left to a matting network."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

BACKGROUND, UNKNOWN, FOREGROUND = 0, 128, 255
CERTAIN = 0.05  # from 0 or 1, up to which a soft mask is certain
WIDTH = 0.005  # of the picture's short side, that a mask's outline may be off


def trimap(alpha: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the trimap of a soft mask.

    Unknown is what is neither nearly 0 nor nearly 1, and all within `WIDTH` of it. So the band is
    as wide as the mask is soft: narrow along sharp edges, wide where hair or blur is.

    Parameters
    ----------
    alpha : ndarray, shape (H, W), float32, in [0, 1]

    Returns
    -------
    ndarray, shape (H, W), uint8
        0, 128 (unknown) or 255.
    """
    hard = alpha > 0.5
    square = np.ones((3, 3), np.uint8)
    # Hard masks have no pixel between 0 and 1: their outline is unknown all the same.
    seam = cv2.morphologyEx(hard.astype(np.uint8), cv2.MORPH_GRADIENT, square) > 0
    unsure = seam | ((alpha > CERTAIN) & (alpha < 1 - CERTAIN))
    reach = max(round(WIDTH * min(alpha.shape)), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    band = cv2.dilate(unsure.astype(np.uint8), disc) > 0
    known = np.where(hard, FOREGROUND, BACKGROUND)
    return np.where(band, UNKNOWN, known).astype(np.uint8)


def keep_known(alpha: NDArray[np.float32], known: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return an alpha (H, W) that is 1 and 0 where a trimap (H, W) says so."""
    inside = np.where(known == FOREGROUND, np.float32(1), alpha)
    return np.where(known == BACKGROUND, np.float32(0), inside).astype(np.float32)
