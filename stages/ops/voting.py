"""Motion-compensated voting: each pixel asks where its neighbours in time saw it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes


def appearance_table(sigma: float) -> NDArray[np.float32]:
    """Return ``exp(−d/(2σ²))`` for every squared 8-bit RGB distance d up to where it is nothing.

    Parameters
    ----------
    sigma : float, > 0
        Grey levels.

    Returns
    -------
    ndarray, shape (N,), float32
        Entry d for squared distance d; beyond the last entry (under 1e-4) the weight is 0.
    """
    size = min(int(2 * sigma**2 * np.log(1e4)) + 2, 3 * 255**2 + 2)
    return np.exp(-np.arange(size) / (2 * sigma**2)).astype(np.float32)


def vote(
    masks: Sequence[NDArray[np.float32]],
    images: Sequence[NDArray[np.uint8]],
    flows: Sequence[NDArray[np.float32]],
    *,
    table: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return the mean of a frame's mask and its neighbours' masks carried to it by the flow.

    ``P_t ← (P_t + Σ_j g_tj·warp(P_j, F[t→j])) / (1 + Σ_j g_tj)`` with
    ``g_tj = [x + F inside the image] · exp(−|I_t − warp(I_j)|² / 2σ²)``: a neighbour counts as far
    as it looks alike, which also leaves out what is occluded. The method is this project's own.

    Parameters
    ----------
    masks : sequence of ndarray, shape (H, W, C), float32
        The frame's own mask first, then one for each neighbour.
    images : sequence of ndarray, shape (H, W, 3), uint8
        RGB, in the same order.
    flows : sequence of ndarray, shape (2, H, W), float32
        From the frame to each neighbour, pixels, x before y: one fewer than `masks`. May be empty.
    table : ndarray, float32
        Weight by squared RGB distance, from `appearance_table`.

    Returns
    -------
    ndarray, shape (H, W, C), float32
        A convex combination, so a sum of 1 over classes stays 1.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    for k, flow in enumerate(flows, start=1):
        bind_shapes(
            mask=(masks[0], "H W C"),
            image=(images[0], "H W 3"),
            neighbour_mask=(masks[k], "H W C"),
            neighbour_image=(images[k], "H W 3"),
            flow=(flow, "2 H W"),
        )
    total = masks[0].astype(np.float32, copy=True)
    weight = np.ones(total.shape[:2], np.float32)
    for k, flow in enumerate(flows, start=1):
        _add_vote(images[0], images[k], masks[k], flow, table, total, weight)
    total /= weight[..., None]
    return total


@njit(nogil=True, cache=True, fastmath={"contract", "nsz"})
def _add_vote(
    image: NDArray[np.uint8],
    other: NDArray[np.uint8],
    mask: NDArray[np.float32],
    flow: NDArray[np.float32],
    table: NDArray[np.float32],
    total: NDArray[np.float32],
    weight: NDArray[np.float32],
) -> None:
    rows, columns, classes = mask.shape
    for y in range(rows):
        for x in range(columns):
            px, py = x + flow[0, y, x], y + flow[1, y, x]
            if not (px >= 0 and py >= 0 and px <= columns - 1 and py <= rows - 1):
                continue
            x0, y0 = int(px), int(py)
            x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
            fx, fy = np.float32(px - x0), np.float32(py - y0)
            a, b = (1 - fx) * (1 - fy), fx * (1 - fy)
            c, d = (1 - fx) * fy, fx * fy
            distance = np.float32(0)
            for k in range(3):
                seen = other[y0, x0, k] * a + other[y0, x1, k] * b
                seen += other[y1, x0, k] * c + other[y1, x1, k] * d
                distance += (image[y, x, k] - seen) ** 2
            if distance >= table.size - 1:
                continue
            low = int(distance)
            share = distance - low
            g = table[low] * (1 - share) + table[low + 1] * share
            weight[y, x] += g
            for k in range(classes):
                m = mask[y0, x0, k] * a + mask[y0, x1, k] * b
                m += mask[y1, x0, k] * c + mask[y1, x1, k] * d
                total[y, x, k] += g * m
