"""Motion-compensated voting: each pixel asks where its neighbours in time saw it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes
from stages.ops.tiles import TILE, end_of_run, flat_tiles, mark_active


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
    flat: Sequence[NDArray[np.bool_]] | None = None,
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
    flows : sequence of ndarray, shape (2, h, w), float32
        From the frame to each neighbour, x before y: one fewer than `masks`. May be empty. Pixels
        of a grid of their own that covers the same picture; read bilinearly in between.
    table : ndarray, float32
        Weight by squared RGB distance, from `appearance_table`.
    flat : sequence of ndarray, optional
        `flat_tiles` of each mask, to save finding them at each call.

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
            flow=(flow, "2 h w"),
        )
    out = masks[0].astype(np.float32, copy=True)
    if flows:
        flat = [flat_tiles(mask) for mask in masks] if flat is None else flat
        active = np.empty(flat[0].shape, np.bool_)
        mark_active(tuple(masks), tuple(flat), tuple(flows), active)
        neighbours = tuple(masks[1:]), tuple(flat[1:]), tuple(images[1:]), tuple(flows)
        _vote_pixels(out, active, images[0], *neighbours, table)
    return out


@njit(nogil=True, cache=True)
def _vote_pixels(  # noqa: C901 (one sweep, in numba)
    own: NDArray[np.float32],
    active: NDArray[np.bool_],
    image: NDArray[np.uint8],
    masks: tuple[NDArray[np.float32], ...],
    flat: tuple[NDArray[np.bool_], ...],
    images: tuple[NDArray[np.uint8], ...],
    flows: tuple[NDArray[np.float32], ...],
    table: NDArray[np.float32],
) -> None:
    """Replace `own` by the mean; where all agree there is nothing to weigh."""
    rows, columns, classes = own.shape
    width = flows[0].shape[2]
    across = (np.arange(columns) + 0.5) * (width / columns) - 0.5
    across = np.minimum(np.maximum(across, 0.0), width - 1.0)
    left = across.astype(np.uint32)
    share = (across - left).astype(np.float32)
    line = np.empty(width + 1, np.float32)
    places = np.empty((len(flows), 2, columns), np.float32)
    sampled = np.empty((len(flows), columns, classes), np.float32)
    weights = np.empty(columns, np.float32)
    differ = np.empty(columns, np.bool_)
    for y in range(rows):
        start = 0
        while start < columns:
            stop = end_of_run(active[y // TILE], start, columns)
            if active[y // TILE, start // TILE]:
                differ[start:stop] = False
                weights[start:stop] = 1
                for k in range(len(flows)):
                    _find_places(flows[k], y, rows, start, stop, left, share, line, places[k])
                    _sample_row(
                        masks[k], flat[k], places[k], own, y, start, stop, sampled[k], differ
                    )
                for k in range(len(flows)):
                    _add_row(
                        image, images[k], places[k], table, y, start, stop, sampled[k], differ,
                        weights, own,
                    )  # fmt: skip
                for x in range(start, stop):
                    if differ[x]:
                        for c in range(classes):
                            own[y, x, c] /= weights[x]
            start = stop


@njit(nogil=True, cache=True)
def _find_places(
    flow: NDArray[np.float32],
    y: int,
    rows: int,
    start: int,
    stop: int,
    left: NDArray[np.uint32],
    share: NDArray[np.float32],
    line: NDArray[np.float32],
    end_points: NDArray[np.float32],
) -> None:
    """Write where each pixel of row `y` leads; the flow's own grid may be coarser."""
    _, height, width = flow.shape
    v = (np.float32(y) + np.float32(0.5)) * np.float32(height / rows) - np.float32(0.5)
    v = min(max(v, np.float32(0)), np.float32(height - 1))
    top = np.uint32(v)
    low, f = min(top + np.uint32(1), np.uint32(height - 1)), v - np.float32(top)
    for axis in range(2):
        scale = np.float32(left.size / width if axis == 0 else rows / height)
        for x in range(left[start], min(left[stop - 1] + 2, width)):
            line[x] = (flow[axis, top, x] + (flow[axis, low, x] - flow[axis, top, x]) * f) * scale
        line[width] = line[width - 1]
        for x in range(start, stop):
            value = line[left[x]] + (line[left[x] + np.uint32(1)] - line[left[x]]) * share[x]
            end_points[axis, x] = value + np.float32(x if axis == 0 else y)


@njit(nogil=True, cache=True)
def _sample_row(
    mask: NDArray[np.float32],
    flat: NDArray[np.bool_],
    end_points: NDArray[np.float32],
    own: NDArray[np.float32],
    y: int,
    start: int,
    stop: int,
    sampled: NDArray[np.float32],
    differ: NDArray[np.bool_],
) -> None:
    """Sample a neighbour's mask for one row; mark where it differs from the frame's own."""
    rows, columns, classes = mask.shape
    right, bottom = np.float32(columns - 1), np.float32(rows - 1)
    for x in range(start, stop):
        px, py = end_points[0, x], end_points[1, x]
        if not (px >= 0 and py >= 0 and px <= right and py <= bottom):
            continue
        x0, y0 = np.uint32(px), np.uint32(py)
        if flat[y0 >> np.uint32(4), x0 >> np.uint32(4)]:
            for c in range(classes):
                sampled[x, c] = mask[y0, x0, c]
                differ[x] |= sampled[x, c] != own[y, x, c]
            continue
        x1 = min(x0 + np.uint32(1), np.uint32(columns - 1))
        y1 = min(y0 + np.uint32(1), np.uint32(rows - 1))
        fx, fy = px - np.float32(x0), py - np.float32(y0)
        for c in range(classes):
            # Written as steps from one corner, so that four equal corners give just that value.
            top, low = mask[y0, x0, c], mask[y1, x0, c]
            top += (mask[y0, x1, c] - top) * fx
            low += (mask[y1, x1, c] - low) * fx
            value = top + (low - top) * fy
            sampled[x, c] = value
            differ[x] |= value != own[y, x, c]


@njit(nogil=True, cache=True)
def _add_row(
    image: NDArray[np.uint8],
    other: NDArray[np.uint8],
    end_points: NDArray[np.float32],
    table: NDArray[np.float32],
    y: int,
    start: int,
    stop: int,
    sampled: NDArray[np.float32],
    differ: NDArray[np.bool_],
    weights: NDArray[np.float32],
    total: NDArray[np.float32],
) -> None:
    """Add a neighbour's sampled masks where it matters, weighted by how alike the pictures are."""
    rows, columns, classes = total.shape
    right, bottom = np.float32(columns - 1), np.float32(rows - 1)
    for x in range(start, stop):
        if not differ[x]:
            continue
        px, py = end_points[0, x], end_points[1, x]
        if not (px >= 0 and py >= 0 and px <= right and py <= bottom):
            continue
        x0, y0 = np.uint32(px), np.uint32(py)
        x1 = min(x0 + np.uint32(1), np.uint32(columns - 1))
        y1 = min(y0 + np.uint32(1), np.uint32(rows - 1))
        fx, fy = px - np.float32(x0), py - np.float32(y0)
        distance = np.float32(0)
        for c in range(3):
            top = other[y0, x0, c] * (1 - fx) + other[y0, x1, c] * fx
            low = other[y1, x0, c] * (1 - fx) + other[y1, x1, c] * fx
            distance += (image[y, x, c] - (top * (1 - fy) + low * fy)) ** 2
        if distance >= table.size - 1:
            continue
        entry = int(distance)
        share = np.float32(distance - entry)
        g = table[entry] + (table[entry + 1] - table[entry]) * share
        weights[x] += g
        for c in range(classes):
            total[y, x, c] += g * sampled[x, c]


def carried(
    guide: NDArray[np.float32],
    other: NDArray[np.float32],
    mask: NDArray[np.float32],
    weight: NDArray[np.float32],
    flow: NDArray[np.float32],
    *,
    table: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return a neighbour's guide, mask and weight as seen from a frame's own grid.

    Parameters
    ----------
    guide, other : ndarray, shape (H, W, 3), float32
        The frame's own picture and the neighbour's, RGB in steps of 1/255.
    mask : ndarray, shape (H, W, C), float32
        The neighbour's.
    weight : ndarray, shape (H, W), float32
        The neighbour's; it is multiplied by the likeness of the two pictures, see `vote`.
    flow : ndarray, shape (2, H, W), float32
        From the frame to the neighbour, pixels, x before y.
    table : ndarray, float32
        From `appearance_table`.

    Returns
    -------
    (guide, mask, weight)
        Shapes as given; all 0 where the neighbour lies outside its picture.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    bind_shapes(
        guide=(guide, "H W 3"),
        other=(other, "H W 3"),
        mask=(mask, "H W C"),
        weight=(weight, "H W"),
        flow=(flow, "2 H W"),
    )
    stack = np.concatenate([other, mask, weight[..., None]], axis=-1)
    out = np.zeros_like(stack)
    _carry_mask(guide, stack, flow, table, out)
    return out[..., :3], out[..., 3:-1], out[..., -1]


@njit(nogil=True, cache=True)
def _carry_mask(
    guide: NDArray[np.float32],
    stack: NDArray[np.float32],
    flow: NDArray[np.float32],
    table: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    rows, columns, parts = stack.shape
    for y in range(rows):
        for x in range(columns):
            px, py = x + flow[0, y, x], y + flow[1, y, x]
            if not (px >= 0 and py >= 0 and px <= columns - 1 and py <= rows - 1):
                continue
            x0, y0 = np.uint32(px), np.uint32(py)
            x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
            fx, fy = np.float32(px - x0), np.float32(py - y0)
            a, b = (1 - fx) * (1 - fy), fx * (1 - fy)
            c, d = (1 - fx) * fy, fx * fy
            for k in range(parts):
                value = stack[y0, x0, k] * a + stack[y0, x1, k] * b
                out[y, x, k] = value + stack[y1, x0, k] * c + stack[y1, x1, k] * d
            distance = np.float32(0)
            for k in range(3):
                distance += ((guide[y, x, k] - out[y, x, k]) * 255) ** 2
            if distance >= table.size - 1:
                out[y, x, parts - 1] = 0
                continue
            low = int(distance)
            out[y, x, parts - 1] *= table[low] + (table[low + 1] - table[low]) * (distance - low)
