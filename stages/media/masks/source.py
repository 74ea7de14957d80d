"""What every format of masks turns into, and the checks that all formats share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

from numpy.typing import NDArray

from stages.media.footage.timeline import Timeline
from stages.media.masks.legend import Legend

Missing = Literal["error", "hold", "empty", "carry"]
Known = dict[str, Any]  # plain JSON values


class MaskSource(ABC):
    """The masks of a clip, one a frame, in order, in constant memory.

    Reading yields labels (H, W) uint16, or soft masks (C, H, W) float32 in [0, 1] of the
    foreground classes.

    Attributes
    ----------
    legend : Legend
        What the values mean, and which classes there are.
    starts : tuple of int
        First frames of the parts that can be read by themselves.
    warnings : tuple of str
        Notes for the user, from looking through the masks.
    reading : str
        How the masks were understood, in words.
    timeline : Timeline or None
        Of masks in a video.
    names : tuple of str
        File names of the masks, one a frame, where every frame has a file of its own.
    absent : tuple of int
        Frames of which nothing is known, to be filled from others.
    declared_empty : tuple of int
        Frames without a mask that show nothing, as the user says: evidence, not errors.
    key_frames : tuple of int
        Frames whose mask is the user's own word.
    category_names : dict of int to str
        Names of the categories of `categories_at`.
    """

    legend: Legend
    starts: tuple[int, ...] = (0,)
    warnings: tuple[str, ...] = ()
    reading: str = ""
    timeline: Timeline | None = None
    names: tuple[str, ...] = ()
    absent: tuple[int, ...] = ()
    declared_empty: tuple[int, ...] = ()
    key_frames: tuple[int, ...] = ()
    category_names: Mapping[int, str] = MappingProxyType({})

    def __init__(self, frames: int) -> None:
        self._frames = frames

    @abstractmethod
    def read(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """Yield the masks of frames `start` to `stop`; `start` is that of a part."""

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield the masks of all frames."""
        return self.read(0, self._frames)

    def categories_at(self, frame: int) -> Mapping[int, int]:
        """Return the category of each label of a frame, where labels are objects of one frame."""
        return {}

    @property
    def known(self) -> Known:
        """What `stages.media.masks.open.open_masks` takes so as not to look through them again."""
        return {
            "legend": asdict(self.legend),
            "parts": [list(part) for part in pairwise((*self.starts, self._frames))],
            "timeline": self.timeline.to_json() if self.timeline else None,
        }
