"""What all segmenters share: one picture in, soft masks of its size out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

RGB = tuple[float, float, float]
IMAGENET: tuple[RGB, RGB] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of RGB in [0, 1] that most networks were trained with."""


class Segmenter(ABC):
    """Turns one RGB picture (H, W, 3) uint8 into soft masks (C, H, W) float32.

    Attributes
    ----------
    class_ids : tuple of int
        Labels of the C foreground channels; the background is what they leave to 1.
    most : float
        Largest scale at which it can see a picture.
    class_names : dict of int to str
        Names of labels, where the model has them.
    notes : tuple of str
        How its output is read, under which licence it is, and so on.
    """

    class_ids: tuple[int, ...]
    most: float = math.inf
    class_names: Mapping[int, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()

    def __call__(self, frame: NDArray[np.uint8], *, scale: float = 1.0) -> NDArray[np.float32]:
        """Return the masks of one picture, at its size, as the network sees it at a scale.

        What the network gives at its own size is resized bilinearly, pixel centres aligned. Where
        the classes sum to more than 1, as independent sigmoids may, they are scaled to 1.

        Raises
        ------
        ShapeError
            If the picture is not (H, W, 3).
        InputError
            If the network does not give probabilities.
        """
        dims = bind_shapes(frame=(frame, "H W 3"))
        return at_most_one(resized(self.network_masks(frame, scale), dims["H"], dims["W"]))

    batch: int = 1
    """Pictures that it sees best at once."""

    def segment_all(self, frames: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Return the masks of several pictures of one size, each as `__call__` does."""
        return [self(frame) for frame in frames]

    reach: int = 0
    """Frames before a frame that it looks at."""

    def segment_after(
        self, frames: Sequence[NDArray[np.uint8]], first: int
    ) -> list[NDArray[np.float32]]:
        """Return the masks of ``frames[first:]``, which follow one another in a shot.

        Those before `first` are up to `reach` frames that it may look at.
        """
        return self.segment_all(frames[first:])

    @abstractmethod
    def network_masks(self, frame: NDArray[np.uint8], scale: float) -> NDArray[np.float32]:
        """Return the foreground's probabilities (C, h, w) at the network's own size.

        `scale` multiplies the size at which the network otherwise sees the picture.
        """


def at_most_one(masks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return masks (C, H, W) scaled to a sum of 1 where they sum to more."""
    return np.asarray(masks / np.maximum(masks.sum(axis=0), 1), np.float32)


def scaled(rows: int, columns: int, scale: float) -> tuple[int, int]:
    """Return rows and columns times a scale, at least 1."""
    return max(round(rows * scale), 1), max(round(columns * scale), 1)


def resized(masks: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Return masks (C, h, w) as (C, rows, columns), bilinear."""
    if masks.shape[1:] == (rows, columns):
        return masks
    size = (columns, rows)
    return np.stack([cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR) for mask in masks])


def fitted(frame: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) as (rows, columns, 3), areas averaged where it shrinks."""
    shrinks = rows <= frame.shape[0] and columns <= frame.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    out: NDArray[np.uint8] = cv2.resize(frame, (columns, rows), interpolation=how)
    return out


def normalised(image: NDArray[np.uint8], mean: RGB, std: RGB) -> NDArray[np.float32]:
    """Return (3, H, W): a picture's values in [0, 1], less the mean, over the deviation."""
    shift, scale = np.asarray(mean, np.float32), np.asarray(std, np.float32)
    values = (image.astype(np.float32) / 255 - shift) / scale
    return np.ascontiguousarray(values.transpose(2, 0, 1))
