"""A look at what a segmenter gives for a few frames, before a clip is done with it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError

SAMPLES = 5  # frames, spread over the clip
FULL_SHARE = 0.999  # of pixels
ALIKE = 0.9  # correlation of a mask with the picture's lightness, of either sign
UNSURE_SHARE = 0.5  # of values in neither the lowest nor the highest tenth


def sample_frames(frames: int) -> list[int]:
    """Return the numbers of a few frames, spread evenly over a clip: rising, no two alike.

    >>> sample_frames(3), sample_frames(100)
    ([0, 1, 2], [0, 25, 50, 74, 99])
    """
    return sorted({round(k) for k in np.linspace(0, frames - 1, min(SAMPLES, frames))})


def check_masks(
    pictures: Sequence[NDArray[np.uint8]], masks: Sequence[NDArray[np.float32]], *, where: str
) -> None:
    """Refuse a segmenter whose masks are empty, full, or a picture on all of some frames.

    Parameters
    ----------
    pictures : sequence of ndarray, shape (H, W, 3), uint8
    masks : sequence of ndarray, shape (C, H, W), float32
        Probabilities of the foreground classes.
    where : str
        For the message: the segmenter.

    Raises
    ------
    InputError
        Naming the likely cause, and the setting that switches this check off.
    """
    some = f"in {len(masks)} frames spread over the clip"
    off = "; if that is right, --set segment.check=false"
    total = [mask.sum(axis=0) for mask in masks]
    if all((part < 0.5).all() for part in total):
        highest = max(float(part.max(initial=0)) for part in total)
        raise InputError(
            f"{where}: no foreground {some}; the highest probability is {highest:.2g}: the wrong "
            "normalisation (segment.mean, std, channels), the wrong output or activation "
            f"(segment.output, activation), or classes that do not occur (segment.classes){off}"
        )
    picture = [_is_like_picture(frame, part) for frame, part in zip(pictures, total, strict=True)]
    if all(picture):
        raise InputError(
            f"{where}: what it gives {some} is the picture, no mask: the wrong output "
            f"(segment.output){off}"
        )
    if all(float((part > 0.5).mean()) >= FULL_SHARE for part in total):
        raise InputError(
            f"{where}: every pixel is foreground {some}: a background among the classes "
            "(segment.background=first, segment.classes), or the wrong activation or normalisation "
            f"(segment.activation, mean, std){off}"
        )


def _is_like_picture(frame: NDArray[np.uint8], mask: NDArray[np.float32]) -> bool:
    """Return whether a mask is as light as the picture, with values between all over."""
    unsure = float(((mask > 0.1) & (mask < 0.9)).mean())
    light = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float64)
    if unsure < UNSURE_SHARE or light.std() < 1 or mask.std() < 1e-3:
        return False
    return bool(abs(np.corrcoef(light.ravel(), mask.ravel())[0, 1]) > ALIKE)
