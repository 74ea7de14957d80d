"""Masks of another size than the footage: the same picture at another scale, or another picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError

SLACK = 0.02  # of a side, rounded
STRETCH = "set segment.fit=stretch if they show the same picture"


def fit_note(
    where: Path,
    got: tuple[int, int],
    size: tuple[int, int],
    rotation: int = 0,
    aspect: tuple[int, int] = (1, 1),
    *,
    stretch: bool = False,
) -> str:
    """Return a note on masks of another size but the same shape; empty if sizes agree.

    Parameters
    ----------
    where : Path
        For messages.
    got, size : (H, W)
        Of the masks, and of the footage as displayed.
    rotation : int
        Degrees that the footage asks to be turned by.
    aspect : (numerator, denominator)
        Width of the footage's pixels by their height.
    stretch : bool
        Whether masks of another shape are to be stretched.

    Raises
    ------
    InputError
        If the shape differs: says whether they look turned, cropped or made for square pixels.
    """
    if got == size:
        return ""
    note = f"masks of {got[1]}x{got[0]} are resized to the footage's {size[1]}x{size[0]}"
    if stretch or same_shape(got, size):
        return note
    raise InputError(
        f"{where}: expected {size[1]}x{size[0]} like the footage, got {got[1]}x{got[0]}: "
        + _size_difference(got, size, rotation, aspect)
    )


def same_shape(got: tuple[int, int], size: tuple[int, int]) -> bool:
    """Return whether two sizes are one picture at two scales, up to a pixel of rounding or 2 %."""
    small, large = sorted((got, size))
    for axis in (0, 1):  # the scale that one side gives must give the other side within a pixel
        scale = small[axis] / max(large[axis], 1)
        wanted = large[1 - axis] * scale
        if abs(wanted - small[1 - axis]) <= min(1, SLACK * wanted):
            return min(got) > 0
    return False


def _size_difference(
    got: tuple[int, int], size: tuple[int, int], rotation: int, aspect: tuple[int, int]
) -> str:
    if same_shape((got[1], got[0]), size):
        why = f", which asks to be turned by {-rotation % 360} degrees" if rotation % 180 else ""
        return f"they are turned by 90 degrees against the footage{why}: turn them"
    rows, columns = size
    squared = round(columns * aspect[0] / aspect[1])
    if aspect[0] != aspect[1] and same_shape(got, (rows, squared)):
        return (
            f"the footage has pixels of {aspect[0]}:{aspect[1]} (anamorphic), and they were made "
            f"for square ones ({squared}x{rows}): {STRETCH}"
        )
    for shape in ((720, 576), (720, 480), (1440, 1080)):
        if size == (shape[1], shape[0]) and same_shape(got, (9, 16)):
            return f"the footage may have pixels that are not square (anamorphic): {STRETCH}"
    if got[0] <= rows and got[1] <= columns and (got[0] == rows or got[1] == columns):
        return (
            "they are cropped, or the footage has bars: crop the footage alike, or add the bars "
            "to the masks"
        )
    return f"another shape, cropped or of other footage: {STRETCH}"


def fit_labels(labels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Return labels (H, W) at another size, nearest pixel: no label is made up."""
    if labels.shape == size:
        return labels
    rows = np.minimum((np.arange(size[0]) + 0.5) * labels.shape[0] / size[0], labels.shape[0] - 1)
    columns = np.minimum(
        (np.arange(size[1]) + 0.5) * labels.shape[1] / size[1], labels.shape[1] - 1
    )
    fitted: NDArray[Any] = labels[rows.astype(np.intp)[:, None], columns.astype(np.intp)[None]]
    return fitted


def fit_soft(soft: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return soft masks (C, H, W) at another size, interpolated, areas averaged."""
    if soft.shape[1:] == size:
        return soft
    smaller = size[0] <= soft.shape[1] and size[1] <= soft.shape[2]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    resized = [cv2.resize(np.ascontiguousarray(c), size[::-1], interpolation=how) for c in soft]
    return np.stack(resized).astype(np.float32)
