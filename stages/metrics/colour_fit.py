"""How well masks fit the colours of their clip: what looks like the object, and where it is."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

STEP = 16  # Lab levels of a bin, of 256
BINS = (256 // STEP) ** 3
RING = 31  # pixels, of a short side of 480: how far around an object its colours are looked for
SHORT_SIDE = 480


def colour_bins(picture: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return for every second pixel of every second row the bin of its colour.

    Parameters
    ----------
    picture : ndarray, shape (H, W, 3), uint8
        RGB.

    Returns
    -------
    ndarray, shape (ceil(H/2), ceil(W/2)), int32
        Under `BINS`; Lab of OpenCV in steps of 16.
    """
    bind_shapes(picture=(picture, "H W 3"))
    lab = cv2.cvtColor(np.ascontiguousarray(picture[::2, ::2]), cv2.COLOR_RGB2LAB) // STEP
    light, green_red, blue_yellow = (lab[..., k].astype(np.int32) for k in range(3))
    return np.asarray((light * 16 + green_red) * 16 + blue_yellow, np.int32)


class ColourModel:
    """Which colours each class of a shot has, over all its frames.

    Parameters
    ----------
    classes : int
        Labels are 1 … `classes`; 0 is the background.
    """

    def __init__(self, classes: int) -> None:
        self._counts = np.zeros((classes + 1, BINS), np.int64)

    def add(self, bins: NDArray[np.int32], labels: NDArray[np.uint8]) -> None:
        """Count a frame: `bins` by `colour_bins`, `labels` (H, W) at full size."""
        which = labels[::2, ::2].astype(np.int64) * BINS + bins
        self._counts += np.bincount(which.ravel(), minlength=self._counts.size).reshape(
            self._counts.shape
        )

    def misfit(self, bins: NDArray[np.int32], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return for each class how far its mask differs from where its colours are.

        A pixel looks like a class if its colour is likelier inside the class than outside, by the
        counts of the shot, one added to each. Only the mask and a ring around it are looked at.

        Returns
        -------
        ndarray, shape (classes,), float64
            1 less the IoU of mask and look, in [0, 1]; NaN where the frame lacks the class.
        """
        short = labels[::2, ::2]
        length = max(round(RING * min(labels.shape) / SHORT_SIDE / 2) | 1, 3)
        ring = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (length, length))
        out = np.full(len(self._counts) - 1, np.nan)
        whole = self._counts.sum(axis=0)
        for number in range(1, len(self._counts)):
            mask = short == number
            if not mask.any():
                continue
            inside, outside = self._counts[number], whole - self._counts[number]
            likelier = (inside + 1) * (outside.sum() + BINS) > (outside + 1) * (inside.sum() + BINS)
            near = cv2.dilate(mask.view(np.uint8), ring).view(np.bool_)
            likely_pixels = likelier[bins] & near
            out[number - 1] = 1 - np.count_nonzero(likely_pixels & mask) / np.count_nonzero(
                likely_pixels | mask
            )
        return out
