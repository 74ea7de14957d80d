"""Masks in one .npy or .npz: labels (T, H, W), soft (T, H, W) or (T, C, H, W)."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.io.mask_legend import learn, raw_of
from stages.io.mask_source import Kind, MaskSource, check_size

BROKEN = (
    *(ValueError, EOFError, OSError, MemoryError, OverflowError),
    # a damaged or encrypted archive
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),
    # a damaged header: numpy parses it as Python
    *(TypeError, SyntaxError, TokenError),
)


def load_array(file: Path) -> NDArray[Any]:
    """Return the array of a .npy (mapped), or the only one of a .npz; nothing is unpickled.

    Raises
    ------
    InputError
        If it is unreadable, holds objects or several arrays.
    """
    with _naming(file):
        if file.suffix.lower() != ".npz":
            return npy.open_memmap(file, mode="r")
        # np.load would leave a damaged archive open
        with _member(file) as packed:
            array: NDArray[Any] = npy.read_array(packed, allow_pickle=False)
            return array


class ArrayMasks(MaskSource):
    """See `stages.io.masks.open_masks`. A .npz is unpacked frame by frame as it is read."""

    def __init__(self, file: Path, frames: int, size: tuple[int, int], kind: Kind) -> None:
        self._file = file
        shape, dtype = self._shape()
        if len(shape) not in (3, 4) or dtype.kind not in "buif":
            raise InputError(
                f"{file}: expected labels (T, H, W) or soft masks (T, H, W) or (T, C, H, W), got "
                f"{dtype} {shape}"
            )
        if shape[0] != frames:
            raise InputError(f"{file}: expected {frames} masks, one a frame, got {shape[0]}")
        check_size(file, shape[-2:], size)
        self._legend = learn((raw_of(file, values) for values in self._frames()), kind)
        self.kind, self.classes = self._legend.kind, self._legend.classes
        self.warnings = self._legend.warnings

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield the masks of all frames."""
        for values in self._frames():
            yield self._legend.apply(raw_of(self._file, values).values)

    def _shape(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        if self._file.suffix.lower() != ".npz":
            array = load_array(self._file)
            return array.shape, array.dtype
        with _naming(self._file), _member(self._file) as packed:
            shape, _, dtype = _header(packed)
            return shape, dtype

    def _frames(self) -> Iterator[NDArray[Any]]:
        if self._file.suffix.lower() != ".npz":
            yield from load_array(self._file)
            return
        with _naming(self._file), _member(self._file) as packed:
            shape, by_columns, dtype = _header(packed)
            if by_columns:  # frames lie interleaved: only the whole can be unpacked
                yield from load_array(self._file)
                return
            length = math.prod(shape[1:]) * dtype.itemsize
            for _ in range(shape[0]):
                yield np.frombuffer(packed.read(length), dtype).reshape(shape[1:])


@contextmanager
def _member(file: Path) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(file) as archive, archive.open(_only(file, archive.namelist())) as packed:
        yield packed


def _header(packed: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether columns come first, and type; objects are refused."""
    version = npy.read_magic(packed)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_columns, dtype = read(packed)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    return shape, by_columns, dtype


def _only(file: Path, names: list[str]) -> str:
    if len(names) != 1:
        raise InputError(f"{file}: expected one array in it, got {names}")
    return names[0]


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Turn what a broken file raises into an error that names it."""
    try:
        yield
    except BROKEN as error:
        raise InputError(f"{file}: not a plain array ({error})") from error
