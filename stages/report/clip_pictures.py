"""What a report shows of a clip, gathered in one pass over its frames in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.arrays import neighbour_offsets
from stages.media.results.film import write_jpeg
from stages.ops.drawn_pictures import flow_colours, lay_over, mask_layer
from stages.ops.fixed_point import unpack_flow
from stages.ops.shapes import bind_shapes

Picture = NDArray[np.uint8]
Labels = NDArray[np.uint8]

STRIP = 5  # frames of a strip: two before, the moment, two after
STRIP_SIDE = 180  # short side of its pictures
THUMB_WIDTH = 240
HIDDEN, VISIBLE = np.uint8(40), np.uint8(255)
LEAST_MOTION = 0.5  # pixels that have full colour at least, so that noise does not glow


class Panes:
    """Makes the panes of a frame: the picture, and layers of the masks before and after.

    Parameters
    ----------
    size : (rows, columns)
        Of the frames.
    colours : ndarray, shape (256, 3), uint8
        Of the labels.
    side : int
        Longest short side of a pane, pixels; frames are never enlarged.
    """

    def __init__(self, size: tuple[int, int], colours: NDArray[np.uint8], *, side: int) -> None:
        self.colours = colours
        share = min(side / min(size), 1.0)
        self.height, self.width = (max(2 * round(share * length / 2), 2) for length in size)

    def of(self, picture: Picture, before: Labels, after: Labels) -> list[Picture]:
        """Return the panes, sides even: three of (height, width, 3); see `mask_layer`."""
        bind_shapes(picture=(picture, "H W 3"), before=(before, "H W"), after=(after, "H W"))
        size = self.width, self.height
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        layers = [
            mask_layer(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), self.colours)
            for labels in (before, after)
        ]
        return [small, *layers]


class Strips:
    """A few frames around each of some moments, masks before above those after.

    Parameters
    ----------
    moments : sequence of int
        Frames.
    folder : Path
    panes : Panes
        As large as the pictures of a strip.
    """

    def __init__(self, moments: Sequence[int], folder: Path, panes: Panes) -> None:
        self._waiting = sorted(moments)
        self._folder, self._panes = folder, panes
        self._recent: deque[tuple[int, Picture]] = deque(maxlen=STRIP)
        self.names: dict[int, str] = {}

    def add(self, number: int, picture: Picture, before: Labels, after: Labels) -> None:
        """Add the next frame."""
        if not self._waiting or number < self._waiting[0] - STRIP // 2:
            return
        small, *layers = self._panes.of(picture, before, after)
        both = np.concatenate([lay_over(small, layer) for layer in layers])
        self._recent.append((number, np.pad(both, ((0, 0), (0, 2), (0, 0)))))
        if number >= self._waiting[0] + STRIP // 2:
            self._write_picture(self._waiting.pop(0))

    def finish(self) -> None:
        """Write the moments too near to the end to have had all their frames."""
        while self._waiting:
            self._write_picture(self._waiting.pop(0))

    def _write_picture(self, moment: int) -> None:
        first = moment - STRIP // 2
        shown = [picture for number, picture in self._recent if number >= first]
        name = f"strip-{moment:06d}.jpg"
        write_jpeg(self._folder / name, np.concatenate(shown, axis=1))
        self.names[moment] = name


def write_thumb(folder: Path, panes: list[Picture]) -> str:
    """Write a small picture of a frame, masks after laid over it; return its name."""
    height = max(round(THUMB_WIDTH * panes[0].shape[0] / panes[0].shape[1]), 1)
    over = lay_over(panes[0], panes[2])
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
    visible_pixels: Iterable[NDArray[np.bool_]],
    *,
    radius: int,
) -> list[dict[str, Any]]:
    """Write flow to the next frame, and what that frame shows too; return what was written.

    Parameters
    ----------
    folder : Path
    frames : sequence of int
    flows, visible_pixels : iterables
        Of those frames, ``flow.flow`` and ``visibility.seen``.
    radius : int
        Frames to either side that they hold.
    """
    following, written = neighbour_offsets(radius).index(1), []
    for t, flow, visible in zip(frames, flows, visible_pixels, strict=True):
        motion = unpack_flow(flow[following])
        strongest = max(float(np.percentile(np.hypot(motion[0], motion[1]), 99)), LEAST_MOTION)
        grey = np.where(visible[following][..., None], VISIBLE, HIDDEN).repeat(3, axis=-1)
        names = {"flow": f"flow-{t:06d}.jpg", "seen": f"seen-{t:06d}.jpg"}
        write_jpeg(folder / names["flow"], flow_colours(motion, strongest=strongest))
        write_jpeg(folder / names["seen"], grey)
        written.append({"frame": t, **names, "strongest": round(strongest, 1)})
    return written
