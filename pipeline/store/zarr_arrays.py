"""Arrays in the store: Zarr 3, one object a frame.

Any Zarr library opens them. Here they are written and read without one: its way through a thread,
a buffer and a copy for each frame costs more than compressing the frame does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

ABOUT = "zarr.json"
SMALL_BYTES = 1 << 14  # frames smaller than half of it share objects
AT_ONCE = 16  # objects asked for together: a store that is far away sends them side by side
LOCAL_CODEC = ("lz4", 5)  # takes a quarter more room than zstd and a third of the time
REMOTE_CODEC = ("zstd", 1)  # where every byte travels
HEADER_BYTES = 16  # of Blosc

blosc.use_threads = False  # workers fill the processors already


class ArrayWriter:
    """An array being written, frame by frame.

    Parameters
    ----------
    fs : fsspec file system
    folder : str
        Of the array; on a file system it is there.
    dtype : dtype
    shape : tuple of int
        Of a frame.
    codec : (name, level)
        `LOCAL_CODEC` or `REMOTE_CODEC`.
    """

    def __init__(
        self, fs: Any, folder: str, dtype: Any, shape: tuple[int, ...], codec: tuple[str, int]
    ) -> None:
        self._fs, self._folder, self._codec = fs, folder, codec
        frame_bytes = np.dtype(dtype).itemsize * prod(shape)
        self._together = max(SMALL_BYTES // max(frame_bytes, 1), 1)
        self._waiting = np.zeros((self._together, *shape), dtype)
        self._frames = 0

    def append(self, frames: NDArray[Any]) -> None:
        """Add frames, of the dtype and shape given."""
        objects: dict[str, bytes] = {}
        for frame in frames:
            self._waiting[self._frames % self._together] = frame
            self._frames += 1
            if self._frames % self._together == 0:
                objects |= self._packed_object()
            if len(objects) == AT_ONCE:
                self._fs.pipe(objects)
                objects = {}
        self._fs.pipe(objects)

    def close(self) -> None:
        """Write what is left, and last what the array is."""
        left = self._frames % self._together
        if left:
            self._waiting[left:] = 0
            self._fs.pipe(self._packed_object())
        self._fs.pipe_file(f"{self._folder}/{ABOUT}", self._array_metadata())

    def _packed_object(self) -> dict[str, bytes]:
        """Return the object that the frames waiting make."""
        if not self._waiting.nbytes:
            return {}
        number = (self._frames - 1) // self._together
        name, level = self._codec
        packed = blosc.compress(self._waiting, name.encode(), level, blosc.SHUFFLE)
        return {_object_path(self._folder, number, self._waiting.ndim): packed}

    def _array_metadata(self) -> bytes:
        """Return the array's description; see the specification of Zarr, version 3."""
        name, level = self._codec
        together, *sizes = self._waiting.shape
        dtype = self._waiting.dtype
        blosc_as = {"cname": name, "clevel": level, "shuffle": "shuffle", "blocksize": 0}
        about = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [self._frames, *sizes],
            "data_type": dtype.name,
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": [together, *(max(size, 1) for size in sizes)]},
            },
            # no folder for each frame
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
            "fill_value": dtype.type(0).item(),
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "blosc", "configuration": blosc_as | {"typesize": dtype.itemsize}},
            ],
            "attributes": {},
        }
        return json.dumps(about, indent=1).encode()


class StoredArray:
    """An array that was written.

    Parameters
    ----------
    fs : fsspec file system
    folder : str

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError, KeyError, TypeError
        If it is not described as `ArrayWriter` does.
    """

    def __init__(self, fs: Any, folder: str) -> None:
        self._fs, self._folder = fs, folder
        about = json.loads(fs.cat_file(f"{folder}/{ABOUT}"))
        self.frames, *sizes = about["shape"]
        self.shape = tuple(sizes)
        self.dtype = np.dtype(about["data_type"])
        self._together = int(about["chunk_grid"]["configuration"]["chunk_shape"][0])

    def read(self, start: int, to: NDArray[Any]) -> None:
        """Read frame `start` and those after it into `to`, as many as it has.

        Raises
        ------
        FileNotFoundError
            If one is not there.
        ValueError, RuntimeError
            If it is not one, or too few are there. Not all damage shows here.
        """
        stop = start + len(to)
        if stop > self.frames:
            raise ValueError(f"it ends after {self.frames} frames")
        if not to.nbytes:
            return
        if self._together == 1:
            for frame, packed in enumerate(self._read_objects(start, stop)):
                _unpack_object(packed, to[frame])
            return
        first = start // self._together
        last = -(-stop // self._together)
        shared = np.empty((self._together, *self.shape), self.dtype)
        for number, packed in enumerate(self._read_objects(first, last), first):
            _unpack_object(packed, shared)
            begin = number * self._together
            low, high = max(start, begin), min(stop, begin + self._together)
            to[low - start : high - start] = shared[low - begin : high - begin]

    def _read_objects(self, first: int, last: int) -> Iterator[bytes]:
        for low in range(first, last, AT_ONCE):
            numbers = range(low, min(low + AT_ONCE, last))
            paths = [_object_path(self._folder, number, len(self.shape) + 1) for number in numbers]
            yield from self._fs.cat_ranges(paths, None, None, on_error="raise")


def _object_path(folder: str, number: int, axes: int) -> str:
    """Return where an object of an array lies."""
    return f"{folder}/c.{number}" + (axes - 1) * ".0"


def _unpack_object(packed: bytes, to: NDArray[Any]) -> None:
    """Decompress an object whose own idea of its sizes is right, for Blosc trusts it."""
    sizes = np.frombuffer(packed[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0"), "<u4")
    if (sizes[1], sizes[3]) != (to.nbytes, len(packed)):
        raise ValueError(
            f"expected {to.nbytes} bytes in {len(packed)}, found {sizes[1]} in {sizes[3]}"
        )
    blosc.decompress(packed, to)
