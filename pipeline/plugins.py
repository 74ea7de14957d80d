"""Objects that a user names: ``module:object``, or an entry point of an installed package."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Collection
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError

MOST_LETTERS = 300  # of a reason that is shown


def let_import(folder: str) -> None:
    """Let modules in a folder be imported, after all others: none there can stand in for ours."""
    if folder not in sys.path:
        sys.path.append(folder)


@lru_cache
def plugin_points(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name."""
    return {point.name: point for point in entry_points(group=group)}


def load_plugin(spec: str, *, setting: str, group: str, known: Collection[str]) -> Any:
    """Return the object that a setting names.

    Parameters
    ----------
    spec : str
        ``module:object``, or the name of an entry point.
    setting : str
        For messages, such as ``flow.method``.
    group : str
        Of the entry points.
    known : collection of str
        Names that the setting takes besides, for messages.

    Raises
    ------
    ConfigError
        If there is no such name, with all there are, or it cannot be imported.
    """
    target = spec
    if ":" not in spec:
        points = plugin_points(group)
        if spec not in points:
            names = ", ".join([*known, *points])
            raise ConfigError(f"{setting} = {spec!r}: expected module:object, or one of {names}")
        target = points[spec].value
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # a user's module may fail in any way
        reason = " ".join(str(error).split())[:MOST_LETTERS]
        raise ConfigError(
            f"{setting} = {spec!r}: expected an object of a module that Python can import: "
            f"{type(error).__name__}: {reason}"
        ) from error


def code_digest(spec: str, group: str = "") -> str:
    """Return the SHA-256 of the file that defines an object, for keys.

    Other files that it imports are not seen. A module without a file gives the digest of its name.
    """
    points = plugin_points(group) if group and ":" not in spec else {}
    module = (points[spec].value if spec in points else spec).partition(":")[0]
    try:
        source = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # no such package; loading it says so better
        source = None
    if source is not None and source.origin and Path(source.origin).is_file():
        return hashlib.sha256(Path(source.origin).read_bytes()).hexdigest()
    return hashlib.sha256(module.encode()).hexdigest()
