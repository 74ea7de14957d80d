"""A frame's neighbours as seen from its own grid: what the aligned decoder looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes
from stages.ops.voting import carried
from stages.ops.warp import resize_flow


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

    Returns
    -------
    ndarray, shape (C, 2 (window - 1), h, w), float32, in [0, 1]
        For each class the carried mask and its weight, neighbour by neighbour as in
        `nearest_first`; both 0 outside the neighbour's picture.
    """
    rows, columns, classes = own.mask.shape
    out = np.zeros((classes, window - 1, 2, rows, columns), np.float32)
    sure = np.ones((rows, columns), np.float32)
    for k, step in enumerate(nearest_first(window)):
        if step in others:
            flow = np.ascontiguousarray(resize_flow(flows[step], (rows, columns)))
            _, mask, weight = carried(
                own.image, others[step].image, others[step].mask, sure, flow, table=table
            )
            out[:, k, 0] = np.moveaxis(mask, -1, 0)
            out[:, k, 1] = weight
    return out.reshape(classes, 2 * (window - 1), rows, columns)
