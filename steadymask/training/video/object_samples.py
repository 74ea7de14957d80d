"""Samples of one object against all else for STCNN: generated scenes, or those of a label set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from stages.models.segmenters.spatiotemporal.settings import PAST
from stages.ops.ignored_label import IGNORE
from steadymask.training.loop import Batch
from steadymask.training.synthetic.materials import Picture, sample_photographs
from steadymask.training.synthetic.scenes import random_scene

HELD_OUT_EVERY = 4  # of the photographs, one so many is for held-out scenes alone


def scene_pictures(*, held_out: bool) -> list[Picture]:
    """Return the photographs of which scenes are made: those to train on, or the others."""
    pictures = enumerate(sample_photographs())
    return [picture for k, picture in pictures if (k % HELD_OUT_EVERY == 0) == held_out]


class GeneratedClips(Dataset[Batch]):
    """Scenes of moving layers, drawn by number; whatever lies before the back is the object.

    Parameters
    ----------
    pictures : sequence of ndarray, shape (H, W, 3), uint8
        Textures.
    numbers : range
        Of the samples; the same number with the same seed is the same sample.
    side : int
        Rows and columns, pixels.
    seed : int
    """

    def __init__(
        self, pictures: Sequence[Picture], *, numbers: range, side: int, seed: int
    ) -> None:
        self._pictures, self._numbers, self._side, self._seed = pictures, numbers, side, seed

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._numbers)

    def __getitem__(self, item: int) -> Batch:
        """Return `frames` (PAST + 1, 3, S, S) in [0, 1], the last first, `labels` (S, S) of it."""
        rng = np.random.default_rng((self._seed, self._numbers[item]))
        scene = random_scene(rng, self._pictures, size=self._side, frames=PAST + 1)
        pictures, tops = scene.render_frames()
        frames = np.stack(pictures[::-1]).transpose(0, 3, 1, 2).astype(np.float32) / 255
        return {
            "frames": torch.from_numpy(frames),
            "labels": torch.from_numpy((tops[-1] > 0).astype(np.int64)),
        }


class AsOneObject(Dataset[Batch]):
    """Samples in which all labels above 0 are one object; what is ignored stays so."""

    def __init__(self, samples: Dataset[Batch]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._samples)  # type: ignore[arg-type]

    def __getitem__(self, item: int) -> Batch:
        """Return a sample with `labels` 0, 1 and `IGNORE`."""
        sample = self._samples[item]
        labels = sample["labels"]
        merged = torch.where(labels == IGNORE, labels, (labels > 0).to(labels.dtype))
        return {"frames": sample["frames"], "labels": merged}
