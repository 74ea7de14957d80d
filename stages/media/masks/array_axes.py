"""Which axis of a clip's array is time, which are objects or channels, and which the picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.masks.raw import Raw, raw_of
from stages.media.masks.sizes import same_shape

MOST_CHANNELS = 255


@dataclass(frozen=True)
class Axes:
    """The meaning of an array's axes.

    Attributes
    ----------
    time : int
        The axis of frames: 0, or 1 where objects come first.
    rows : int
        The axis of rows; that of columns follows.
    layers : bool
        Whether there is an axis of objects or channels besides.
    last : bool
        Whether it comes last.
    words : str
        The same for the user; empty where there is nothing to say.
    """

    time: int
    rows: int
    layers: bool = False
    last: bool = False
    words: str = ""

    def raw(self, where: Path, values: NDArray[Any]) -> Raw:
        """Return one frame: labels, or soft masks by channel; later objects lie on top."""
        if not self.layers:
            return raw_of(where, values)
        if self.last and _are_colours(values):
            return Raw(where, np.ascontiguousarray(values))
        stack = np.moveaxis(values, -1, 0) if self.last else values
        if _is_grey_picture(stack):
            return raw_of(where, stack[0])
        if stack.dtype.kind == "f" or len(stack) == 1:
            return raw_of(where, stack)
        return Raw(where, _join_objects(where, stack), labels_only=True)


def raw_of_frame(where: Path, array: NDArray[Any], size: tuple[int, int]) -> Raw:
    """Return one frame's array: labels, soft masks, objects (N, H, W), or colours (H, W, 3).

    Raises
    ------
    InputError
        If it is none of these.
    """
    if array.ndim == 4 and 1 in array.shape[:2]:  # SAM 2 has (N, 1, H, W)
        array = array.squeeze(array.shape[:2].index(1))
    if array.ndim == 3:
        rows_first = same_shape((array.shape[0], array.shape[1]), size)
        if rows_first and array.dtype == np.uint8 and array.shape[2] in (3, 4):
            return Raw(where, array)
        if rows_first and not same_shape((array.shape[1], array.shape[2]), size):
            array = np.moveaxis(array, -1, 0)
    if array.ndim != 3 or array.dtype.kind == "f" or len(array) == 1:
        return raw_of(where, array)
    return Axes(0, 1, layers=True).raw(where, array)


def _are_colours(values: NDArray[Any]) -> bool:
    """Return whether a frame (H, W, C) is of colours: 8 bits, three or four, no masks of 0 and 1.

    What is all 0 is black, which both readings have for the background.
    """
    return bool(
        values.dtype == np.uint8 and values.shape[-1] in (3, 4) and values.max(initial=0) != 1
    )


def _is_grey_picture(stack: NDArray[Any]) -> bool:
    """Return whether a frame (3, H, W) is one grey picture three times."""
    if stack.dtype != np.uint8 or len(stack) != 3 or stack.max(initial=0) < 2:
        return False
    return bool((stack[0] == stack[1]).all() and (stack[0] == stack[2]).all())


def _join_objects(where: Path, stack: NDArray[Any]) -> NDArray[np.uint16]:
    """Return labels (H, W) of objects (N, H, W): bool, or integers with one value over 0 each."""
    over = stack > 0
    if any(len(np.unique(mask[drawn])) > 1 for mask, drawn in zip(stack, over, strict=True)):
        raise InputError(
            f"{where}: expected objects (N, H, W) with one value each, or labels (H, W), a frame, "
            f"got {stack.shape} with several"
        )
    # Exactly one everywhere: a class each, the background first, as where floats sum to 1.
    start = 0 if len(over) > 1 and (over.sum(axis=0) == 1).all() else 1
    labels = np.zeros(over.shape[1:], np.uint16)
    for number, mask in enumerate(over, start=start):
        labels[mask] = number
    return labels


def find_axes(
    where: Path, shape: tuple[int, ...], dtype: np.dtype[Any], frames: int, size: tuple[int, int]
) -> Axes:
    """Return the axes of a clip's array.

    Three axes are (T, H, W). Four are (T, N, H, W), objects or channels N; or (T, H, W, N), or
    (N, T, H, W), where only that fits the footage.

    Raises
    ------
    InputError
        If none fits, or (T, N, H, W) and (N, T, H, W) both do.
    """
    if dtype.kind not in "buif" or len(shape) not in (3, 4):
        raise InputError(
            f"{where}: expected labels (T, H, W), soft masks (T, H, W) or (T, C, H, W), or objects "
            f"(T, N, H, W), got {dtype} {shape}"
        )
    if len(shape) == 3:
        return Axes(0, 1)
    pictures_last = same_shape((shape[2], shape[3]), size)
    if not pictures_last and same_shape((shape[1], shape[2]), size) and shape[3] < 64:
        return Axes(0, 1, layers=True, last=True, words=", objects or channels last")
    first, second = shape[:2]
    if first == second == frames > 1:
        raise InputError(
            f"{where}: {shape} may be {frames} frames of {frames} objects or the reverse: save it "
            "as one array (T, H, W) of labels"
        )
    objects_first = second == frames and first != frames
    layers = first if objects_first else second
    if layers > MOST_CHANNELS:
        raise InputError(f"{where}: expected at most {MOST_CHANNELS} channels, got {layers}")
    order_words = ", objects first" if objects_first else ""
    return Axes(1 if objects_first else 0, 2, layers=True, words=order_words)
