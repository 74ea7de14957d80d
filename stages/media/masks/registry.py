"""The registry of mask readers: finds all of them, and the one that a path is for."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError, InputError
from stages.media.masks import formats
from stages.media.masks.contract import MaskReader

ENTRY_POINTS = "steadymask.mask_readers"


@lru_cache(maxsize=1)
def mask_readers() -> tuple[MaskReader, ...]:
    """Return all readers: those of `stages.media.masks.formats`, then those of other packages.

    Raises
    ------
    ConfigError
        If a package's reader cannot be loaded, or two readers have one name.
    """
    readers: dict[str, MaskReader] = {}
    for origin, reader in (*_own_readers(), *_foreign_readers()):
        if reader.name in readers:
            raise ConfigError(
                f"{origin}: expected a mask reader of a new name, got {reader.name!r} again"
            )
        readers[reader.name] = reader
    return tuple(readers.values())


def mask_suffixes() -> frozenset[str]:
    """Return the endings of all files that some reader reads."""
    return frozenset().union(*(reader.suffixes for reader in mask_readers()))


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
    if ":" in name:
        (reader,) = _as_readers(f"segment.format={name}", _load_object(name))
        return reader
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


def _own_readers() -> Iterator[tuple[str, MaskReader]]:
    for module in sorted(m.name for m in pkgutil.iter_modules(formats.__path__)):
        content = importlib.import_module(f"{formats.__name__}.{module}")
        for reader in content.READERS:
            yield module, reader


def _foreign_readers() -> Iterator[tuple[str, MaskReader]]:
    for point in entry_points(group=ENTRY_POINTS):
        origin = f"entry point {point.name} = {point.value}"
        try:
            loaded = point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"{origin}: cannot be loaded: {error}") from error
        for reader in _as_readers(origin, loaded):
            yield origin, reader


def _as_readers(origin: str, loaded: Any) -> tuple[MaskReader, ...]:
    items: Iterable[Any] = loaded if isinstance(loaded, (tuple, list)) else (loaded,)
    readers = [item() if isinstance(item, type) else item for item in items]
    for reader in readers:
        if not isinstance(reader, MaskReader):
            raise ConfigError(f"{origin}: expected a MaskReader, got {reader!r}")
    return tuple(readers)


def _load_object(name: str) -> Any:
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"segment.format = {name!r}: cannot be loaded: {error}") from error


def _describe_path(path: Path) -> str:
    if not path.is_dir():
        return f"a file with the ending {path.suffix or '(none)'}"
    names = sorted(entry.name for entry in path.iterdir())
    if not names:
        return "an empty folder"
    return f"a folder with {', '.join(names[:3])}" + (" …" if len(names) > 3 else "")
