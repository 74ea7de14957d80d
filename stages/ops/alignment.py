"""A frame's neighbours as seen from its own grid: what the aligned decoder looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes
from stages.ops.warp import resize_flow

Box = tuple[slice, slice]
"""Rows and columns, from where to where."""


@dataclass(frozen=True)
class Halved:
    """A frame at half size: RGB (h, w, 3) in [0, 1] and masks (h, w, C), float32."""

    image: NDArray[np.float32]
    mask: NDArray[np.float32]


def halved_frame(image: NDArray[np.uint8], mask: NDArray[np.float32]) -> Halved:
    """Return a frame at half size, rounded up; each pixel the mean of what it covers.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), uint8
    mask : ndarray, shape (H, W, C), float32
    """
    dims = bind_shapes(image=(image, "H W 3"), mask=(mask, "H W C"))
    size = (dims["W"] + 1) // 2, (dims["H"] + 1) // 2
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    planes = [
        cv2.resize(np.ascontiguousarray(plane), size, interpolation=cv2.INTER_AREA)
        for plane in np.moveaxis(mask, -1, 0)
    ]
    shape = (*small.shape[:2], 0)
    return Halved(
        small * np.float32(1 / 255), np.stack(planes, -1) if planes else np.zeros(shape, np.float32)
    )


def nearest_first(window: int) -> tuple[int, ...]:
    """Return the neighbours in a window of so many frames: -1, 1, -2, 2 and so on."""
    return tuple(side * k for k in range(1, window // 2 + 1) for side in (-1, 1))


def look_around(
    own: Halved,
    others: Mapping[int, Halved],
    flows: Mapping[int, NDArray[np.float32]],
    *,
    window: int,
    table: NDArray[np.float32],
    box: Box | None = None,
) -> NDArray[np.float32]:
    """Return the neighbours' masks carried to a frame, each with how alike the pictures are.

    Parameters
    ----------
    own : Halved
    others : mapping
        Neighbours by their distance in frames, -1 for the one before; those not there (the shot
        ends) count for nothing.
    flows : mapping of ndarray, shape (2, h', w'), float32
        From the frame to each neighbour, in pixels of its own grid.
    window : int, odd
        Frames looked at, the frame itself among them.
    table : ndarray, float32
        Weight by likeness, from `stages.ops.voting.appearance_table`.
    box : (rows, columns), optional
        Part of the frame that is wanted; all of it if left out.

    Returns
    -------
    ndarray, shape (C, 2 (window - 1), h, w), float32, in [0, 1]
        Of the box; for each class the carried mask and its weight, neighbour by neighbour as in
        `nearest_first`; both 0 outside the neighbour's picture.
    """
    rows, columns, classes = own.mask.shape
    wanted = (slice(0, rows), slice(0, columns)) if box is None else box
    picture = own.image[wanted]
    out = np.zeros((classes, window - 1, 2, *picture.shape[:2]), np.float32)
    for k, step in enumerate(nearest_first(window)):
        if step in others:
            flow = resize_flow(flows[step], (rows, columns))
            _carry_part(
                picture, others[step].image, others[step].mask, flow, wanted[0].start,
                wanted[1].start, table, out[:, k],
            )  # fmt: skip
    return out.reshape(classes, 2 * (window - 1), *picture.shape[:2])


@njit(nogil=True, cache=True)
def _carry_part(
    guide: NDArray[np.float32],
    image: NDArray[np.float32],
    mask: NDArray[np.float32],
    flow: NDArray[np.float32],
    first_row: int,
    first_column: int,
    table: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Write a neighbour's masks, and how alike it looks, for a part of a frame: (C, 2, h, w).

    To the bit what `stages.ops.voting.carried` gives for a neighbour of weight 1.
    """
    rows, columns, classes = mask.shape
    for i in range(guide.shape[0]):
        for j in range(guide.shape[1]):
            y, x = i + first_row, j + first_column
            px, py = x + flow[0, y, x], y + flow[1, y, x]
            if not (px >= 0 and py >= 0 and px <= columns - 1 and py <= rows - 1):
                continue
            x0, y0 = np.uint32(px), np.uint32(py)
            x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
            fx, fy = np.float32(px - x0), np.float32(py - y0)
            a, b = (1 - fx) * (1 - fy), fx * (1 - fy)
            c, d = (1 - fx) * fy, fx * fy
            distance = np.float32(0)
            for k in range(3):
                value = image[y0, x0, k] * a + image[y0, x1, k] * b
                colour = np.float32(value + image[y1, x0, k] * c + image[y1, x1, k] * d)
                distance += ((guide[i, j, k] - colour) * 255) ** 2
            for k in range(classes):
                value = mask[y0, x0, k] * a + mask[y0, x1, k] * b
                out[k, 0, i, j] = value + mask[y1, x0, k] * c + mask[y1, x1, k] * d
            weight = np.float32(0)
            if distance < table.size - 1:
                low = int(distance)
                weight = np.float32(a + b + c + d)
                weight *= table[low] + (table[low + 1] - table[low]) * (distance - low)
            out[:, 1, i, j] = weight
