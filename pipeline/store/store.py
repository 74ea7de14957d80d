"""Finished artifacts under their keys. An artifact is whole or absent."""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NO_ROOM, CacheError, ConfigError, DamageError, FullError
from pipeline.store.artifact import Draft, Manifest, Piece, sealed_text, unsealed_manifest
from pipeline.store.frame_cache import Recent
from pipeline.store.keys import DIGEST, digest_array
from pipeline.store.zarr_arrays import ABOUT, StoredArray

MANIFEST = "manifest.json"
SIGN = "store.json"  # lies in every store: without it nothing is there, or nothing can be reached
REMOTE = ("aiobotocore", "aiohttp", "botocore", "fsspec", "gcsfs", "s3fs")
PATIENCE_S = 120.0  # with a store that does not answer
DROPPED = "dropped"  # in the provenance of what has no arrays any more
REMOVED = "removed-"  # begins the names of folders that are being deleted
USED_EVERY_S = 3600.0  # use is taken down no more often


class Store:
    """Artifacts under `url`: a folder, or any place that fsspec can write to.

    Many processes may write at once. On a file system an artifact is published by one rename; in
    an object store, where every object appears at once and two writers of one key write the same
    bytes, by writing its manifest last.

    Parameters
    ----------
    url : str
    create : bool
        Make the store if there is none. A worker does not, for the store may only be away.
    recent : int
        Bytes of arrays that are kept in memory after they were made or read.
    """

    def __init__(self, url: str, *, create: bool = True, recent: int = 0) -> None:
        self.url, self._recent = url, Recent(recent)
        self.fs, self.root = fsspec.core.url_to_fs(url)
        protocol = self.fs.protocol if isinstance(self.fs.protocol, str) else self.fs.protocol[0]
        self.local = protocol == "file"
        self._seen = self.is_reachable()
        if create and not self._seen:
            self._create_store()
            self._seen = True

    def _create_store(self) -> None:
        try:
            if self.local:
                Path(self.root, "drafts").mkdir(parents=True, exist_ok=True)
            self.fs.pipe_file(f"{self.root}/{SIGN}", b'{"schema": 1}\n')
        except Exception as error:  # every kind of storage has its own
            raise ConfigError(
                f"{self.url}: no store can be made here ({error}): choose another --store"
            ) from error

    def is_reachable(self) -> bool:
        """Return whether the store answers and is one."""
        try:
            if self.local:
                return Path(self.root, SIGN).exists()
            self.fs.invalidate_cache(self.root)
            return bool(self.fs.exists(f"{self.root}/{SIGN}"))
        except Exception:  # noqa: BLE001 - every kind of storage has its own
            return False

    def is_store_error(self, error: Exception) -> bool:
        """Return whether an error may be one of the store, not of who uses it."""
        if self.local:
            return isinstance(error, OSError) and str(error.filename).startswith(self.root)
        return isinstance(error, OSError) or type(error).__module__.startswith(REMOTE)

    def wait_until_reachable(self) -> None:
        """Wait until the store answers.

        Raises
        ------
        CacheError
            If it does not for `PATIENCE_S` seconds.
        """
        until, pause = time.monotonic() + PATIENCE_S, 0.1
        while not self.is_reachable():
            if time.monotonic() > until:
                raise CacheError(
                    f"{self.url}: expected the store, not there for {PATIENCE_S} s: see that it "
                    "is, and give the same command again"
                )
            time.sleep(pause)
            pause = min(2 * pause, 5.0)

    def artifact_folder(self, key: str) -> str:
        """Return the folder of the artifact `key`."""
        return f"{self.root}/objects/{key[:2]}/{key}"

    def find(self, key: str) -> Manifest | None:
        """Return the manifest of `key`; None if that artifact is not there, or not whole."""
        text = self._read_text(f"{self.artifact_folder(key)}/{MANIFEST}")
        try:
            manifest = None if text is None else unsealed_manifest(text)
        except (ValueError, TypeError):
            return None  # damaged: it is made again and takes this one's place
        if manifest is not None:
            self._mark_used(f"{self.artifact_folder(key)}/{MANIFEST}")
        return manifest

    def has_arrays(self, key: str) -> bool:
        """Return whether the arrays of an artifact are there; they are not looked at."""
        try:
            manifest = self.find(key)
            names = manifest.arrays if manifest is not None else {"": None}
            return all(
                self.fs.exists(f"{self.artifact_folder(key)}/{name}/{ABOUT}") for name in names
            )
        except CacheError:
            return False

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
            yield Draft(self.fs, self.artifact_folder(key), local=False)
            return
        folder = Path(self.root, "drafts", uuid.uuid4().hex)
        try:
            folder.mkdir()
            yield Draft(self.fs, str(folder), local=True)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise FullError(f"{self.root}: {NO_ROOM}") from error
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, draft: Draft, manifest: Manifest) -> None:
        """Make the artifact exist; if another writer was first, its copy stays."""
        draft.close()
        self.fs.pipe_file(f"{draft.folder}/{MANIFEST}", sealed_text(manifest))
        if self.local:
            target = Path(self.artifact_folder(manifest.key))
            target.parent.mkdir(parents=True, exist_ok=True)
            while not self._move_folder(Path(draft.folder), target):
                if self.find(manifest.key) is not None:
                    return
                self.remove(manifest.key)  # what lies there is not whole

    @staticmethod
    def _move_folder(draft: Path, target: Path) -> bool:
        """Move a folder; return False where another lies, whoever put it there meanwhile."""
        try:
            draft.rename(target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        return True

    def remove(self, key: str) -> None:
        """Make an artifact absent, then delete it; one that is absent already is no error.

        Absent at once, whatever happens after: on a file system its folder is renamed away, in an
        object store its manifest goes first. Who is reading it gets a `CacheError` and finds no
        manifest any more.

        Raises
        ------
        CacheError
            If the store may not be written.
        """
        folder = self.artifact_folder(key)
        try:
            if self.local:
                self._delete_folder(Path(folder))
            else:
                with suppress(FileNotFoundError):
                    self.fs.rm_file(f"{folder}/{MANIFEST}")
                self.fs.rm(folder, recursive=True)
        except FileNotFoundError:
            return
        except OSError as error:
            raise CacheError(f"{folder}: cannot be removed: {error}") from error

    def drop(self, key: str) -> None:
        """Delete the arrays of an artifact and keep what it says of them.

        What was made from them is found as before; who reads them has them made again.
        """
        manifest = self.find(key)
        if manifest is None or DROPPED in manifest.provenance:
            return
        manifest.provenance.update({DROPPED: True, "stored_bytes": 0})
        name = f"{self.artifact_folder(key).removeprefix(self.root)}/{MANIFEST}".lstrip("/")
        self.write_note(name, sealed_text(manifest).decode())
        for name in manifest.arrays:
            with suppress(FileNotFoundError):
                if self.local:
                    self._delete_folder(Path(self.artifact_folder(key), name))
                else:
                    self.fs.rm(f"{self.artifact_folder(key)}/{name}", recursive=True)

    def _delete_folder(self, folder: Path) -> None:
        away = Path(self.root, "drafts", f"{REMOVED}{uuid.uuid4().hex}")
        away.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(away)
        shutil.rmtree(away, ignore_errors=True)

    def read(self, *pieces: Piece, remember: bool = False) -> NDArray[Any]:
        """Return the frames of pieces of one array, in order, checked against their digests.

        Parameters
        ----------
        pieces : Piece
        remember : bool
            Keep them in memory for others; see `recent`.

        Raises
        ------
        DamageError
            If a frame is missing or is not what was written, naming the folder.
        """
        parts = [part for piece in pieces for part in self._split_piece(piece)]
        frames, like = sum(piece.frames for piece in pieces), parts[0][1]
        values, start = np.empty((frames, *like.shape), like.dtype), 0
        for piece, source in parts:
            to = values[start : start + piece.frames]
            start += piece.frames
            if isinstance(source, StoredArray):
                self._read_piece(piece, source, to)
                if remember:
                    self.remember(piece, to)
            else:
                to[:] = source
        return values

    def _split_piece(self, piece: Piece) -> Iterator[tuple[Piece, StoredArray | NDArray[Any]]]:
        """Yield a piece in parts with where they are: frames in memory one by one, and the rest."""
        recent = [self._recent.find(name) for name in piece.names()] if self._recent.limit else []
        in_memory = {piece.start + k: frame for k, frame in enumerate(recent) if frame is not None}
        if len(in_memory) < piece.frames or not in_memory:
            stored = self._open_array(piece)
        start = piece.start
        for frame in [*in_memory, piece.start + piece.frames]:
            if start < frame or not in_memory:
                yield piece.part(start, frame), stored
            if frame in in_memory:
                yield piece.part(frame, frame + 1), in_memory[frame]
            start = frame + 1

    def remember(self, piece: Piece, values: NDArray[Any]) -> None:
        """Keep the frames of a piece in memory for who reads them here next; see `recent`."""
        if self._recent.limit:
            for digest, frame in zip(piece.names(), values, strict=True):
                self._recent.put_values(digest, frame)

    def _open_array(self, piece: Piece) -> StoredArray:
        with self._naming_damage(piece):
            return StoredArray(self.fs, self._array_path(piece))

    def _read_piece(self, piece: Piece, array: StoredArray, to: NDArray[Any]) -> None:
        with self._naming_damage(piece):
            array.read(piece.offset, to)
        for frame in range(len(to)):
            if digest_array(to[frame]) != piece.digests[frame * DIGEST : (frame + 1) * DIGEST]:
                text = f"{self._array_path(piece)}: frame {piece.start + frame} is damaged"
                raise DamageError(text, piece.key)

    def _array_path(self, piece: Piece) -> str:
        return f"{self.artifact_folder(piece.key)}/{piece.array}"

    @contextmanager
    def _naming_damage(self, piece: Piece) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
            if not self.is_reachable():
                raise
            text = f"{self._array_path(piece)}: cannot be read ({error})"
            raise DamageError(text, piece.key) from error

    def note(self, name: str) -> str | None:
        """Return a small text kept beside the artifacts, or None."""
        text = self._read_text(f"{self.root}/{name}")
        return None if text is None else text.decode()

    def _read_text(self, path: str) -> bytes | None:
        """Return a small file, or None if there is none; waits for a store that does not answer."""
        while True:
            try:
                text: bytes = self.fs.cat_file(path)
            except (FileNotFoundError, NotADirectoryError):
                if self.local and self._seen and not self.is_reachable():
                    self.wait_until_reachable()
                    continue
                return None
            except Exception:  # every kind of storage has its own
                if self.is_reachable():
                    raise
                self.wait_until_reachable()
            else:
                return text

    def write_note(self, name: str, text: str) -> None:
        """Keep a small text, whole or not at all."""
        path = f"{self.root}/{name}"
        if not self.local:
            self.fs.pipe_file(path, text.encode())
            return
        draft = Path(f"{path}.{uuid.uuid4().hex}")
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text)
        draft.replace(path)
