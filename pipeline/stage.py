"""The contract between the engine and a stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pipeline.errors import ShapeError

Arrays = Mapping[str, NDArray[Any]]
"""What a stage makes: arrays by name, each with one entry a frame along its first axis."""

WHOLE = (0, -1)
"""Stands for all frames of a clip, before anybody knows how many there are."""

Facts = Mapping[str, Any]
"""What is known of a clip as a whole, as plain JSON values. The engine itself reads `shots`."""


class Resources(BaseModel):
    """What one running copy of a stage needs. Never part of a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpus: float = 1.0
    gpus: float = 0.0
    memory_bytes: int = 0


@dataclass(frozen=True)
class Clip:
    """One member of the library: its name and the outside files that belong to it."""

    name: str
    files: Mapping[str, Path]


@dataclass(frozen=True)
class ArrayHandle:
    """An array that a stage writes: its name, and what the engine holds it to.

    Attributes
    ----------
    stage, name : str
        Of the stage that writes it, and of the array.
    dtype : str
        As NumPy spells it; empty: any.
    shape : tuple, optional
        Of one frame. A number is that size; a word is any size, the same wherever it occurs among
        the arrays that a stage returns. None: any shape.
    meaning : str
        Unit, range and axes, for people.
    optional : bool
        Whether its stage may leave it out.

    Examples
    --------
    >>> frames = ArrayHandle("ingest", "frames", "uint8", ("H", "W", 3))
    >>> str(frames), frames.within(2)
    ('ingest.frames', Input(stage='ingest', array='frames', reach=2))
    >>> frames.check(np.zeros((5, 4, 6, 3), np.float32), {})
    Traceback (most recent call last):
        ...
    pipeline.errors.ShapeError: ingest.frames: expected uint8 (T, H, W, 3), got float32 (5, 4, 6, 3)
    """

    stage: str
    name: str
    dtype: str = ""
    shape: tuple[str | int, ...] | None = None
    meaning: str = ""
    optional: bool = False

    def __str__(self) -> str:
        """Return the name under which a window has it."""
        return f"{self.stage}.{self.name}"

    def within(self, reach: int = 0) -> Input:
        """Return the input of a stage that reads `reach` frames more on either side."""
        return Input(self.stage, self.name, reach)

    def check(self, values: NDArray[Any], sizes: dict[str, int]) -> None:
        """Refuse values of another type or shape; the sizes of words are noted in `sizes`.

        Raises
        ------
        ShapeError
        """
        fits = not self.dtype or values.dtype == np.dtype(self.dtype)
        if self.shape is not None:
            fits &= values.ndim == len(self.shape) + 1
            for axis, size in zip(self.shape, values.shape[1:], strict=False):
                fits &= size == (axis if isinstance(axis, int) else sizes.setdefault(axis, size))
        if not fits:
            axes = ", ".join(map(str, ("T", *(self.shape or ("…",)))))
            fixed = ", ".join(f"{axis} = {size}" for axis, size in sizes.items())
            raise ShapeError(
                f"{self}: expected {self.dtype or 'any type'} ({axes})"
                f"{f' with {fixed}' if fixed else ''}, got {values.dtype} {values.shape}"
            )


@dataclass(frozen=True)
class Input:
    """An array that a stage reads: of its own frames and of `reach` more on either side."""

    stage: str
    array: str
    reach: int = 0


@dataclass(frozen=True)
class Span:
    """Frames `start` to `stop` of one array, asked for by their number in the clip.

    Attributes
    ----------
    start : int
    array : ndarray
        One entry a frame. Not to be written to: it may be kept for others under its digest.
    names : sequence of str
        The content digest of each frame, or nothing where they are not known.
    """

    start: int
    array: NDArray[Any]
    names: Sequence[str] = ()

    @property
    def stop(self) -> int:
        """One past the last frame held."""
        return self.start + len(self.array)

    def __getitem__(self, frame: int) -> NDArray[Any]:
        """Return frame number `frame` of the clip; one that is not held is an error."""
        if not self.start <= frame < self.stop:
            raise IndexError(f"frame {frame}: expected {self.start} to {self.stop - 1}")
        entry: NDArray[Any] = self.array[frame - self.start]
        return entry

    def between(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames `start` to `stop` of the clip, all of them held."""
        return self.array[start - self.start : stop - self.start]


@dataclass(frozen=True)
class Window:
    """All that `run` may look at: its frames, their neighbours within reach, and the clip's facts.

    Nothing here tells how the clip was cut into chunks: neighbours end only where the reach or
    the shot ends. So the result cannot depend on it.
    """

    start: int
    stop: int
    facts: Facts
    spans: Mapping[str, Span]

    def __getitem__(self, name: ArrayHandle | str) -> Span:
        """Return the frames of an input: its handle, or ``stage.array``."""
        return self.spans[str(name)]

    @property
    def frames(self) -> range:
        """The frames to make."""
        return range(self.start, self.stop)


class Step(BaseModel):
    """Anything with settings that the plan can hold. Fields are settings and enter the key.

    A field is what can change the result; what cannot (workers, verbosity) is a resource.
    Raise `version` whenever the same fields would give another result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    version: ClassVar[int]
    resources: ClassVar[Resources] = Resources()
    uses: ClassVar[tuple[str, ...]] = ()
    """Names of the facts of a clip that it looks at; no others are shown to it."""
    writes: ClassVar[tuple[ArrayHandle, ...]] = ()
    """The arrays that it writes for every frame; the engine holds it to their types and shapes."""
    unkeyed_defaults: ClassVar[tuple[str, ...]] = ()
    """Fields that came later: the key lacks them at their default, so that it stays as it was."""
    outside_key: ClassVar[tuple[str, ...]] = ()
    """Fields that cannot change the result: where a file lies whose digest is a field, a device."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a step that leaves a part of the contract out, where it is defined."""
        super().__pydantic_init_subclass__(**kwargs)
        missing = [part for part in ("name", "version", "run") if not hasattr(cls, part)]
        if missing and cls.__module__ != __name__:
            raise TypeError(f"stage {cls.__qualname__} lacks {', '.join(missing)}")

    def resolve(self) -> Self:
        """Return the step with what lies outside looked up: digests of files, folders.

        Called once, before a plan is made; settings themselves do no work when constructed.
        """
        return self


def check_arrays(writes: Sequence[ArrayHandle], arrays: Arrays) -> None:
    """Refuse arrays that are not what a stage declares to write.

    Parameters
    ----------
    writes : sequence of ArrayHandle
        Nothing is checked where it is empty.
    arrays : mapping

    Raises
    ------
    ShapeError
        If an array is missing, not declared, or of another type or shape.
    """
    if not writes:
        return
    names = [array.name for array in writes]
    needed = {array.name for array in writes if not array.optional}
    if not needed <= set(arrays) <= set(names):
        raise ShapeError(f"expected the arrays {', '.join(names)}, got {', '.join(arrays)}")
    sizes: dict[str, int] = {}
    for array in writes:
        if array.name in arrays:
            array.check(arrays[array.name], sizes)


class Stage(Step):
    """A pure function of a window of frames, run chunk by chunk and kept in the store."""

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Return the arrays that `run` reads of a clip with these facts."""
        raise NotImplementedError

    def run(self, window: Window) -> Arrays:
        """Return arrays with one entry for each frame of ``window.frames``."""
        raise NotImplementedError


class Source(Step):
    """Brings a clip's files into the store, once, a few frames at a time.

    A source of many frames says into which parts it falls: these run side by side, and a run that
    is stopped loses no more than those it was at. The parts must follow from the clip alone.
    """

    reads: ClassVar[str]
    """Which of the clip's files it reads."""
    also_reads: ClassVar[tuple[str, ...]] = ()
    """Others that it reads where a clip has them; then `reads` need not be there."""
    identified_as: ClassVar[str] = ""
    """Name of another source with the same `identity`, so that files are read for it once."""

    def identity(self, clip: Clip) -> str:
        """Return the content digest of the files that `run` reads, 64 hex digits."""
        raise NotImplementedError

    def parts(self, facts: Facts) -> Sequence[tuple[int, int]]:
        """Return start and stop of each part, in frame order, or `WHOLE` alone."""
        return (WHOLE,)

    def run(
        self, clip: Clip, facts: Facts, part: tuple[int, int], emit: Callable[[Arrays], None]
    ) -> Facts:
        """Emit the frames of a part in order, in batches; return what is to be known of it.

        Parameters
        ----------
        clip : Clip
        facts : mapping
            What the sources before this one said.
        part : (start, stop)
            One of `parts`.
        emit : callable
            Takes arrays with one entry a frame; call it as often as is good for memory.
        """
        raise NotImplementedError

    def conclude(self, part_facts: Sequence[Facts]) -> Facts:
        """Return the facts of the clip, from those that `run` returned for each part. Be quick."""
        (facts,) = part_facts
        return facts


class Reader(Protocol):
    """Gives a sink what it reads."""

    def __call__(
        self, array: ArrayHandle, only: Sequence[int] | None = None
    ) -> Iterator[NDArray[Any]]:
        """Yield an array's frames of the whole clip one by one, or those in `only`, which rise."""


class Sink(Step):
    """Writes a clip's results where the user wants them, once a clip."""

    editable: ClassVar[tuple[str, ...]] = ()
    """Folders that it writes whose files a person may change: such files are kept."""

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Return the arrays that `run` reads; the reach counts for nothing."""
        raise NotImplementedError

    def run(self, clip: Clip, facts: Facts, read: Reader, folder: Path) -> list[str]:
        """Write into `folder`; return the names of the files, each of them whole."""
        raise NotImplementedError


class PartedSink(Sink):
    """A sink whose parts are written side by side, each into a folder of its own, then joined."""

    def parts(self, facts: Facts) -> Sequence[tuple[int, int]]:
        """Return start and stop of each part, in frame order; they must follow from the clip."""
        raise NotImplementedError

    def write(
        self, clip: Clip, facts: Facts, part: tuple[int, int], read: Reader, folder: Path
    ) -> None:
        """Write a part into `folder`, which is new; `read` gives the frames of the part."""
        raise NotImplementedError

    def join(self, clip: Clip, facts: Facts, parts: Sequence[Path], folder: Path) -> list[str]:
        """Write into `folder` from the folders of the parts, which must stay as they are.

        Where this is broken off it is done again with the same parts.

        Return the names of the files, each of them whole.
        """
        raise NotImplementedError
