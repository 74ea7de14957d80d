"""Finished artifacts under their keys. An artifact is whole or absent."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec
from zarr.errors import BaseZarrError

from pipeline.errors import CacheError
from pipeline.keys import digest_array
from pipeline.stage import Arrays

MANIFEST = "manifest.json"
USED_EVERY_S = 3600.0  # use is taken down no more often


@dataclass(frozen=True)
class Piece:
    """Some frames of one array of one artifact: all that a reader needs to fetch and check them."""

    key: str
    array: str
    start: int  # number in the clip of the first frame
    offset: int  # its number in the artifact
    digests: tuple[str, ...]


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
        low, high = start - self.start, stop - self.start
        return Piece(self.key, array, start, low, tuple(self.arrays[array]["digests"][low:high]))

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
        self.arrays[name] = {"dtype": values.dtype.str, "shape": list(shape), "digests": []}
        self._open[name] = zarr.create_array(
            f"{self._url}/{name}",
            shape=(0, *shape),
            chunks=(1, *(max(size, 1) for size in shape)),
            dtype=values.dtype,
            compressors=BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
            config={"write_empty_chunks": True},
            storage_options=dict(self._options) or None,
        )


class Store:
    """Artifacts under `url`: a folder, or any place that fsspec can write to.

    Many processes may write at once. On a file system an artifact is published by one rename; in
    an object store, where every object appears at once and two writers of one key write the same
    bytes, by writing its manifest last.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.fs, self.root = fsspec.core.url_to_fs(url)
        protocol = self.fs.protocol if isinstance(self.fs.protocol, str) else self.fs.protocol[0]
        self.local = protocol == "file"
        self._prefix = "" if self.local else f"{protocol}://"
        self._options = {} if self.local else dict(self.fs.storage_options)

    def place(self, key: str) -> str:
        """Return the folder of the artifact `key`."""
        return f"{self.root}/objects/{key[:2]}/{key}"

    def find(self, key: str) -> Manifest | None:
        """Return the manifest of `key`, or None if that artifact was never finished."""
        path = f"{self.place(key)}/{MANIFEST}"
        try:
            text = self.fs.cat_file(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        self._mark_used(path)
        try:
            return Manifest(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise CacheError(
                f"{path}: expected a manifest, got {text[:40]!r}: delete {self.place(key)}"
            ) from error

    def _mark_used(self, path: str) -> None:
        """Let the time of a manifest tell of its use, to the hour; not in an object store."""
        if self.local:
            with suppress(OSError):  # it may only be read, or it is gone: that is no use
                if time.time() - Path(path).stat().st_mtime > USED_EVERY_S:
                    os.utime(path)

    @contextmanager
    def draft(self, key: str) -> Iterator[Draft]:
        """Give an artifact to fill; what was appended is dropped unless `publish` follows."""
        if not self.local:
            yield Draft(self.place(key), f"{self._prefix}{self.place(key)}", self._options)
            return
        folder = Path(self.root, "drafts", uuid.uuid4().hex)
        try:
            folder.mkdir(parents=True)
            yield Draft(str(folder), str(folder), {})
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise CacheError(
                    f"{self.root}: no room left on the disk: free some and run the same again"
                ) from error
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, draft: Draft, manifest: Manifest) -> None:
        """Make the artifact exist; if another writer was first, its copy stays."""
        text = json.dumps(asdict(manifest), sort_keys=True).encode()
        self.fs.pipe_file(f"{draft.folder}/{MANIFEST}", text)
        if self.local:
            place = Path(self.place(manifest.key))
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                Path(draft.folder).rename(place)
            except OSError:
                if self.find(manifest.key) is None:
                    Path(draft.folder).rename(place)  # the other copy was removed meanwhile

    def read(self, piece: Piece) -> NDArray[Any]:
        """Return the frames of a piece, checked against their digests.

        Raises
        ------
        CacheError
            If a frame is missing or is not what was written, naming the folder to delete.
        """
        place = self.place(piece.key)
        try:
            held = zarr.open_array(
                f"{self._prefix}{place}/{piece.array}",
                mode="r",
                storage_options=self._options or None,
            )
            values = np.asarray(held[piece.offset : piece.offset + len(piece.digests)])
            if len(values) != len(piece.digests):
                raise ValueError(f"it ends after {held.shape[0]} frames")
        except (OSError, RuntimeError, ValueError, TypeError, KeyError, BaseZarrError) as error:
            raise CacheError(
                f"{place}/{piece.array}: cannot be read ({error}): delete {place}"
            ) from error
        for frame, digest in enumerate(piece.digests):
            if digest_array(values[frame]) != digest:
                number = piece.start + frame
                raise CacheError(
                    f"{place}/{piece.array}: frame {number} is damaged: delete {place}"
                )
        return values

    def note(self, name: str) -> str | None:
        """Return a small text kept beside the artifacts, or None."""
        try:
            text: bytes = self.fs.cat_file(f"{self.root}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        return text.decode()

    def write_note(self, name: str, text: str) -> None:
        """Keep a small text, whole or not at all."""
        place = f"{self.root}/{name}"
        if not self.local:
            self.fs.pipe_file(place, text.encode())
            return
        draft = Path(f"{place}.{uuid.uuid4().hex}")
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text)
        draft.replace(place)
