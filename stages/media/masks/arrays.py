"""Masks in one .npy or .npz: labels (T, H, W), soft (T, H, W) or (T, C, H, W)."""

from __future__ import annotations

import lzma
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.footage.safe_open import open_regular
from stages.media.footage.timeline import part_starts
from stages.media.masks.array_axes import MOST_CHANNELS, find_axes
from stages.media.masks.legend import Legend, count_masks
from stages.media.masks.raw import Raw
from stages.media.masks.readings import decide
from stages.media.masks.sizes import fit_labels, fit_note, fit_soft
from stages.media.masks.source import Known, MaskSource

if TYPE_CHECKING:
    from stages.media.masks.contract import FootageFacts, ReadingChoices

OBJECTS_ADVICE = (
    ": they are not unpickled, since that may run code: save SAM 2's video_segments and other "
    "dictionaries as np.savez(FILE, **{str(frame): array}), with arrays of labels (H, W) or of "
    "objects (N, H, W)"
)
WIDEST = 16  # bytes of the widest number
MOST_MAPPED = 2**44
MOST_UNPACKED = 2**32  # of an array that can only be unpacked as a whole

BROKEN = (
    *(ValueError, EOFError, OSError, MemoryError, OverflowError),
    # a damaged or encrypted archive
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError),
    # a damaged header: numpy parses it as Python
    *(TypeError, SyntaxError, TokenError, KeyError, IndexError),
)


def load_array(file: Path, *, most_bytes: int) -> NDArray[Any]:
    """Return the array of a .npy (mapped), or the only one of a .npz; nothing is unpickled.

    Raises
    ------
    InputError
        If it is unreadable, holds objects or several arrays, or would take more than `most_bytes`.
    """
    with _naming_file(file):
        if file.suffix.lower() != ".npz":
            open_regular(file).close()
            mapped = npy.open_memmap(file, mode="r")
            _check_bytes(file, mapped.shape, mapped.dtype, most_bytes)
            return mapped
        # np.load would leave a damaged archive open
        with _archive_member(file) as packed:
            shape, _, dtype = _array_header(packed)
            _check_bytes(file, shape, dtype, most_bytes)
        with _archive_member(file) as packed:
            array: NDArray[Any] = npy.read_array(packed, allow_pickle=False)
            return array


def load_member(file: Path, member: str, *, most_bytes: int) -> NDArray[Any]:
    """Return one array of a .npz of several, or of another archive; nothing is unpickled.

    Raises
    ------
    InputError
        If it is unreadable, or would take more than `most_bytes`.
    """
    with _naming_file(file):
        with _archive_member(file, member) as packed:
            shape, _, dtype = _array_header(packed)
            _check_bytes(file / member, shape, dtype, most_bytes)
        with _archive_member(file, member) as packed:
            array: NDArray[Any] = npy.read_array(packed, allow_pickle=False)
            return array


def list_members(file: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays in a .npz, by name.

    Raises
    ------
    InputError
        If it is unreadable or holds Python objects.
    """
    shapes = {}
    with _naming_file(file), open_regular(file) as source, zipfile.ZipFile(source) as archive:
        for member in archive.namelist():
            with archive.open(member) as packed:
                shapes[member] = _array_header(packed)[0]
    return shapes


def frame_bytes(size: tuple[int, int]) -> int:
    """Return the most that one frame's mask may take: of all classes, in the widest type."""
    return MOST_CHANNELS * WIDEST * size[0] * size[1]


def _check_bytes(file: Path, shape: tuple[int, ...], dtype: np.dtype[Any], most_bytes: int) -> None:
    needed_bytes = math.prod(shape) * dtype.itemsize
    if needed_bytes > most_bytes:
        raise InputError(
            f"{file}: expected at most {most_bytes} bytes, got {dtype} {shape}: {needed_bytes}"
        )


def count_hint(count: int, frames: int) -> str:
    """Return the remedy for an array of more or fewer masks than frames."""
    if count > frames:
        spare = count - frames
        which = f"{spare} are" if spare > 1 else "one is"
        return (
            f"an array does not say which {which} too many: cut off what is, as in "
            f"array[:{frames}] or array[{spare}:], or check that it is of this footage"
        )
    return (
        "an array does not say which frames they are of: save a .npz with the frames' names or "
        "numbers as keys, or one file a frame, and set segment.missing"
    )


class ArrayMasks(MaskSource):
    """See `stages.media.masks.open.open_masks`. A .npz is unpacked frame by frame as it is read."""

    def __init__(
        self,
        file: Path,
        footage: FootageFacts,
        choices: ReadingChoices,
        known: Known | None,
        member: str = "",
    ) -> None:
        self._chosen = member
        frames, size = footage.frames, footage.size
        super().__init__(frames)
        self._file, self._size = file, size
        shape, dtype = self._frame_shape()
        self._axes = find_axes(file, shape, dtype, frames, size)
        count = shape[self._axes.time]
        if count != frames:
            raise InputError(
                f"{file}: expected {frames} masks, one a frame, got {count}: "
                + count_hint(count, frames)
            )
        got = (shape[self._axes.rows], shape[self._axes.rows + 1])
        note = fit_note(
            file, got, size, footage.rotation, footage.aspect, stretch=choices.fit == "stretch"
        )
        if file.suffix.lower() != ".npz":
            self.starts = part_starts(range(frames), frames)
        if known is not None:
            self.legend = Legend.from_json(known["legend"])
            return
        reading = decide(file, count_masks(self._raw_frames(0, frames)), choices)
        self.legend = reading.legend
        self.warnings = (*((note,) if note else ()), *reading.notes)
        self.reading = (
            f"{frames} masks, {dtype} {shape} ({reading.words}{self._axes.words}), "
            f"{self.legend.describe_classes()}; all {frames} frames"
        )

    def read(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """Yield the masks of frames `start` to `stop`."""
        hard = self.legend.kind == "labels"
        for raw in self._raw_frames(start, stop):
            mask = self.legend.apply(raw)
            yield fit_labels(mask, self._size) if hard else fit_soft(mask, self._size)

    def _raw_frames(self, start: int, stop: int) -> Iterator[Raw]:
        for values in self._frame_values(start, stop):
            yield self._axes.raw(self._file, values)

    def _frame_shape(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        if self._file.suffix.lower() != ".npz":
            array = load_array(self._file, most_bytes=MOST_MAPPED)
            return array.shape, array.dtype
        with _naming_file(self._file), _archive_member(self._file, self._chosen) as packed:
            shape, _, dtype = _array_header(packed)
            return shape, dtype

    def _frame_values(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        if self._file.suffix.lower() != ".npz":
            array = load_array(self._file, most_bytes=MOST_MAPPED)
            yield from np.moveaxis(array, self._axes.time, 0)[start:stop]
            return
        with _naming_file(self._file), _archive_member(self._file, self._chosen) as packed:
            shape, by_columns, dtype = _array_header(packed)
            if by_columns or self._axes.time:  # frames lie interleaved
                name = self._chosen or _only_array(self._file, list(list_members(self._file)))
                array = load_member(self._file, name, most_bytes=MOST_UNPACKED)
                yield from np.moveaxis(array, self._axes.time, 0)[start:stop]
                return
            length = math.prod(shape[1:]) * dtype.itemsize
            packed.seek(packed.tell() + start * length)
            for _ in range(start, stop):
                yield np.frombuffer(packed.read(length), dtype).reshape(shape[1:])


@contextmanager
def _archive_member(file: Path, name: str = "") -> Iterator[IO[bytes]]:
    with (
        open_regular(file) as source,
        zipfile.ZipFile(source) as archive,
        archive.open(name or _only_array(file, archive.namelist())) as packed,
    ):
        yield packed


def _array_header(packed: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether columns come first, and type; objects are refused."""
    version = npy.read_magic(packed)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_columns, dtype = read(packed)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    return shape, by_columns, dtype


def _only_array(file: Path, names: list[str]) -> str:
    if len(names) != 1:
        raise InputError(f"{file}: expected one array in it, got {names[:5]}")
    return names[0]


@contextmanager
def _naming_file(file: Path) -> Iterator[None]:
    """Turn what a broken file raises into an error that names it."""
    try:
        yield
    except BROKEN as error:
        advice = OBJECTS_ADVICE if "Python objects" in str(error) else ""
        raise InputError(f"{file}: not a plain array ({error}){advice}") from error
