"""The values of one frame's mask as its file holds them, and the views on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError

SLACK = 1e-3  # rounding allowed at the ends of [0, 1]
EXACT_FLOATS = 1 << 24  # float32 counts whole numbers up to here
MOST_TINT = 32  # between red, green and blue, that compression may leave in a grey picture


class Raw(NamedTuple):
    """One frame.

    Attributes
    ----------
    where : Path
        For messages.
    values : ndarray
        Integers (H, W) uint8 or uint16: grey levels, labels, or indexes; colours (H, W, 3) or, with
        alpha, (H, W, 4) uint8; floats (C, H, W).
    palette : ndarray or None
        Colours of indexes, (256, 4) uint8, the last of them alpha.
    labels_only : bool
        Integers that can be nothing but labels: bool, or of more than 16 bits.
    exact : bool
        Whether values are those that were written; False after a lossy codec.
    names : tuple of str
        Of the channels of floats, where the file has them.
    """

    where: Path
    values: NDArray[Any]
    palette: NDArray[np.uint8] | None = None
    labels_only: bool = False
    exact: bool = True
    names: tuple[str, ...] = ()

    @property
    def is_float(self) -> bool:
        """Whether these are soft masks."""
        return self.values.dtype.kind == "f"

    @property
    def is_colour(self) -> bool:
        """Whether these are colours, grey or not."""
        return self.values.ndim == 3 and not self.is_float


def raw_of(where: Path, array: NDArray[Any]) -> Raw:
    """Return one frame of an array file, checked.

    Raises
    ------
    InputError
        If the type or the shape is not that of a mask, or a value is out of range.
    """
    if array.dtype.kind not in "buif":
        raise InputError(f"{where}: expected bool, integers or floats, got {array.dtype}")
    if array.dtype.kind == "f":
        if array.ndim not in (2, 3):
            raise InputError(f"{where}: expected (H, W) or (C, H, W) a frame, got {array.shape}")
        return Raw(where, _checked_soft(where, array if array.ndim == 3 else array[None]))
    if array.ndim == 3 and len(array) == 1:
        array = array[0]
    if array.ndim != 2:
        raise InputError(f"{where}: expected labels (H, W) a frame, got {array.shape}")
    if array.dtype in (np.uint8, np.uint16):
        return Raw(where, array)
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    if low < 0 or high > 65535:
        raise InputError(f"{where}: expected labels in 0-65535, got {low} to {high}")
    return Raw(where, array.astype(np.uint16), labels_only=True)


def _checked_soft(where: Path, soft: NDArray[Any]) -> NDArray[Any]:
    low, high = float(soft.min(initial=0)), float(soft.max(initial=0))
    if np.isnan(low) or np.isnan(high):
        raise InputError(f"{where}: expected values in [0, 1], got NaN")
    if low < -SLACK or high > 1 + SLACK:
        raise InputError(
            f"{where}: expected values in [0, 1], got {low:g} to {high:g}"
            + _range_advice(soft, low, high)
        )
    return soft


def _range_advice(soft: NDArray[Any], low: float, high: float) -> str:
    """Return advice on floats of another range: logits, labels, or 255ths."""
    whole = low >= 0 and high <= 65535 and bool((soft == np.rint(soft)).all())
    if low < 0:
        return ": logits? save probabilities: 1 / (1 + exp(-x)), or a softmax over classes"
    if whole and high < 255:
        return ": labels? save them as whole numbers: array.astype(np.uint8)"
    if high <= 255:
        return ": soft masks in 255ths? save them as array / 255, or labels as whole numbers"
    return ": labels? save them as whole numbers: array.astype(np.uint16)" if whole else ""


def colours_of(raw: Raw) -> NDArray[np.uint8]:
    """Return a frame's colours, (H, W, 3)."""
    if raw.palette is not None:
        colours: NDArray[np.uint8] = raw.palette[raw.values][..., :3]
        return colours
    if raw.values.ndim == 2:
        grey = raw.values if raw.values.dtype == np.uint8 else (raw.values >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return raw.values[..., :3]


def grey_of(raw: Raw) -> NDArray[Any]:
    """Return a frame's grey levels, (H, W): of colours the strongest channel."""
    if raw.palette is not None:
        grey: NDArray[np.uint8] = raw.palette[:, :3].max(axis=1)[raw.values]
        return grey
    return raw.values[..., :3].max(axis=2) if raw.is_colour else raw.values


def alpha_of(raw: Raw) -> NDArray[np.uint8] | None:
    """Return a frame's transparency, (H, W); None if it has none."""
    if raw.palette is not None:
        alpha = raw.palette[:, 3]
        return None if (alpha == 255).all() else alpha[raw.values]
    return raw.values[..., 3] if raw.is_colour and raw.values.shape[2] == 4 else None


def packed(colours: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return colours (…, 3) as numbers, red in the highest of 24 bits."""
    red, green, blue = (colours[..., k].astype(np.uint32) for k in range(3))
    return np.asarray(red << 16 | green << 8 | blue, np.uint32)


def packed_colours(raw: Raw) -> NDArray[np.uint32]:
    """Return a frame's colours as numbers (H, W), by way of the palette where there is one."""
    if raw.palette is not None:
        return np.asarray(packed(raw.palette[:, :3])[raw.values])
    return packed(colours_of(raw))


def widest_tint(raw: Raw) -> int:
    """Return the largest difference between the channels of a pixel, 0 where all are grey."""
    if raw.palette is None:
        colours = colours_of(raw)
    else:
        colours = raw.palette[np.flatnonzero(count_values(raw.values)), :3]
    red, green, blue = (colours[..., k] for k in range(3))
    most = np.maximum(np.maximum(red, green), blue)
    least = np.minimum(np.minimum(red, green), blue)
    return int((most - least).max(initial=0))


def count_values(values: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return how often each value of the type occurs, of (H, W) uint8 or uint16."""
    if values.dtype == np.uint8 and values.size < EXACT_FLOATS:  # ten times as fast
        histogram = cv2.calcHist([np.ascontiguousarray(values)], [0], None, [256], [0, 256])
        return np.asarray(histogram.ravel(), np.int64)
    return np.bincount(values.ravel(), minlength=int(np.iinfo(values.dtype).max) + 1)


def unpacked(number: int) -> tuple[int, int, int]:
    """Return red, green and blue of a packed colour."""
    return number >> 16 & 255, number >> 8 & 255, number & 255
