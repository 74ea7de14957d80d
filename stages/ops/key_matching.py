"""Match the pixels of a frame with those of its key frames, by what surrounds them.

Motion that is followed from frame to frame drifts, and loses what is hidden for a moment. So each
pixel is looked for in the key frames themselves: around the place to which the flow leads, the
pixels that look most alike say which class it has. After memory networks for video segmentation
(Oh et al., "Video object segmentation using space-time memory networks", ICCV 2019), with
orientations of edges and colours in place of learned features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

Floats = NDArray[np.float32]

LINES = 120  # of the grid on which pixels are matched, about
ORIENTATIONS = 6
CELL = 5  # pixels from a pixel to the cells around it whose edges describe it
CELL_BLUR = 2.0  # pixels (1 sigma) of a cell
FLAT = 8.0  # grey levels a pixel: edges weaker than this describe little
COLOUR_BLURS = 1.0, 4.0  # pixels (1 sigma) over which colours are averaged
COLOUR_WEIGHT = 3.0
WINDOW = 14 / LINES  # of the height: how far from where the flow leads a pixel may be
NEAREST = 12  # pixels of each key frame that have a say
LIKE = 0.05  # squared distance of descriptors at which a pixel has a third of the nearest's say


@dataclass(frozen=True)
class KeyFrame:
    """A key frame on the grid of matching.

    Attributes
    ----------
    descriptors : ndarray, shape (h, w, D), float32
        See `describe_pixels`.
    masks : ndarray, shape (h, w, C), float32, in [0, 1]
    """

    descriptors: Floats
    masks: Floats


@dataclass(frozen=True)
class Match:
    """The classes of a frame's pixels as its key frames have them.

    Attributes
    ----------
    masks : ndarray, shape (h, w, C), float32, in [0, 1]
        0.5 where nothing was looked for.
    distance : ndarray, shape (h, w), float32
        Squared distance of descriptors to the most alike pixel; infinite where nothing was
        looked for.
    """

    masks: Floats
    distance: Floats


def matching_step(rows: int) -> int:
    """Return the pixels of a picture with so many rows to one of the grid of matching."""
    return max(round(rows / LINES), 1)


def thin_out(values: NDArray[Any], step: int) -> NDArray[Any]:
    """Return each `step`-th pixel of an array (H, W, …), the grid of matching."""
    return np.ascontiguousarray(values[step // 2 :: step, step // 2 :: step])


def describe_pixels(picture: NDArray[np.uint8]) -> Floats:
    """Return a descriptor of each pixel of the grid of matching: colours and edges around it.

    Parameters
    ----------
    picture : ndarray, shape (H, W, 3), uint8, RGB

    Returns
    -------
    ndarray, shape (h, w, D), float32
        Colours in CIELAB near and wide around the pixel; then how strong edges of each orientation
        are in a cell at the pixel and in four around it, all of norm at most 1.
    """
    bind_shapes(picture=(picture, "H W 3"))
    step = matching_step(picture.shape[0])
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    weight = np.float32(COLOUR_WEIGHT / 255)
    colours = [cv2.GaussianBlur(lab, (0, 0), blur) * weight for blur in COLOUR_BLURS]
    across, down = (cv2.Sobel(lab[..., 0], cv2.CV_32F, *axis, ksize=3) for axis in ((1, 0), (0, 1)))
    edges = []
    for turn in np.linspace(0, 2 * np.pi, ORIENTATIONS, endpoint=False):
        along = across * np.float32(np.cos(turn)) + down * np.float32(np.sin(turn))
        blurred = cv2.GaussianBlur(np.maximum(along, 0) / 8, (0, 0), CELL_BLUR)
        edges += [_shifted(blurred, x, y) for x, y in _cells()]
    stacked = np.stack(edges, axis=-1)
    stacked /= np.linalg.norm(stacked, axis=-1, keepdims=True) + np.float32(FLAT)
    return thin_out(np.concatenate([*colours, stacked], axis=-1), step)


def match_key_frames(
    descriptors: Floats,
    keys: Sequence[KeyFrame],
    places: Sequence[Floats],
    wanted: NDArray[np.bool_],
) -> Match:
    """Return the classes that the pixels most alike in the key frames have.

    Parameters
    ----------
    descriptors : ndarray, shape (h, w, D), float32
        Of the frame.
    keys : sequence of KeyFrame
    places : sequence of ndarray, shape (2, h, w), float32
        Columns and rows in each key frame to which the flow leads, around which to look.
    wanted : ndarray, shape (h, w), bool
        Where to look for pixels.
    """
    bind_shapes(descriptors=(descriptors, "h w D"), wanted=(wanted, "h w"))
    reach = max(round(WINDOW * descriptors.shape[0]), 2)
    distances, masks = [], []
    for key, end_points in zip(keys, places, strict=True):
        bind_shapes(
            descriptors=(descriptors, "h w D"), key=(key.descriptors, "h w D"),
            masks=(key.masks, "h w C"), end_points=(end_points, "2 h w"),
        )  # fmt: skip
        around = np.where(wanted, end_points, np.float32(np.nan)).astype(np.float32)
        distance, index = _find_alike(descriptors, key.descriptors, around, reach)
        distances.append(distance)
        masks.append(key.masks.reshape(-1, key.masks.shape[-1])[index])
    return _voted_match(np.concatenate(distances, axis=-1), np.concatenate(masks, axis=2), wanted)


def _voted_match(distances: Floats, masks: Floats, wanted: NDArray[np.bool_]) -> Match:
    """Return the mean of masks (h, w, N, C), weighted by how alike their pixels are."""
    nearest = distances.min(axis=-1)
    say = np.exp((nearest[..., None] - distances) / np.float32(LIKE)).astype(np.float32)
    mean = (say[..., None] * masks).sum(axis=2) / say.sum(axis=-1)[..., None]
    return Match(
        np.where(wanted[..., None], mean.clip(0, 1), np.float32(0.5)).astype(np.float32),
        np.where(wanted, nearest, np.float32(np.inf)).astype(np.float32),
    )


def _cells() -> list[tuple[int, int]]:
    """Return where the cells of a descriptor lie."""
    return [(0, 0), *((x, y) for x in (-CELL, CELL) for y in (-CELL, CELL))]


def _shifted(plane: Floats, x: int, y: int) -> Floats:
    """Return a plane (H, W) whose pixels hold what lies x columns and y rows further."""
    rows = np.clip(np.arange(plane.shape[0]) + y, 0, plane.shape[0] - 1)
    columns = np.clip(np.arange(plane.shape[1]) + x, 0, plane.shape[1] - 1)
    return plane[rows][:, columns]


@njit(nogil=True, cache=True)
def _find_alike(
    own: Floats, key: Floats, end_points: Floats, reach: int
) -> tuple[Floats, NDArray[np.int32]]:
    """Return distances and flat numbers (h, w, N) of the most alike pixels of a window.

    Nothing is looked for where the end points (2, h, w) are NaN.
    """
    rows, columns, _ = own.shape
    distances = np.full((rows, columns, NEAREST), np.float32(1e9), np.float32)
    numbers = np.zeros((rows, columns, NEAREST), np.int32)
    for y in range(rows):
        for x in range(columns):
            if not np.isnan(end_points[0, y, x]):
                left, top = int(np.rint(end_points[0, y, x])), int(np.rint(end_points[1, y, x]))
                _search_window(own[y, x], key, left, top, reach, distances[y, x], numbers[y, x])
    return distances, numbers


@njit(nogil=True, cache=True)
def _search_window(
    own: Floats,
    key: Floats,
    left: int,
    top: int,
    reach: int,
    distances: Floats,
    numbers: NDArray[np.int32],
) -> None:
    """Write distances and flat numbers (N,) of the most alike pixels around a place."""
    rows, columns, _ = key.shape
    worst = 0
    for row in range(max(top - reach, 0), min(top + reach + 1, rows)):
        for column in range(max(left - reach, 0), min(left + reach + 1, columns)):
            apart = _distance_below(own, key[row, column], distances[worst])
            if apart < distances[worst]:
                distances[worst], numbers[worst] = apart, row * columns + column
                worst = int(np.argmax(distances))


@njit(nogil=True, cache=True)
def _distance_below(own: Floats, other: Floats, most: np.float32) -> np.float32:
    """Return the squared distance of two descriptors, or a part of it that is no less than `most`.

    Colours come first in a descriptor: most candidates are left after them.
    """
    total = np.float32(0)
    for part in range(len(own)):
        apart = own[part] - other[part]
        total += apart * apart
        if total >= most:
            break
    return total
