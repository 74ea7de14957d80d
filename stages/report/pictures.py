"""What a report shows of a clip, gathered in one pass over its frames in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.arrays import offsets
from stages.media.results.film import write_jpeg
from stages.ops.fixed_point import unpack_flow
from stages.ops.pictures import flow_colours, label_colours
from stages.ops.shapes import bind_shapes

Picture = NDArray[np.uint8]
Labels = NDArray[np.uint8]

ROWS = 7  # that a slice of time can be taken along, evenly spread
LONGEST_SLICE = 900  # frames; of longer clips every n-th
STRIP = 5  # frames of a strip: two before, the moment, two after
STRIP_WIDTH = 200
THUMB_WIDTH = 240
VEIL = 0.55  # opacity of masks in strips and slices
HIDDEN, VISIBLE = np.uint8(40), np.uint8(255)
LEAST_MOTION = 0.5  # pixels that have full colour at least, so that noise does not glow


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
        small = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)  # at half: the mean of 4
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
        if not self._waiting or number < self._waiting[0] - STRIP // 2:
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
        last = panes.height - 1  # of tiny pictures several slices are of the same row
        self.rows = [min(round((k + 1) * panes.height / (ROWS + 1)), last) for k in range(ROWS)]
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


def write_thumb(folder: Path, panes: list[Picture]) -> str:
    """Write a small picture of a frame, masks after laid over it; return its name."""
    height = max(round(THUMB_WIDTH * panes[0].shape[0] / panes[0].shape[1]), 1)
    over = veiled(panes[0], panes[2])
    small = cv2.resize(over, (THUMB_WIDTH, height), interpolation=cv2.INTER_AREA)
    write_jpeg(folder / "thumb.jpg", small)
    return "thumb.jpg"


def chosen_pairs(
    worst: Sequence[int], frames: int, shots: Sequence[Sequence[int]], *, count: int
) -> list[int]:
    """Return frames to show the flow of: by turns the worst and evenly spread ones, rising.

    The last frame of a shot has no next one and is passed over.
    """
    last = {stop - 1 for _, stop in shots}
    even = np.linspace(0, frames - 1, count + 2)[1:-1].round().astype(int).tolist()
    mixed = [t for pair in zip(worst, even, strict=False) for t in pair]
    wanted = [t for t in dict.fromkeys([*mixed, *even, *worst]) if t not in last]
    return sorted(wanted[:count])


def write_flows(
    folder: Path,
    frames: Sequence[int],
    flows: Iterable[NDArray[np.int16]],
    seen: Iterable[NDArray[np.bool_]],
    *,
    radius: int,
) -> list[dict[str, Any]]:
    """Write flow to the next frame, and what that frame shows too; return what was written.

    Parameters
    ----------
    folder : Path
    frames : sequence of int
    flows, seen : iterables
        Of those frames, ``flow.flow`` and ``visibility.seen``.
    radius : int
        Frames to either side that they hold.
    """
    following, found = offsets(radius).index(1), []
    for t, flow, visible in zip(frames, flows, seen, strict=True):
        motion = unpack_flow(flow[following])
        strongest = max(float(np.percentile(np.hypot(motion[0], motion[1]), 99)), LEAST_MOTION)
        grey = np.where(visible[following][..., None], VISIBLE, HIDDEN).repeat(3, axis=-1)
        names = {"flow": f"flow-{t:06d}.jpg", "seen": f"seen-{t:06d}.jpg"}
        write_jpeg(folder / names["flow"], flow_colours(motion, strongest=strongest))
        write_jpeg(folder / names["seen"], grey)
        found.append({"frame": t, **names, "strongest": round(strongest, 1)})
    return found
