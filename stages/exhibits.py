"""What a report shows of a clip, gathered in one pass over its frames in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.io.film import write_jpeg
from stages.ops.pictures import label_colours
from stages.ops.shapes import bind_shapes

Picture = NDArray[np.uint8]
Labels = NDArray[np.uint8]

ROWS = 7  # that a slice of time can be taken along, evenly spread
LONGEST_SLICE = 900  # frames; of longer clips every n-th
MOST_POINTS = 2000  # of a curve; of longer clips every n-th
STRIP = 5  # frames of a strip: two before, the moment, two after
STRIP_WIDTH = 200
THUMB_WIDTH = 240
VEIL = 0.55  # opacity of masks in strips and slices


class Panes:
    """Makes the three panes of a frame: the picture, and the masks before and after on black.

    Parameters
    ----------
    size : (rows, columns)
        Of the frames.
    colours : ndarray, shape (256, 3), uint8
        Of the labels.
    """

    def __init__(self, size: tuple[int, int], colours: NDArray[np.uint8]) -> None:
        self.colours = colours
        self.height, self.width = (max(2 * round(side / 4), 2) for side in size)

    def of(self, picture: Picture, before: Labels, after: Labels) -> list[Picture]:
        """Return the panes at half size, sides even: three of (height, width, 3)."""
        bind_shapes(picture=(picture, "H W 3"), before=(before, "H W"), after=(after, "H W"))
        size = self.width, self.height
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        masks = [
            label_colours(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), self.colours)
            for labels in (before, after)
        ]
        return [small, *masks]


class Strips:
    """A few frames around each of some moments, masks before above those after.

    Parameters
    ----------
    moments : sequence of int
        Frames.
    folder : Path
    """

    def __init__(self, moments: Sequence[int], folder: Path) -> None:
        self._waiting = sorted(moments)
        self._folder = folder
        self._held: deque[tuple[int, Picture]] = deque(maxlen=STRIP)
        self.names: dict[int, str] = {}

    def add(self, number: int, panes: list[Picture]) -> None:
        """Add the next frame."""
        if not self._waiting:
            return
        self._held.append((number, _small(panes)))
        if number >= self._waiting[0] + STRIP // 2:
            self._write(self._waiting.pop(0))

    def finish(self) -> None:
        """Write the moments too near to the end to have had all their frames."""
        while self._waiting:
            self._write(self._waiting.pop(0))

    def _write(self, moment: int) -> None:
        first = moment - STRIP // 2
        shown = [picture for number, picture in self._held if number >= first]
        name = f"strip-{moment:06d}.jpg"
        write_jpeg(self._folder / name, np.concatenate(shown, axis=1))
        self.names[moment] = name


def _small(panes: list[Picture]) -> Picture:
    """Return the masks laid over the picture, before above after, with a line between frames."""
    height = max(round(STRIP_WIDTH * panes[0].shape[0] / panes[0].shape[1]), 1)
    size = STRIP_WIDTH, height
    parts = [cv2.resize(pane, size, interpolation=cv2.INTER_AREA) for pane in panes]
    over = [veiled(parts[0], mask) for mask in parts[1:]]
    return np.pad(np.concatenate(over), ((0, 0), (0, 2), (0, 0)))


def veiled(picture: Picture, mask: Picture) -> Picture:
    """Return a picture with coloured masks on black laid over it."""
    return np.asarray(cv2.addWeighted(picture, 1.0, mask, VEIL, 0), np.uint8)


class Slices:
    """The same row of every frame, one below the other: time runs down, flicker shows as teeth.

    Parameters
    ----------
    frames : int
    panes : Panes
    """

    def __init__(self, frames: int, panes: Panes) -> None:
        self.every = -(-frames // LONGEST_SLICE)
        self.rows = [round((k + 1) * panes.height / (ROWS + 1)) for k in range(ROWS)]
        length = -(-frames // self.every)
        self._pictures = np.zeros((2, ROWS, length, panes.width, 3), np.uint8)

    def add(self, number: int, panes: list[Picture]) -> None:
        """Add the next frame."""
        if number % self.every == 0:
            at = number // self.every
            for which in (0, 1):
                row = veiled(panes[0][self.rows], panes[1 + which][self.rows])
                self._pictures[which, :, at] = row

    def write(self, folder: Path) -> dict[str, list[str]]:
        """Write the pictures; return their names, before and after, row by row."""
        names: dict[str, list[str]] = {"before": [], "after": []}
        for system, pictures in zip(names, self._pictures, strict=True):
            for k, picture in enumerate(pictures):
                names[system].append(f"slice-{system}-{k}.jpg")
                write_jpeg(folder / names[system][-1], picture)
        return names


class Areas:
    """How many pixels each class has, frame by frame.

    Parameters
    ----------
    frames, classes : int
    """

    def __init__(self, frames: int, classes: int) -> None:
        self._counts = np.zeros((2, classes, frames), np.int64)

    def add(self, number: int, before: Labels, after: Labels) -> None:
        """Add the next frame."""
        classes = self._counts.shape[1]
        for which, labels in enumerate((before, after)):
            self._counts[which, :, number] = np.bincount(labels.ravel(), minlength=classes + 1)[1:]

    def summary(self) -> list[dict[str, Any]]:
        """Return for each class its areas, thinned for long clips, and how much they jump.

        A jump is the change of the area from one frame to the next, by the mean of the two: the
        mean over frames, in [0, 2].
        """
        every = thinning(self._counts.shape[-1])
        out = []
        for c in range(self._counts.shape[1]):
            entry: dict[str, Any] = {}
            for system, counts in zip(("before", "after"), self._counts[:, c], strict=True):
                entry[system] = {
                    "area": counts[::every].tolist(),
                    "mean": float(counts.mean()),
                    "jump": _jump(counts),
                }
            out.append(entry)
        return out


def _jump(counts: NDArray[np.int64]) -> float:
    if len(counts) < 2:
        return 0.0
    change, both = np.abs(np.diff(counts)), counts[1:] + counts[:-1]
    return float(np.mean(2 * change / np.maximum(both, 1)))


def thinning(frames: int) -> int:
    """Return how many frames there are to a point of a curve."""
    return max(-(-frames // MOST_POINTS), 1)


def write_thumb(folder: Path, panes: list[Picture]) -> str:
    """Write a small picture of a frame, masks after laid over it; return its name."""
    height = max(round(THUMB_WIDTH * panes[0].shape[0] / panes[0].shape[1]), 1)
    over = veiled(panes[0], panes[2])
    small = cv2.resize(over, (THUMB_WIDTH, height), interpolation=cv2.INTER_AREA)
    write_jpeg(folder / "thumb.jpg", small)
    return "thumb.jpg"
