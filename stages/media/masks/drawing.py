"""Shapes drawn as the tools that wrote them draw them, then packed as run lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from stages.media.masks.rle import check_polygons

Size = tuple[int, int]
Corners = Sequence[Sequence[float]]

MOST_PIXELS = 2**28  # of a picture that a file announces


def check_drawing(corners: Corners, size: Size, *, fewest: int = 3) -> NDArray[np.float64]:
    """Return corners (N, 2) of a shape, x before y.

    Raises
    ------
    ValueError
        If they are no points, too few, or far outside of the picture; or the picture is too large.
    """
    points = np.asarray(corners, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < fewest:
        raise ValueError(f"expected {fewest} or more points (x, y), got {str(corners)[:60]}")
    if min(size) < 1 or size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f"expected a picture of at most {MOST_PIXELS} pixels, got {size}")
    if fewest >= 3:
        check_polygons([points.ravel().tolist()], size)
    elif not np.isfinite(points).all() or np.abs(points).max() > 4 * max(size):
        raise ValueError(f"points far outside of the {size[1]}x{size[0]} pixels")
    return points


def fill_polygons(polygons: Sequence[Corners], size: Size) -> NDArray[np.bool_]:
    """Return polygons filled as OpenCV does, corners on whole pixels and inside: (H, W) bool.

    So Ultralytics and supervision draw them, whose polygons are the contours that OpenCV finds.
    """
    mask = np.zeros(size, np.uint8)
    for polygon in polygons:
        points = np.rint(check_drawing(polygon, size)).astype(np.int32)
        cv2.fillPoly(mask, [points], 1)
    return mask > 0


def draw_like_labelme(kind: str, corners: Corners, size: Size) -> NDArray[np.bool_]:
    """Return a polygon, rectangle or circle as labelme fills it: (H, W) bool."""
    points = check_drawing(corners, size, fewest=2 if kind in ("rectangle", "circle") else 3)
    picture = Image.new("1", size[::-1])
    draw = ImageDraw.Draw(picture)
    flat = [(float(x), float(y)) for x, y in points]
    if kind == "rectangle":
        (x0, y0), (x1, y1) = flat[:2]
        draw.rectangle([min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)], fill=1, outline=1)
    elif kind == "circle":
        (x, y), (px, py) = flat[:2]
        reach = float(np.hypot(px - x, py - y))
        draw.ellipse([x - reach, y - reach, x + reach, y + reach], fill=1, outline=1)
    else:
        draw.polygon(flat, fill=1, outline=1)
    return np.asarray(picture, np.bool_)


def pack(mask: NDArray[Any]) -> dict[str, Any]:
    """Return a mask (H, W) as run lengths of COCO: small, and decoded when its turn comes."""
    flat = np.concatenate([[False], np.asarray(mask, np.bool_).T.ravel(), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], edges, [mask.size]]))
    if len(edges) and edges[-1] == mask.size:
        counts = counts[:-1]
    return {"size": list(mask.shape), "counts": [int(count) for count in counts]}
