"""An artifact: what one task made, frame by frame, with a manifest that says what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from pipeline.keys import DIGEST, digest_array
from pipeline.stage import Arrays

SMALL_BYTES = 1 << 14  # frames smaller than half of it share files


@dataclass(frozen=True)
class Piece:
    """Some frames of one array of one artifact: all that a reader needs to fetch and check them."""

    key: str
    array: str
    start: int  # number in the clip of the first frame
    offset: int  # its number in the artifact
    digests: str  # of its frames, one after the other

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(self.digests) // DIGEST

    def part(self, start: int, stop: int) -> Piece:
        """Return frames `start` to `stop` (numbers in the clip) of it."""
        low, high = start - self.start, stop - self.start
        digests = self.digests[low * DIGEST : high * DIGEST]
        return Piece(self.key, self.array, start, self.offset + low, digests)


@dataclass(frozen=True)
class Manifest:
    """What an artifact is: written last, so that without it the artifact does not exist.

    `arrays` holds by name the dtype, the shape of one frame, and the digest of every frame.
    `record` is what the key was made from; `provenance` is for people and decides nothing.
    """

    key: str
    start: int
    arrays: dict[str, dict[str, Any]]
    facts: dict[str, Any]
    record: dict[str, Any]
    provenance: dict[str, Any] = field(default_factory=dict)

    def piece(self, array: str, start: int, stop: int) -> Piece:
        """Return where frames `start` to `stop` (numbers in the clip) of one array are."""
        digests = "".join(self.arrays[array]["digests"])
        return Piece(self.key, array, self.start, 0, digests).part(start, stop)

    def lean(self) -> Manifest:
        """Return it without what is for people, to be held in memory by the thousand."""
        arrays = {
            name: {**entry, "digests": "".join(entry["digests"])}
            for name, entry in self.arrays.items()
        }
        return Manifest(self.key, self.start, arrays, self.facts, {})

    def bytes_stored(self) -> int:
        """Return the size of the arrays before compression."""
        total = 0
        for entry in self.arrays.values():
            one = int(np.prod(entry["shape"])) * np.dtype(entry["dtype"]).itemsize
            total += one * len(entry["digests"])
        return total


class Draft:
    """An artifact being written: frames are appended, then the store publishes it."""

    def __init__(self, folder: str, url: str, options: Mapping[str, Any]) -> None:
        self.folder = folder
        self.arrays: dict[str, dict[str, Any]] = {}
        self._url, self._options = url, options
        self._open: dict[str, Any] = {}

    def append(self, arrays: Arrays) -> None:
        """Add frames: every array with as many entries along its first axis."""
        for name, values in arrays.items():
            if name not in self._open:
                self._create(name, values)
            self._open[name].append(np.ascontiguousarray(values))
            self.arrays[name]["digests"] += [digest_array(frame) for frame in values]

    def _create(self, name: str, values: NDArray[Any]) -> None:
        shape = values.shape[1:]
        together = max(SMALL_BYTES // max(values[0].nbytes, 1), 1) if len(values) else 1
        self.arrays[name] = {"dtype": values.dtype.str, "shape": list(shape), "digests": []}
        self._open[name] = zarr.create_array(
            f"{self._url}/{name}",
            shape=(0, *shape),
            chunks=(together, *(max(size, 1) for size in shape)),
            chunk_key_encoding={"name": "default", "separator": "."},  # no folder for each frame
            dtype=values.dtype,
            compressors=BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
            config={"write_empty_chunks": True},
            overwrite="://" in self._url,  # in an object store, of a writer that was killed
            storage_options=dict(self._options) or None,
        )
