"""Label pictures: indexed PNG with the usual colours, and labels laid over a picture."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.ops.drawn_pictures import labelled_box


@lru_cache(maxsize=1)
def palette() -> NDArray[np.uint8]:
    """Return the colours of DAVIS and PASCAL VOC, (256, 3) RGB: bits of the label, spread."""
    colours = np.zeros((256, 3), np.uint8)
    for label in range(256):
        for bit in range(8):
            for channel in range(3):
                colours[label, channel] |= (label >> (3 * bit + channel) & 1) << (7 - bit)
    return colours


def write_indexed_png(path: Path, labels: NDArray[np.integer]) -> None:
    """Write labels (H, W) as an indexed PNG, or as a 16-bit grey one where a label is over 255."""
    if labels.max(initial=0) > 255:
        picture = Image.fromarray(labels.astype(np.uint16))
    else:
        picture = Image.fromarray(labels.astype(np.uint8))
        picture.putpalette(palette().tobytes())
    picture.save(path, format="PNG", compress_level=1)


def read_labels(path: Path) -> NDArray[np.uint16]:
    """Return the values of a PNG as they are: the index where it has a palette."""
    with Image.open(path) as picture:
        return np.asarray(picture).astype(np.uint16)


def overlay(
    picture: NDArray[np.uint8], labels: NDArray[np.integer], *, alpha: float
) -> NDArray[np.uint8]:
    """Return the picture with labels laid over it in their colours, outlined in white.

    Parameters
    ----------
    picture : ndarray, shape (H, W, 3), uint8
        RGB.
    labels : ndarray, shape (H, W), integer
        0 leaves the picture as it is; labels over 255 take the colours of 1 to 255 again.
    alpha : float
        Opacity, in [0, 1].
    """
    shown = labels
    if labels.max(initial=0) > 255:
        shown = np.where(labels > 0, (labels.astype(np.int64) - 1) % 255 + 1, 0)
    small, out = shown.astype(np.uint8), picture.copy()
    box = labelled_box(small, margin=1)
    _lay_labels(out[box], small[box], alpha)
    return out


def _lay_labels(picture: NDArray[np.uint8], labels: NDArray[np.uint8], alpha: float) -> None:
    """Lay labels (H, W) over a picture, in place."""
    if not labels.size:
        return
    colours = cv2.LUT(cv2.cvtColor(labels, cv2.COLOR_GRAY2RGB), palette()[:, None])
    cv2.copyTo(cv2.addWeighted(picture, 1 - alpha, colours, alpha, 0), labels, picture)
    edge = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    white = np.where((edge > 0) & (labels > 0), np.uint8(255), np.uint8(0))
    cv2.bitwise_or(picture, cv2.merge([white] * 3), dst=picture)
