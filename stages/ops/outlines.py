"""Outlines: signed distances to them, and whether they lie where the picture has an edge."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

DISTANCE_STEPS = 8  # of a signed distance to a pixel
FAR = 15.75  # pixels: all that lies farther from the outline counts as that far
SAMPLES = 1500  # points of an outline that are looked at, at most
EDGE_SEARCH = 5  # pixels to either side of the outline in which an edge is looked for
ACROSS = 1.5  # pixels to either side of a place whose colours make its contrast
FAINT = 15.0  # grey levels: with less contrast than that there is no edge
PREFERENCE = 0.3  # grey levels that an edge one pixel farther must have more
SIMPLE = 0.7  # share of the way that the distance has to rise on the way in and out
HIT = 1.0  # pixels within which the outline lies on the edge


def signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Return the distance of each pixel to the outline of a mask, positive inside.

    Parameters
    ----------
    mask : ndarray, shape (H, W), bool

    Returns
    -------
    ndarray, shape (H, W), int8
        In eighths of a pixel, cut at ±15.75 pixels. The outline runs between the pixels, half a
        pixel from the centres on either side; a picture without outline has ±15.75 everywhere.
    """
    bind_shapes(mask=(mask, "H W"))
    far = np.int8(FAR * DISTANCE_STEPS)
    out = np.full(mask.shape, -far, np.int8)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return out
    margin = int(FAR) + 2
    box = np.s_[
        max(rows[0] - margin, 0) : rows[-1] + margin + 1,
        max(columns[0] - margin, 0) : columns[-1] + margin + 1,
    ]
    inside = mask[box].astype(np.uint8)
    if inside.all():
        out[box] = far
        return out
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - np.float32(0.5)
    outside = np.float32(0.5) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    signed = np.where(inside > 0, distance, outside) * np.float32(DISTANCE_STEPS)
    out[box] = np.rint(np.clip(signed, -far, far)).astype(np.int8)
    return out


def thin_parts(mask: NDArray[np.bool_], *, radius: int) -> NDArray[np.bool_]:
    """Mark the surroundings of what is thin in a mask: lines, and gaps between two parts.

    Parameters
    ----------
    mask : ndarray, shape (H, W), bool
    radius : int
        Half the width up to which a part is thin, in pixels.

    Returns
    -------
    ndarray, shape (H, W), bool
        Pixels within `radius` of a part that a disc of that radius does not fit in.
    """
    bind_shapes(mask=(mask, "H W"))
    side = 2 * radius + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    inside = mask.astype(np.uint8)
    lines = inside - cv2.morphologyEx(inside, cv2.MORPH_OPEN, disc)
    gaps = cv2.morphologyEx(inside, cv2.MORPH_CLOSE, disc) - inside
    # Single pixels at corners are what a disc never fits in.
    pieces = cv2.morphologyEx(lines | gaps, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    return np.asarray(cv2.dilate(pieces, disc) > 0)


def soft_edge(distance: NDArray[np.float32], *, sigma: float) -> NDArray[np.float32]:
    """Return the probability that a blur of `sigma` pixels makes of a straight outline.

    Parameters
    ----------
    distance : ndarray of float32
        Signed distance in pixels, positive inside.
    sigma : float, > 0
        Pixels.

    Returns
    -------
    ndarray of float32, in [0, 1]
        The normal distribution function of distance / sigma, to within 0.01.
    """
    return np.asarray(1 / (1 + np.exp(-distance * np.float32(1.702 / sigma))), np.float32)


def count_edge_hits(image: NDArray[np.uint8], distance: NDArray[np.int8]) -> tuple[int, int]:
    """Count the points of an outline that have an edge of the picture near, and those on it.

    At each point the contrast across the outline is compared with that at places up to five
    pixels further in or out; the strongest is where the picture's edge is. Outlines that know
    nothing of the picture hit it with a quarter of their points. Thin parts and corners, where
    another outline is as near, are left out.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), uint8
    distance : ndarray, shape (H, W), int8
        From `signed_distance`.

    Returns
    -------
    (points, hits) : int
        Of the at most 1500 points looked at, those with an edge, and those within one pixel of it.
    """
    bind_shapes(image=(image, "H W 3"), distance=(distance, "H W"))
    near = np.flatnonzero(np.abs(distance.ravel()) < DISTANCE_STEPS)
    if not near.size:
        return 0, 0
    points = near[:: -(-near.size // SAMPLES)]
    counted, hits = _hits(image, distance, points.astype(np.int64))
    return int(counted), int(hits)


@njit(nogil=True, cache=True)
def _sample(
    image: NDArray[np.uint8], y: np.float32, x: np.float32, out: NDArray[np.float32]
) -> None:
    """Write the colour at a place, bilinear, the border repeated."""
    rows, columns = image.shape[:2]
    y = min(max(y, np.float32(0)), np.float32(rows - 1))
    x = min(max(x, np.float32(0)), np.float32(columns - 1))
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, rows - 1), min(x0 + 1, columns - 1)
    fy, fx = np.float32(y - y0), np.float32(x - x0)
    for k in range(3):
        top = image[y0, x0, k] * (1 - fx) + image[y0, x1, k] * fx
        low = image[y1, x0, k] * (1 - fx) + image[y1, x1, k] * fx
        out[k] = top * (1 - fy) + low * fy


@njit(nogil=True, cache=True)
def _normal(
    distance: NDArray[np.int8], y: int, x: int
) -> tuple[np.float32, np.float32, np.float32]:
    """Return the direction in which the distance rises most around a pixel, and how clearly."""
    rows, columns = distance.shape
    down, right = np.float32(0), np.float32(0)
    for i in range(-3, 4):
        for j in range(-3, 4):
            value = np.float32(
                distance[min(max(y + i, 0), rows - 1), min(max(x + j, 0), columns - 1)]
            )
            down += i * value
            right += j * value
    length = np.sqrt(down * down + right * right)
    # A straight outline has 196 = 7 Σ i² for each unit of slope.
    clear = length / np.float32(196 * DISTANCE_STEPS)
    length = max(length, np.float32(1e-6))
    return down / length, right / length, clear


@njit(nogil=True, cache=True)
def _is_simple(
    distance: NDArray[np.int8], y: int, x: int, down: np.float32, right: np.float32
) -> bool:
    """Return whether no other outline lies as near as edges are looked for."""
    rows, columns = distance.shape
    for side in (-1, 1):
        row, column = round(y + side * EDGE_SEARCH * down), round(x + side * EDGE_SEARCH * right)
        if not (0 <= row < rows and 0 <= column < columns):
            return False
        if side * distance[row, column] < SIMPLE * EDGE_SEARCH * DISTANCE_STEPS:
            return False
    return True


@njit(nogil=True, cache=True)
def _hits(
    image: NDArray[np.uint8], distance: NDArray[np.int8], points: NDArray[np.int64]
) -> tuple[int, int]:
    columns = distance.shape[1]
    gap = int(2 * ACROSS)  # entries of half a pixel to either side
    count = int(4 * (EDGE_SEARCH + ACROSS)) + 1
    profile = np.empty((count, 3), np.float32)
    edges, hits = 0, 0
    for n in range(len(points)):
        point = int(points[n])
        y, x = point // columns, point % columns
        down, right, clear = _normal(distance, y, x)
        if clear < 0.4 or not _is_simple(distance, y, x, down, right):
            continue
        for k in range(count):
            offset = np.float32(0.5) * (k - count // 2)
            _sample(image, y + offset * down, x + offset * right, profile[k])
        best, edge_offset, strongest = np.float32(-1e9), np.float32(0), np.float32(0)
        for k in range(gap, count - gap):
            contrast = np.float32(0)
            for c in range(3):
                contrast += (profile[k + gap, c] - profile[k - gap, c]) ** 2
            contrast = np.sqrt(contrast)
            offset = np.float32(0.5) * (k - count // 2)
            strongest = max(strongest, contrast)
            if contrast - np.float32(PREFERENCE) * abs(offset) > best:
                best, edge_offset = contrast - np.float32(PREFERENCE) * abs(offset), offset
        if strongest > FAINT:
            edges += 1
            hits += 1 if abs(edge_offset) <= HIT else 0
    return edges, hits
