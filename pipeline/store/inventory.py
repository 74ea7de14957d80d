"""What a store holds, what room it takes, and removing from it.

Nothing here counts as use of an artifact.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from pipeline.store.artifact import Manifest, unsealed_manifest
from pipeline.store.store import MANIFEST, REMOVED, Store

UNREADABLE = "(unreadable)"
INDEX = "index"
KEY_LENGTH = 64
BLOCK = 512  # bytes; the unit of st_blocks, whatever the file system's own


@dataclass(frozen=True)
class Entry:
    """One finished artifact, as far as keeping it is concerned.

    Attributes
    ----------
    key : str
    stage, clip : str
        What made it, and for which clip first: a clip of the same content uses it too.
    seconds : float
        Time it took to make.
    stored_bytes : int
        Room it takes: what its writer measured, ``provenance["stored_bytes"]``, or `size_of` it.
    used : float
        Last use, seconds since 1970, to the hour; in an object store the time of writing.
    """

    key: str
    stage: str
    clip: str
    seconds: float
    stored_bytes: int
    used: float


@dataclass(frozen=True)
class Leftover:
    """What a writer or a remover left that did not live to end: nobody can read it."""

    path: str
    stored_bytes: int


@dataclass(frozen=True)
class Stock:
    """The finished artifacts, and the keys of those that lack their manifest."""

    entries: list[Entry]
    unfinished: list[str]

    @property
    def stored_bytes(self) -> int:
        """Room that the finished artifacts take."""
        return sum(entry.stored_bytes for entry in self.entries)


def keys_of(store: Store) -> Iterator[str]:
    """Yield the keys of all artifacts, also of unfinished ones, in order."""
    for shelf in names_in(store, "objects"):
        yield from _shelf_keys(store, shelf)


def take_stock(store: Store) -> Stock:
    """Return an inventory of the store.

    An artifact never changes, so what was once measured is kept in ``index/``, a note for each
    folder of ``objects/``, and only new artifacts are looked at.
    """
    entries: list[Entry] = []
    unfinished: list[str] = []
    for shelf in names_in(store, "objects"):
        known = _remembered_entries(store, shelf)
        entries_by_key: dict[str, Entry] = {}
        for key in _shelf_keys(store, shelf):
            entry = _find_entry(store, key, known.get(key))
            if entry is None:
                unfinished.append(key)
            else:
                entries_by_key[key] = entry
        entries += entries_by_key.values()
        _remember_entries(store, shelf, entries_by_key, known)
    return Stock(entries, unfinished)


def forget_stock(store: Store) -> None:
    """Forget what was measured; the next `take_stock` looks at every artifact again."""
    with suppress(OSError):  # nothing remembered, or it may only be read
        store.fs.rm(f"{store.root}/{INDEX}", recursive=True)


def manifest_of(store: Store, key: str) -> Manifest | None:
    """Return a manifest, None where there is none; ValueError if it cannot be understood."""
    try:
        text = store.fs.cat_file(f"{store.artifact_folder(key)}/{MANIFEST}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        manifest = unsealed_manifest(text)
        manifest.bytes_stored()  # looks at every part of `arrays`
        if isinstance(manifest.record, dict) and isinstance(manifest.provenance, dict):
            return manifest
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise ValueError(f"expected a manifest, got {text[:40]!r}")


def size_of(store: Store, key: str) -> int:
    """Return the bytes that an artifact takes; see `room_of`."""
    return room_of(store, store.artifact_folder(key))


def room_of(store: Store, folder: str) -> int:
    """Return the bytes that a folder of the store takes, be it an artifact's or a draft's.

    On a file system the blocks of files and folders, as `du` counts them; else sizes of objects.
    """
    return _block_bytes(folder) if store.local else int(store.fs.du(folder))


def find_leftovers(store: Store, stock: Stock, *, before: float) -> list[Leftover]:
    """Return the folders that no writer and no remover will finish.

    Parameters
    ----------
    store : Store
    stock : Stock
        Of this store.
    before : float
        Seconds since 1970: what was last written after that may be in work.
    """
    dead = []
    for name in names_in(store, "drafts") if store.local else []:
        path = f"{store.root}/drafts/{name}"
        if name.startswith(REMOVED) or _last_written(store, path) < before:
            dead.append(Leftover(path, room_of(store, path)))
    for key in stock.unfinished:
        if _last_written(store, store.artifact_folder(key)) < before:
            dead.append(Leftover(store.artifact_folder(key), size_of(store, key)))
    return dead


def delete_leftovers(store: Store, dead: list[Leftover]) -> None:
    """Delete leftovers."""
    for leftover in dead:
        if store.local:
            shutil.rmtree(leftover.path, ignore_errors=True)
        else:
            with suppress(FileNotFoundError):
                store.fs.rm(leftover.path, recursive=True)


def _find_entry(store: Store, key: str, known: Entry | None) -> Entry | None:
    """Return the entry of an artifact, remembered or read; None if it lacks its manifest."""
    used = 0.0
    if store.local:
        try:
            used = Path(store.artifact_folder(key), MANIFEST).stat().st_mtime
        except (FileNotFoundError, NotADirectoryError):
            return None
    entry = known if known is not None else _measured_entry(store, key)
    return replace(entry, used=used or entry.used) if entry is not None else None


def _measured_entry(store: Store, key: str) -> Entry | None:
    """Return an entry from the artifact itself; `used` is when it was written."""
    try:
        manifest = manifest_of(store, key)
        if manifest is None:
            return None
        stage, provenance = str(manifest.record.get("stage", "")), manifest.provenance
        spent = int(float(provenance.get("seconds", 0)) * 1000) / 1000  # refuses what is no number
        ended = int(float(provenance.get("finished", 0)) * 1000) / 1000
        size = int(provenance.get("stored_bytes") or size_of(store, key))
    except (ValueError, TypeError, OverflowError):
        return Entry(key, UNREADABLE, "", 0.0, size_of(store, key), 0.0)
    return Entry(key, stage, str(provenance.get("clip", "")), spent, size, ended)


def _remembered_entries(store: Store, shelf: str) -> dict[str, Entry]:
    """Return the entries measured before of the artifacts under ``objects/<shelf>``."""
    try:
        rows = json.loads(store.note(f"{INDEX}/{shelf}.json") or "{}")
        return {key: Entry(key, *row) for key, row in rows.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _remember_entries(
    store: Store, shelf: str, entries: dict[str, Entry], known: dict[str, Entry]
) -> None:
    kept = {key: entry for key, entry in entries.items() if entry.stage != UNREADABLE}
    if kept.keys() == known.keys():
        return
    rows = {key: astuple(entry)[1:] for key, entry in kept.items()}
    with suppress(OSError):  # of a store that may only be read
        store.write_note(f"{INDEX}/{shelf}.json", json.dumps(rows))


def _shelf_keys(store: Store, shelf: str) -> list[str]:
    """Return the keys under ``objects/<shelf>``; other names there are not ours."""
    names = names_in(store, f"objects/{shelf}")
    return [name for name in names if len(name) == KEY_LENGTH and name.startswith(shelf)]


def names_in(store: Store, folder: str) -> list[str]:
    """Return the names in a folder of the store, in order; none where there is no folder."""
    store.fs.invalidate_cache()  # others write too, and some object stores remember listings
    try:
        paths = store.fs.ls(f"{store.root}/{folder}", detail=False)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in paths)


def _block_bytes(path: str) -> int:
    """Return the bytes of the blocks of a folder and all in it; what vanishes counts nothing."""
    total = 0
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(path) as inside:
        total += Path(path).stat().st_blocks * BLOCK
        for entry in inside:
            if entry.is_dir(follow_symlinks=False):
                total += _block_bytes(entry.path)
            else:
                total += entry.stat(follow_symlinks=False).st_blocks * BLOCK
    return total


def _last_written(store: Store, path: str) -> float:
    """Return when anything below `path` was last written; in an object store, its last name."""
    if not store.local:
        names = store.fs.find(path)
        return float(store.fs.modified(names[-1]).timestamp()) if names else 0.0
    newest = 0.0
    for folder, _, files in os.walk(path):
        for name in ("", *files):
            with suppress(FileNotFoundError):
                newest = max(newest, Path(folder, name).stat().st_mtime)
    return newest
