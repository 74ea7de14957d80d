"""Samples of a label set for video networks: a labelled frame and those it looks back at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from pipeline.errors import ConfigError, InputError
from stages.media.label_sets.read import (
    read_label_picture,
    read_label_set,
    read_picture,
)
from stages.models.weights import file_digest
from stages.ops.ignored_label import IGNORE
from steadymask.training.loop import Batch

HELD_OUT_SHARE = 0.2  # of a clip's labelled frames, its last, where the set holds out no clip
LIGHT = 0.2  # by which a sample is lit otherwise, at most


@dataclass(frozen=True)
class LabelledFrame:
    """A frame with labels: the clip's place in the set, and the frame's number."""

    clip: int
    number: int


class LabelSetFrames:
    """Random access to the pictures and labels of a set.

    Parameters
    ----------
    root : Path
        Of a set as `stages.media.label_sets.read.read_label_set` reads.
    ignored : sequence of int
        Labels that count for nothing, as 255 does.
    classes : sequence of int
        Labels that are to be learnt; all that occur in the frames to train on if empty.

    Raises
    ------
    InputError
        If the set cannot be read, or has no class.
    ConfigError
        If one of `classes` never occurs in the frames to train on.
    """

    def __init__(
        self, root: Path, *, ignored: Sequence[int] = (), classes: Sequence[int] = ()
    ) -> None:
        self.root, self.clips = root, read_label_set(root)
        self._ignored = {IGNORE, *ignored}
        self.train, self.held_out = self._split_frames()
        occurring = self._labels_of(self.train)
        self.class_ids = tuple(classes) or tuple(sorted(occurring))
        self.warnings = self._check_labels(occurring)

    @property
    def task(self) -> dict[str, Any]:
        """All that the samples depend on, as JSON values."""
        paths = {p for c in self.clips for p in c.pictures.values()}
        for labels in (labels for clip in self.clips for labels in clip.labels.values()):
            paths.add(labels if isinstance(labels, Path) else labels.file)
        return {
            "files": {
                str(path.relative_to(self.root)): file_digest(path) for path in sorted(paths)
            },
            "held_out": [clip.held_out for clip in self.clips],
            "ignored": sorted(self._ignored),
            "classes": list(self.class_ids),
        }

    def picture(self, frame: LabelledFrame, back: int = 0) -> NDArray[np.uint8]:
        """Return the picture (H, W, 3) `back` frames before a frame, see `latest_picture`."""
        return read_picture(self.clips[frame.clip].latest_picture(frame.number - back))

    def labels(self, frame: LabelledFrame, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return labels (H, W), numbered as the classes from 1 on, `IGNORE` where ignored."""
        values = read_label_picture(self.clips[frame.clip].labels[frame.number], size)
        numbers = np.zeros(1 << 16, np.uint8)
        numbers[list(self._ignored)] = IGNORE
        for number, label in enumerate(self.class_ids, start=1):
            numbers[label] = number
        return numbers[values]

    def _split_frames(self) -> tuple[list[LabelledFrame], list[LabelledFrame]]:
        """Return the frames to train on and those held out: clips, or each clip's last frames."""
        train: list[LabelledFrame] = []
        held_out: list[LabelledFrame] = []
        whole_clips = any(clip.held_out for clip in self.clips)
        for k, clip in enumerate(self.clips):
            frames = [LabelledFrame(k, number) for number in sorted(clip.labels)]
            few = 0 if whole_clips else max(round(len(frames) * HELD_OUT_SHARE), 1)
            if whole_clips:
                (held_out if clip.held_out else train).extend(frames)
            else:
                train += frames[: len(frames) - few]
                held_out += frames[len(frames) - few :]
        if not train:
            raise InputError(
                f"{self.root}: expected two labelled frames or more, and a clip to train on, got "
                f"{len(held_out)} frames, all held out: label more, or gather them with --val 0"
            )
        return train, held_out

    def _labels_of(self, frames: Sequence[LabelledFrame]) -> set[int]:
        occurring: set[int] = set()
        for frame in frames:
            path = self.clips[frame.clip].labels[frame.number]
            size = self.picture(frame).shape
            values = read_label_picture(path, (size[0], size[1]))
            occurring |= set(np.unique(values).tolist())
        return occurring - self._ignored - {0}

    def _check_labels(self, occurring: set[int]) -> list[str]:
        """Refuse classes that cannot be learnt; return what the user should know of the others."""
        if missing := sorted(set(self.class_ids) - occurring):
            raise ConfigError(
                f"--classes {missing[0]}: expected labels that occur in the frames to train on of "
                f"{self.root}, {sorted(occurring)}, got one that never does: leave it out"
            )
        if not self.class_ids or max(self.class_ids) > IGNORE - 1:
            raise InputError(
                f"{self.root}: expected labels 1 to {IGNORE - 1} in the frames to train on, got "
                f"{list(self.class_ids)}"
            )
        unseen = sorted(self._labels_of(self.held_out) - occurring)
        if not unseen:
            return []
        return [
            f"labels {unseen} occur in held-out frames alone: they are not learnt and count there "
            "as background"
        ]


class ClipSamples(Dataset[Batch]):
    """Crops of labelled frames with their support frames, drawn by number.

    Parameters
    ----------
    frames : LabelSetFrames
    places : sequence of LabelledFrame
        To draw from.
    numbers : range
        Of the samples; the same number with the same seed is the same sample.
    side : int
        Of a crop, pixels; less where a picture is smaller.
    dilations : sequence of int
        Frames back to each support frame.
    seed : int
    varied : bool
        Crop, mirror and light at random; otherwise crops are from the middle.
    """

    def __init__(
        self, frames: LabelSetFrames, places: Sequence[LabelledFrame], *, numbers: range,
        side: int, dilations: Sequence[int], seed: int, varied: bool,
    ) -> None:  # fmt: skip
        self._frames, self._places, self._numbers = frames, places, numbers
        self._side, self._dilations = side, dilations
        self._seed, self._varied = seed, varied

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._numbers)

    def __getitem__(self, item: int) -> Batch:
        """Return `frames` (N + 1, 3, S, S) in [0, 1] and `labels` (S, S) of the first."""
        rng = np.random.default_rng((self._seed, self._numbers[item]))
        drawn = int(rng.integers(len(self._places))) if self._varied else self._numbers[item]
        chosen = self._places[drawn % len(self._places)]
        pictures = [self._frames.picture(chosen, back) for back in (0, *self._dilations)]
        size = pictures[0].shape[:2]
        labels = self._frames.labels(chosen, (size[0], size[1]))
        if any(picture.shape != pictures[0].shape for picture in pictures):
            clip = self._frames.clips[chosen.clip].name
            raise InputError(f"{clip}: expected pictures of one size {size}, got several")
        window, flip = self._drawn_window(size, rng)
        stack = np.stack([picture[window] for picture in pictures]).astype(np.float32) / 255
        cropped = labels[window]
        if flip:
            stack, cropped = stack[:, :, ::-1], cropped[:, ::-1]
        if self._varied:
            stack = np.clip(stack * rng.uniform(1 - LIGHT, 1 + LIGHT), 0, 1).astype(np.float32)
        frames = _padded(np.ascontiguousarray(stack.transpose(0, 3, 1, 2)), self._side, 0)
        wanted = _padded(np.ascontiguousarray(cropped), self._side, IGNORE)
        return {
            "frames": torch.from_numpy(frames),
            "labels": torch.from_numpy(wanted.astype(np.int64)),
        }

    def _drawn_window(
        self, size: Sequence[int], rng: np.random.Generator
    ) -> tuple[tuple[slice, slice], bool]:
        """Return rows and columns of the crop, and whether it is mirrored."""
        starts = [max(length - self._side, 0) for length in size]
        if self._varied:
            starts = [int(rng.integers(start + 1)) for start in starts]
        else:
            starts = [start // 2 for start in starts]
        rows, columns = (slice(start, start + self._side) for start in starts)
        return (rows, columns), self._varied and bool(rng.integers(2))


def _padded(values: NDArray[Any], side: int, value: int) -> NDArray[Any]:
    """Return an array (..., H, W) with rows and columns of `value` added up to `side`."""
    missing = [(0, 0)] * (values.ndim - 2) + [(0, side - length) for length in values.shape[-2:]]
    return np.pad(values, missing, constant_values=value)
