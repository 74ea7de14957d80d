"""Objects of a frame: what the picture shows of each, small, so that they can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.uint16]

COMPARED_LINES = 160  # of the pictures that are compared
COLOUR_BINS = (6, 8, 8)  # of lightness, a and b


class ObjectView(NamedTuple):
    """What one frame shows of one object, on the small picture.

    Attributes
    ----------
    label : int
        Its number in the frame's mask.
    category : int
        Only objects of one category can be the same; 0 where nothing is known.
    area : int
        Pixels.
    centre : ndarray, (2,)
        Row and column.
    colours : ndarray, (N,)
        Histogram in Lab, sums to 1.
    """

    label: int
    category: int
    area: int
    centre: NDArray[np.float64]
    colours: NDArray[np.float32]


def describe_objects(
    picture: NDArray[np.uint8], labels: Labels, categories: Mapping[int, int]
) -> list[ObjectView]:
    """Return the view of each object of a frame, in the order of their labels.

    Parameters
    ----------
    picture : ndarray, (H, W, 3) uint8
        RGB.
    labels : ndarray, (H, W) uint16
    categories : mapping of label to category
    """
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.int32)
    bins = np.zeros(labels.shape, np.int32)
    for channel, count in enumerate(COLOUR_BINS):
        bins = bins * count + lab[..., channel] * count // 256
    views = []
    for label in np.flatnonzero(np.bincount(labels.ravel())).tolist():
        if label == 0:
            continue
        inside = labels == label
        histogram = np.bincount(bins[inside], minlength=int(np.prod(COLOUR_BINS)))
        colours = (histogram / histogram.sum()).astype(np.float32)
        centre = np.argwhere(inside).mean(axis=0)
        area = int(inside.sum())
        views.append(ObjectView(label, categories.get(label, 0), area, centre, colours))
    return views


def number_changes(before: Labels, after: Labels) -> tuple[int, int]:
    """Return how many objects have another number in the next frame, and how many can be told.

    An object can be told where more than half of it and of its best match in the next frame, taken
    together, overlap.

    Parameters
    ----------
    before, after : ndarray, (H, W) uint16
        Labels of successive frames, 0 is background.

    Examples
    --------
    >>> a = np.array([[1, 1, 0, 2, 2]], np.uint16)
    >>> number_changes(a, a), number_changes(a, np.array([[2, 2, 0, 1, 1]], np.uint16))
    ((0, 2), (2, 2))
    """
    shared = np.zeros((int(before.max()) + 1, int(after.max()) + 1))
    np.add.at(shared, (before, after), 1)
    union = shared.sum(axis=1)[:, None] + shared.sum(axis=0)[None] - shared
    overlap = (shared / np.maximum(union, 1))[1:, 1:]
    if not overlap.size:
        return 0, 0
    known = overlap.max(axis=1) > 0.5
    other = overlap.argmax(axis=1) != np.arange(len(overlap))
    return int((known & other).sum()), int(known.sum())


def shrink_picture(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) at no more than `COMPARED_LINES` lines."""
    rows, columns = picture.shape[:2]
    if rows <= COMPARED_LINES:
        return picture
    size = (max(round(columns * COMPARED_LINES / rows), 1), COMPARED_LINES)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def shrink_labels(labels: Labels, size: tuple[int, int]) -> Labels:
    """Return labels at another size; an object too small for it keeps one pixel."""
    if labels.shape == size:
        return labels
    small = np.asarray(cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST), np.uint16)
    present = np.flatnonzero(np.bincount(labels.ravel()))
    for label in np.setdiff1d(present, small).tolist():
        row, column = np.argwhere(labels == label)[0]
        small[row * size[0] // labels.shape[0], column * size[1] // labels.shape[1]] = label
    return small
