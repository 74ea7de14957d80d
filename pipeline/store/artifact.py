"""An artifact: what one task made, frame by frame, with a manifest that says what it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.stage import Arrays
from pipeline.store.keys import DIGEST, digest_array, digest_json
from pipeline.store.zarr_arrays import LOCAL_CODEC, REMOTE_CODEC, ArrayWriter

SEAL = "seal"


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

    def names(self) -> list[str]:
        """Return the digest of each frame."""
        return [self.digests[k : k + DIGEST] for k in range(0, len(self.digests), DIGEST)]

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

    def without_details(self) -> Manifest:
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
            entry_bytes = int(np.prod(entry["shape"])) * np.dtype(entry["dtype"]).itemsize
            total += entry_bytes * len(entry["digests"])
        return total


def sealed_text(manifest: Manifest) -> bytes:
    """Return a manifest as JSON, with a digest of what decides anything."""
    fields = json.loads(json.dumps(asdict(manifest)))  # as it will be read: names are text
    return json.dumps(fields | {SEAL: _manifest_seal(fields)}, sort_keys=True).encode()


def unsealed_manifest(text: str | bytes) -> Manifest:
    """Return the manifest that was sealed.

    Raises
    ------
    ValueError, TypeError
        If it is none, or not what was written.
    """
    fields = dict(json.loads(text))
    if fields.pop(SEAL, None) != _manifest_seal(fields):
        raise ValueError("not what was written")
    return Manifest(**fields)


def _manifest_seal(fields: Mapping[str, Any]) -> str:
    return digest_json({name: fields[name] for name in fields if name != "provenance"})


class Draft:
    """An artifact being written: frames are appended, then the store publishes it.

    Parameters
    ----------
    fs : fsspec file system
    folder : str
    local : bool
        Whether it is on a file system, and there.
    """

    def __init__(self, fs: Any, folder: str, *, local: bool) -> None:
        self.folder = folder
        self.arrays: dict[str, dict[str, Any]] = {}
        self._fs, self._local = fs, local
        self._open: dict[str, ArrayWriter] = {}

    def append(self, arrays: Arrays) -> None:
        """Add frames: every array with as many entries along its first axis."""
        for name, values in arrays.items():
            if name not in self._open:
                shape = values.shape[1:]
                self.arrays[name] = {"dtype": values.dtype.str, "shape": list(shape), "digests": []}
                self._open[name] = self._new_array(name, values.dtype, shape)
            self._open[name].append(values)
            self.arrays[name]["digests"] += [digest_array(frame) for frame in values]

    def _new_array(self, name: str, dtype: Any, shape: tuple[int, ...]) -> ArrayWriter:
        array_folder = f"{self.folder}/{name}"
        if self._local:
            Path(array_folder).mkdir()  # without its parents: a store that is away is not made anew
        return ArrayWriter(
            self._fs, array_folder, dtype, shape, LOCAL_CODEC if self._local else REMOTE_CODEC
        )

    def close(self) -> None:
        """Write what is not written yet."""
        for array in self._open.values():
            array.close()
