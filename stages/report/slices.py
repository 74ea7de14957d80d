"""Slices of time: a row of every frame, as it is and aligned to one frame by the flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.arrays import neighbour_offsets
from stages.media.results.film import write_jpeg
from stages.ops.drawn_pictures import lay_over
from stages.ops.followed_points import FollowedPoints, follow_points

Picture = NDArray[np.uint8]
Fields = Callable[[Iterable[int]], Iterator[tuple[NDArray[np.int16], NDArray[np.bool_]]]]
"""Gives flow and visibility of frames, in whatever order they are asked for."""

ROWS = 7  # that a slice of time can be taken along, evenly spread
LONGEST_SLICE = 900  # frames; of longer clips every n-th
STEPS = 8  # of a pixel, in which places are kept
HATCH, HATCHED = 6, 3  # pixels from stripe to stripe, and of a stripe
OCCLUDED = np.array([214, 40, 40], np.int32)  # the red of the paper's figure 5
SYSTEMS = ("before", "after")


class Grid(NamedTuple):
    """Which frames and rows slices show: every n-th frame of a clip, of panes of a size."""

    frames: int
    height: int
    width: int

    @property
    def every(self) -> int:
        """Frames from one that is shown to the next."""
        return -(-self.frames // LONGEST_SLICE)

    @property
    def length(self) -> int:
        """Frames that are shown."""
        return -(-self.frames // self.every)

    @property
    def rows(self) -> list[int]:
        """Rows of a pane; of tiny panes several slices are of the same."""
        last = self.height - 1
        return [min(round((k + 1) * self.height / (ROWS + 1)), last) for k in range(ROWS)]


class AlignedRows(NamedTuple):
    """Where the rows of each shot's middle frame lie in its other frames.

    Attributes
    ----------
    places : ndarray, shape (length, 2, ROWS, width), int16
        Of the frames that are shown: x before y, in eighths of a pane's pixel.
    hidden : ndarray, shape (length, ROWS, width), bool
        The frame does not show that point.
    """

    places: NDArray[np.int16]
    hidden: NDArray[np.bool_]


def align_rows(
    grid: Grid, shots: Sequence[Sequence[int]], fields: Fields, *, radius: int
) -> AlignedRows:
    """Return where the rows of each shot's middle frame lie in the shot, following the flow.

    After figure 5 of Azulay et al., "Temporally stable video segmentation without video
    annotations", which aligns a clip to its middle frame; see `follow_points` for what is hidden.

    Parameters
    ----------
    grid : Grid
    shots : sequence of (start, stop)
    fields : callable
    radius : int
        Of the fields.
    """
    places = np.zeros((grid.length, 2, ROWS, grid.width), np.int16)
    hidden = np.zeros((grid.length, ROWS, grid.width), np.bool_)
    for start, stop in shots:
        middle = (start + stop) // 2
        for direction, frames in ((1, range(middle, stop)), (-1, range(middle, start - 1, -1))):
            rows = _follow_rows(grid, fields(frames), direction, neighbour_offsets(radius))
            for t, (points, lost) in zip(frames, rows, strict=True):
                if t % grid.every == 0:
                    eighths = np.rint(points * STEPS).clip(-(2**15), 2**15 - 1)
                    places[t // grid.every], hidden[t // grid.every] = eighths, lost
    return AlignedRows(places, hidden)


def _follow_rows(
    grid: Grid,
    fields: Iterator[tuple[NDArray[np.int16], NDArray[np.bool_]]],
    direction: int,
    offsets: Sequence[int],
) -> Iterator[FollowedPoints]:
    """Yield the rows' places in pixels of a pane, frame by frame."""
    x, y = np.meshgrid(np.arange(grid.width), np.array(grid.rows))
    first = next(fields)
    rows, columns = first[0].shape[-2:]
    sizes = np.array([[columns, rows], [grid.width, grid.height]], np.float32)
    share, half = (sizes[0] / sizes[1]).reshape(2, 1, 1), np.float32(0.5)
    start = (np.stack([x, y]).astype(np.float32) + half) * share - half
    followed = follow_points(start, chain([first], fields), direction=direction, offsets=offsets)
    for points, hidden in followed:
        yield FollowedPoints((points + half) / share - half, hidden)


class Slices:
    """A row of every frame, one below the other: time runs down, flicker shows as teeth.

    Each is made twice: of the same row of every frame, and of the row of the shot's middle frame
    wherever it has gone, what is hidden striped in red.

    Parameters
    ----------
    grid : Grid
    aligned : AlignedRows
    """

    def __init__(self, grid: Grid, aligned: AlignedRows) -> None:
        self._grid, self._aligned = grid, aligned
        self._pictures = np.zeros((2, 2, ROWS, grid.length, grid.width, 3), np.uint8)

    def add(self, number: int, panes: list[Picture]) -> None:
        """Add the next frame: its picture and the layers before and after."""
        if number % self._grid.every:
            return
        at, rows = number // self._grid.every, self._grid.rows
        x, y = self._aligned.places[at].astype(np.float32) / STEPS
        moved = [
            cv2.remap(pane, x, y, kind, borderMode=cv2.BORDER_REPLICATE)
            for pane, kind in zip(
                panes, (cv2.INTER_LINEAR, cv2.INTER_NEAREST, cv2.INTER_NEAREST), strict=True
            )
        ]
        marked = self._aligned.hidden[at] & _stripes(at, self._grid.width)
        for which in (0, 1):
            self._pictures[0, which, :, at] = lay_over(panes[0][rows], panes[1 + which][rows])
            line = lay_over(moved[0], moved[1 + which])
            line[marked] = (line[marked] + 3 * OCCLUDED) // 4
            self._pictures[1, which, :, at] = line

    def write(self, folder: Path) -> dict[str, Any]:
        """Write the pictures; return what there is, names before and after row by row."""
        plain, aligned = (
            {
                system: [
                    _write_slice(folder, f"slice-{prefix}{system}-{k}.jpg", picture)
                    for k, picture in enumerate(pictures)
                ]
                for system, pictures in zip(SYSTEMS, both, strict=True)
            }
            for prefix, both in zip(("", "aligned-"), self._pictures, strict=True)
        )
        return {"every": self._grid.every, "rows": self._grid.rows, **plain, "aligned": aligned}


def _stripes(line: int, width: int) -> NDArray[np.bool_]:
    """Return which pixels of a line stripes cross that run from top right to bottom left."""
    return np.asarray((np.arange(width) + line) % HATCH < HATCHED)


def _write_slice(folder: Path, name: str, picture: Picture) -> str:
    write_jpeg(folder / name, picture)
    return name
