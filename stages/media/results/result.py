"""The contract of result formats: frames in, one file or folder a clip out, whole or not at all.

A format is a `Result`. Parts of a clip are written side by side by its `Writer`, each into a folder
of its own; `Result.join` makes the file or folder of them that the user gets, opens it again and
checks it.
"""

from __future__ import annotations

import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError, PipelineError
from pipeline.whole_files import replacing
from stages.media.footage.tags import SourceTags, source_tags
from stages.media.footage.timeline import Timeline
from stages.media.results.settings import ResultSettings
from stages.media.results.templates import fill_template, rising_numbers, safe_name


class WriteError(PipelineError):
    """A result that was written is not what it should be when it is opened again."""


@dataclass
class ResultFrame:
    """All that a result format may show of one source frame.

    Attributes
    ----------
    index : int
        Counts the exported frames of the clip from 0.
    number : int
        Of the source frame, as the source counts: from the number in its file name, else from 0.
    time : Fraction
        Seconds from the first exported frame.
    labels : ndarray, shape (H, W), uint16
        Class ids; 0 is background.
    picture : ndarray, shape (H, W, 3), uint8
        RGB, upright.
    soften : callable
        Returns the alpha; called at most once, and only where a format wants it.
    cover : ndarray, shape (H, W, C), bool, or None
        Where redaction has to hide each class, if the clip has been covered.
    cover_states : ndarray, shape (C,), uint8, or None
        See `stages.ops.cover`.
    untrusted : ndarray, shape (C,), float64, or None
        Share of each class's pixels that is not trusted, NaN for a class without any; None where
        nobody has looked. See `stages.trust.shares`.
    """

    index: int
    number: int
    time: Fraction
    labels: NDArray[np.uint16]
    picture: NDArray[np.uint8]
    soften: Callable[[], NDArray[np.float32]] = field(repr=False)
    cover: NDArray[np.bool_] | None = None
    cover_states: NDArray[np.uint8] | None = None
    untrusted: NDArray[np.float64] | None = None

    @cached_property
    def alpha(self) -> NDArray[np.float32]:
        """Soft masks (H, W, C) in [0, 1], one for each class in the order of `ResultClip`."""
        return self.soften()

    @cached_property
    def opacity(self) -> NDArray[np.float32]:
        """Soft mask (H, W) in [0, 1] of all classes together."""
        alpha = self.alpha
        total = alpha[..., 0] if alpha.shape[-1] == 1 else alpha.sum(axis=-1)
        return np.minimum(total, np.float32(1))


@dataclass(frozen=True)
class ResultClip:
    """What result formats know of a clip.

    Attributes
    ----------
    name : str
        Of the clip; may be a path.
    source : Path
        The footage, for its sound and file names.
    timeline : Timeline
        Of the exported frames alone.
    classes : mapping of int to str
        Names by class id, in the order of the alpha channels.
    first : int
        Source frame, counted from 0, that is exported first.
    shots : sequence of (start, stop)
        Runs of exported frames between cuts; empty where nobody asked for them.
    """

    name: str
    source: Path
    timeline: Timeline
    classes: Mapping[int, str]
    first: int = 0
    shots: Sequence[tuple[int, int]] = ()

    @cached_property
    def numbers(self) -> Sequence[int]:
        """Number of every exported frame as the source counts."""
        return rising_numbers(self.timeline.names) or range(
            self.first, self.first + self.timeline.frames
        )

    @cached_property
    def tags(self) -> SourceTags:
        """Colours, timecode and sound of the source."""
        return source_tags(self.source)

    @cached_property
    def class_names(self) -> dict[int, str]:
        """File names by class id, all different."""
        names = {label: safe_name(name) for label, name in self.classes.items()}
        lowered = [name.lower() for name in names.values()]  # some file systems ignore case
        return {
            label: f"{name}_{label}" if lowered.count(name.lower()) > 1 else name
            for label, name in names.items()
        }


def select_frames(timeline: Timeline, start: int, stop: int) -> Timeline:
    """Return the timeline of frames `start` to `stop` alone, whose clock begins with the first."""
    if (start, stop) == (0, timeline.frames):
        return timeline
    last = timeline.last_duration
    if stop < timeline.frames:
        last = timeline.pts[stop] - timeline.pts[stop - 1]
    return replace(
        timeline,
        frames=stop - start,
        pts=timeline.pts[start:stop],
        last_duration=last,
        origin=timeline.pts[start] if start else timeline.origin,
        names=timeline.names[start:stop],
        parts=(0,),
    )


class Writer(ABC):
    """Takes the frames of a part, one after the other."""

    @abstractmethod
    def write(self, frame: ResultFrame) -> None:
        """Write the next frame."""

    def close(self) -> None:  # noqa: B027 (most have nothing to complete)
        """Complete the part."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Complete the part; after an error it is of no use."""
        self.close()


class Result(ABC):
    """One format of results: a kind of file or folder that a user gets for each clip.

    Attributes
    ----------
    format : str
        What ``export.formats`` calls it.
    template : str
        Path of the result below the clip's folder, unless ``export.templates`` says otherwise.
    needs_alpha : bool
        Whether it reads `ResultFrame.alpha`.
    needs_cover : bool
        Whether it reads `ResultFrame.cover`.
    needs_trust : bool
        Whether it reads `ResultFrame.untrusted`.
    """

    format: ClassVar[str]
    template: ClassVar[str]
    needs_alpha: ClassVar[bool] = False
    needs_cover: ClassVar[bool] = False
    needs_trust: ClassVar[bool] = False

    def __init__(self, clip: ResultClip, settings: ResultSettings) -> None:
        self.clip, self.settings = clip, settings
        self.timeline = clip.timeline
        self.path_template = settings.templates.get(self.format, self.template)

    @property
    def name(self) -> str:
        """Name of the file or folder that appears whole in the clip's folder."""
        return self.fill(self.path_template.partition("/")[0])

    def fill(self, template: str, **fields: int | str) -> str:
        """Return a template with the clip's fields and those given."""
        known = {"clip": safe_name(Path(self.clip.name).name)}
        return fill_template(self.format, template, {**known, **fields})

    @abstractmethod
    def part(self, folder: Path) -> Writer:
        """Return the writer of a part, into the part's own folder."""

    def join(self, parts: Sequence[Path], folder: Path) -> None:
        """Make the result in `folder` of the parts' folders, in order; they stay as they are."""
        with replacing(folder / self.name) as draft:
            self.join_parts([part / self.name for part in parts if self._has_content(part)], draft)
            self.check(draft)

    def _has_content(self, part: Path) -> bool:
        return (part / self.name).exists()

    @abstractmethod
    def join_parts(self, parts: Sequence[Path], draft: Path) -> None:
        """Join what the writers left; parts without any exported frame are not among them."""

    @abstractmethod
    def check(self, draft: Path) -> None:
        """Open the result again.

        Raises
        ------
        WriteError
            If frames are missing, or the size, the times or the alpha are not as they should be.
        """


def link(file: Path, target: Path) -> None:
    """Give a file a second name, or copy it where it can have one only."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def parse_frames(text: str, frames: int, where: str) -> tuple[int, int]:
    """Return first and one past the last of the frames that a text such as ``100-200`` names.

    Raises
    ------
    InputError
        If the clip has none of them.
    """
    if not text:
        return 0, frames
    numbers = re.fullmatch(r"(\d+)(?:-(\d*))?", text)
    if numbers is None:
        raise InputError(f"export.frames = {text!r}: expected e.g. 100-200, 100- or 7")
    start = int(numbers[1])
    last = start if numbers[2] is None else int(numbers[2] or frames - 1)
    if not start <= last or start >= frames:
        raise InputError(f"{where}: export.frames = {text!r}: expected some of 0 to {frames - 1}")
    return start, min(last + 1, frames)
