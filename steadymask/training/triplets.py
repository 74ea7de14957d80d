"""What a student is trained on: a labelled frame with a frame before it and one after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from stages.models.segmenters.base import fitted
from stages.ops.ignored_label import IGNORE
from stages.ops.soft_masks import with_background
from stages.ops.visibility import visible
from stages.ops.warp import resize_flow
from steadymask.training.labelled import LabelledClips
from steadymask.training.loop import Batch
from steadymask.training.samples import Cut, cut_out
from steadymask.training.stored_library import SampleFrame

PAIRS = ((0, 1), (1, 0), (1, 2), (2, 1))
"""Frames of a triplet between which there is flow, in the order that samples hold it."""

ZOOM = 0.5, 2.0
GAIN, SHIFT = 0.2, 0.1  # of brightness
TURN, GROW, MOVE = np.radians(5), 0.1, 0.05  # radians, share of the size, share of the side


T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class View:
    """Which part of a triplet's frames is shown, and how.

    Attributes
    ----------
    cut : Cut
        Rows and columns, a square.
    side : int
        That it is resized to.
    mirrored : bool
    gain, shift : float
        Of brightness, the same for all three frames.
    """

    cut: Cut
    side: int
    mirrored: bool = False
    gain: float = 1.0
    shift: float = 0.0

    def frame(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return a frame (H, W, 3) as (3, side, side) in [0, 1]."""
        crop = fitted(np.ascontiguousarray(frame[self.cut]), self.side, self.side)
        lit = np.clip(crop * np.float32(self.gain / 255) + np.float32(self.shift), 0, 1)
        return self._turned_crop(np.moveaxis(lit.astype(np.float32), -1, 0))

    def labels(self, labels: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return labels (H, W) as (side, side)."""
        size = self.side, self.side
        crop = cv2.resize(labels[self.cut], size, interpolation=cv2.INTER_NEAREST_EXACT)
        return self._turned_crop(crop).astype(np.int64)

    def soft(self, mask: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return masks (H, W, C) as (C + 1, side, side), the background first."""
        size = self.side, self.side
        crop = cv2.resize(mask[self.cut], size, interpolation=cv2.INTER_AREA)
        crop = crop.reshape(*size, mask.shape[-1])
        return self._turned_crop(np.moveaxis(with_background(crop), -1, 0))

    def flow(self, flow: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return flow (2, H, W) as (2, side, side), in pixels of the view."""
        part = np.ascontiguousarray(flow[(slice(None), *self.cut)])
        crop = self._turned_crop(resize_flow(part, (self.side, self.side)))
        if self.mirrored:
            crop = np.stack([-crop[0], crop[1]])
        return crop

    def _turned_crop(self, values: NDArray[T]) -> NDArray[T]:
        return values[..., ::-1] if self.mirrored else values


class Triplets(Dataset[Batch]):
    """Three frames: one at a random distance before a labelled one, that, and one after it.

    Liu et al., "Efficient video segmentation models with per-frame inference", section IV-A. At a
    shot's end the end frame stands in. A sample holds `frames` (3, 3, S, S) in [0, 1]; `labels`
    (3, S, S) with 255 for ignored; the stabilised masks `soft` (3, C, S, S), background first;
    for each of `PAIRS` `flow` (4, 2, S, S) and `seen` (4, 1, S, S), the forward-backward check; and
    `move` (2, S, S), a random affine transform as a flow.

    Parameters
    ----------
    clips : LabelledClips
    places : sequence of SampleFrame
        The labelled frames.
    numbers : range
        One for each sample; the same number gives the same sample.
    side : int
        S, pixels.
    reach : int
        Frames between neighbours, at most; beyond the library's flow it is put together.
    seed : int
    varied : bool
        Zoom, mirror and light samples at random; else only cut them out.
    """

    def __init__(
        self,
        clips: LabelledClips,
        places: Sequence[SampleFrame],
        numbers: range,
        *,
        side: int,
        reach: int,
        seed: int,
        varied: bool,
    ) -> None:
        self._clips, self._places, self._numbers = clips, places, numbers
        self._side, self._reach, self._seed, self._varied = side, reach, seed, varied

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Batch:
        """Return a sample."""
        rng = np.random.default_rng((self._seed, self._numbers[index]))
        sample = self._places[int(rng.integers(len(self._places)))]
        clips, middle, (first, last) = self._clips, sample.frame, sample.shot
        steps = rng.integers(1, self._reach + 1, 2)
        times = (max(middle - int(steps[0]), first), middle, min(middle + int(steps[1]), last - 1))
        labels = [clips.labels(sample, t) for t in times]
        view = self._cut_view(labels[1], rng)
        flow = [view.flow(clips.flow(sample, times[i], times[j])) for i, j in PAIRS]
        there_and_back = [(flow[k], flow[PAIRS.index((j, i))]) for k, (i, j) in enumerate(PAIRS)]
        out = {
            "frames": np.stack([view.frame(clips.frame(sample, t)) for t in times]),
            "labels": np.stack([view.labels(frame_labels) for frame_labels in labels]),
            "soft": np.stack([view.soft(clips.soft(sample, t)) for t in times]),
            "flow": np.stack(flow),
            "seen": np.stack([visible(there, back)[None] for there, back in there_and_back]),
            "move": random_move(rng, self._side),
        }
        return {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in out.items()}

    def _cut_view(self, labels: NDArray[np.uint8], rng: np.random.Generator) -> View:
        zoom = float(np.exp(rng.uniform(*np.log(ZOOM)))) if self._varied else 1.0
        size = min(max(round(self._side / zoom), 1), *labels.shape)
        something = ((labels > 0) & (labels < IGNORE))[..., None]
        cut = cut_out(something, rng, size)
        if not self._varied:
            return View(cut, self._side)
        gain, shift = 1 + rng.uniform(-GAIN, GAIN), rng.uniform(-SHIFT, SHIFT)
        return View(cut, self._side, bool(rng.random() < 0.5), gain, shift)


def random_move(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Return a random affine transform of a square picture as a flow.

    Parameters
    ----------
    rng : Generator
    side : int
        Pixels.

    Returns
    -------
    ndarray, shape (2, side, side), float32
        From a pixel of the transformed picture to where it is in the picture itself; up to 5
        degrees, a tenth larger or smaller along each axis, and a twentieth of the side away.
    """
    angle = rng.uniform(-TURN, TURN)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag(1 + rng.uniform(-GROW, GROW, 2))
    away = rng.uniform(-MOVE, MOVE, 2) * side
    middle = (side - 1) / 2
    y, x = np.mgrid[:side, :side] - middle
    places = np.stack([x, y])
    moved = np.einsum("ij,jhw->ihw", matrix, places) + away[:, None, None]
    return np.asarray(moved - places, np.float32)
