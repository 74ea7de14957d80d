"""The registry of mask readers: finds all of them, and the one that a path is for."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError, InputError
from pipeline.plugins import code_digest, let_import, load_plugin, plugin_points
from pipeline.store.keys import digest_json
from stages.media.masks import formats
from stages.media.masks.contract import MaskReader

ENTRY_POINTS = "steadymask.mask_readers"

Readers = tuple[MaskReader, ...]


@lru_cache(maxsize=1)
def mask_readers() -> Readers:
    """Return all readers: those of `stages.media.masks.formats`, then those of other packages.

    Raises
    ------
    ConfigError
        If a package's reader cannot be loaded, or two readers have one name.
    """
    readers: dict[str, MaskReader] = {}
    for origin, reader in (*_shipped_readers(), *_foreign_readers()):
        if reader.name in readers:
            raise ConfigError(
                f"{origin}: expected a mask reader of a new name, got {reader.name!r} again"
            )
        readers[reader.name] = reader
    return tuple(readers.values())


def readers_with(name: str, modules: str = "") -> Readers:
    """Return all readers, and with them the one at ``module:object``, if `name` is such a word.

    Parameters
    ----------
    name : str
        As ``segment.format``.
    modules : str
        Folder from which the user's module can be imported; empty: the working folder.

    Raises
    ------
    ConfigError
        If `name` is ``module:object`` and no reader can be loaded from there.
    """
    if not is_own_reader(name):
        return mask_readers()
    let_import(modules or str(Path.cwd()))
    return (named_reader(name), *mask_readers())


def mask_suffixes(readers: Readers) -> frozenset[str]:
    """Return the endings of all files that some of the readers reads."""
    return frozenset().union(*(reader.suffixes for reader in readers))


def is_own_reader(name: str) -> bool:
    """Return whether the name of a format is a user's ``module:object``.

    >>> is_own_reader("mine:Boxes"), is_own_reader("coco")
    (True, False)
    """
    return ":" in name


def readers_digest(name: str) -> str:
    """Return the digest of the code that others wrote to read masks, for keys.

    Parameters
    ----------
    name : str
        As ``segment.format``. With ``module:object`` the file of that module counts. The files of
        entry points always count: ``auto`` and key frames may choose each of them.

    Returns
    -------
    str
        Empty where all readers are this project's own.
    """
    digests = {point: code_digest(point, ENTRY_POINTS) for point in plugin_points(ENTRY_POINTS)}
    if is_own_reader(name):
        digests[name] = code_digest(name)
    return digest_json(digests) if digests else ""


def choose_reader(path: Path, name: str = "auto") -> MaskReader:
    """Return the reader for a file or folder.

    Parameters
    ----------
    path : Path
    name : str
        ``auto``, a reader's name, or ``module:object`` of a reader.

    Raises
    ------
    InputError
        If no reader knows it, or several do with the same right: names them.
    ConfigError
        If there is no reader of that name.
    """
    if name != "auto":
        return named_reader(name)
    sure = {reader: reader.recognise(path) for reader in mask_readers()}
    best = max(sure.values(), default=0)
    chosen = [reader for reader in sure if sure[reader] == best]
    if best == 0:
        raise InputError(
            f"{path}: expected masks, got {_describe_path(path)}: formats are "
            f"{', '.join(reader.name for reader in sure)} (see docs/inputs_and_outputs.md)"
        )
    if len(chosen) > 1:
        names = " or ".join(f"{reader.name} ({reader.recognised_by})" for reader in chosen)
        raise InputError(
            f"{path}: may be {names}: set segment.format to {' or '.join(r.name for r in chosen)}"
        )
    return chosen[0]


def named_reader(name: str) -> MaskReader:
    """Return the reader of a name, or the one at ``module:object``.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if is_own_reader(name):
        return _own_reader(name)
    for reader in mask_readers():
        if reader.name == name:
            return reader
    known = ", ".join(reader.name for reader in mask_readers())
    raise ConfigError(f"segment.format = {name!r}: expected auto, module:object, or one of {known}")


def format_table() -> str:
    """Return a Markdown table of all formats: how each is recognised, and what may be ambiguous."""
    rows = [
        f"| {reader.format} | {reader.recognised_by} | {reader.ambiguity} | `{reader.name}` |"
        for reader in mask_readers()
    ]
    head = "| format | recognised by | ambiguity and the setting | `segment.format` |"
    return "\n".join([head, "|---|---|---|---|", *rows])


def _shipped_readers() -> Iterator[tuple[str, MaskReader]]:
    for module in sorted(m.name for m in pkgutil.iter_modules(formats.__path__)):
        content = importlib.import_module(f"{formats.__name__}.{module}")
        for reader in content.READERS:
            yield module, reader


def _foreign_readers() -> Iterator[tuple[str, MaskReader]]:
    for point in plugin_points(ENTRY_POINTS):
        loaded = load_plugin(
            point, setting=f"entry point of {ENTRY_POINTS}", group=ENTRY_POINTS, known=()
        )
        for reader in _as_readers(f"entry point {point}", loaded):
            yield f"entry point {point}", reader


@lru_cache(maxsize=16)
def _own_reader(name: str) -> MaskReader:
    """Return the reader at ``module:object``, the same one at each call."""
    loaded = load_plugin(name, setting="segment.format", group="", known=())
    readers = _as_readers(f"segment.format = {name!r}", loaded)
    if len(readers) != 1:
        raise ConfigError(f"segment.format = {name!r}: expected one reader, got {len(readers)}")
    return readers[0]


def _as_readers(origin: str, loaded: Any) -> tuple[MaskReader, ...]:
    items: Iterable[Any] = loaded if isinstance(loaded, (tuple, list)) else (loaded,)
    readers = [item() if isinstance(item, type) else item for item in items]
    for reader in readers:
        if not isinstance(reader, MaskReader):
            raise ConfigError(f"{origin}: expected a MaskReader, got {reader!r}")
    return tuple(readers)


def _describe_path(path: Path) -> str:
    if not path.is_dir():
        return f"a file with the ending {path.suffix or '(none)'}"
    names = sorted(entry.name for entry in path.iterdir())
    if not names:
        return "an empty folder"
    return f"a folder with {', '.join(names[:3])}" + (" …" if len(names) > 3 else "")
