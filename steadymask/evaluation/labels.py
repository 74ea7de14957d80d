"""Label files of one clip, read so that all systems and the truth mean the same by a number."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.masks.folder import read_png
from stages.ops.ignored_label import IGNORE

Task = Literal["objects", "classes", "tracks"]

MOST_OBJECTS = 254
MOST_GREYS = 64  # values of 8-bit grey masks; with more they are soft, not labels


class LabelSet:
    """The labels of one system, or of the truth, in one clip.

    Parameters
    ----------
    files : mapping
        Label files by frame name.
    void : collection of int
        Labels that mean the same as 255: to be ignored.
    numbered : bool
        Whether 255 is to be ignored also where no label but 0 occurs beside it, as in VSPW.
    """

    def __init__(
        self, files: Mapping[str, Path], void: Collection[int] = (), *, numbered: bool = False
    ) -> None:
        self.files, self.void = files, [IGNORE, *void]
        self.found, grey = set[int](), False
        for path in files.values():
            raw = read_png(path)
            self.found |= set(np.unique(raw.values).tolist())
            grey = grey or (raw.palette is None and not raw.labels_only)
        if grey and len(self.found) > MOST_GREYS and max(self.found) <= IGNORE:
            first = next(iter(files.values()))
            raise InputError(
                f"{first}: expected labels, got {len(self.found)} grey values, as of soft masks: "
                "give hard labels"
            )
        self.binary = not numbered and (self.found == {0, IGNORE} or self.found == {IGNORE})

    def objects(self) -> set[int]:
        """Return the labels that are neither background nor to be ignored."""
        return {IGNORE} if self.binary else self.found - {0, *self.void}


class Reader:
    """Reads label files as (H, W) uint8: 0 background, 255 to be ignored.

    Parameters
    ----------
    sets : iterable of LabelSet
        All that are to be compared.
    task : {"objects", "classes", "tracks"}
        Objects are numbered 1, 2, … over all sets, also for tracks; classes keep theirs.
    union : bool
        Take all objects for one.
    """

    def __init__(self, sets: Iterable[LabelSet], task: Task, *, union: bool) -> None:
        labels = sorted(set().union(*(each.objects() for each in sets if not each.binary)))
        if task != "classes" and not union and len(labels) > MOST_OBJECTS:
            raise InputError(f"expected {MOST_OBJECTS} objects at most, got {len(labels)}")
        if task == "classes" and labels and labels[-1] > IGNORE:
            raise InputError(f"expected classes 0-254, got label {labels[-1]}")
        table = np.zeros(65536, np.uint8)
        for number, label in enumerate(labels, start=1):
            table[label] = label if task == "classes" else 1 if union else number
        self._table, self._task = table, task

    def read(
        self, labels: LabelSet, frame: str, size: tuple[int, int], *, truth: bool
    ) -> NDArray[np.uint8]:
        """Return the labels of a frame.

        Raises
        ------
        InputError
            If the file is not of the frame's size.
        """
        path = labels.files[frame]
        values = read_png(path).values
        if values.shape != size:
            raise InputError(
                f"{path}: expected {size[1]} x {size[0]} as the frame, got "
                f"{values.shape[1]} x {values.shape[0]}"
            )
        if labels.binary:
            return (values > 0).astype(np.uint8)
        out: NDArray[np.uint8] = self._table[values]
        if truth or self._task == "classes":
            out[np.isin(values, labels.void)] = IGNORE
        return out

    def number(self, label: int) -> int:
        """Return the number that a label of the files is read as."""
        return int(self._table[label]) if label != IGNORE else 1
