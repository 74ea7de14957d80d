"""The result formats by name: the one file that knows which there are."""

from __future__ import annotations

import inspect
from functools import lru_cache
from importlib import import_module

from pipeline.errors import ConfigError, InputError
from pipeline.plugins import load_plugin
from stages.media.results.result import Result, ResultClip
from stages.media.results.settings import (
    ENTRY_POINTS,
    MODULES,
    ResultSettings,
    is_own_format,
)


@lru_cache
def result_type(name: str) -> type[Result]:
    """Return the class of a format; its file is imported now: some need libraries of their own."""
    if is_own_format(name):
        return _own_type(name)
    module = import_module(f"stages.media.results.{MODULES[name]}")
    types = [
        kind
        for kind in vars(module).values()
        if inspect.isclass(kind) and issubclass(kind, Result) and vars(kind).get("format") == name
    ]
    (kind,) = types
    return kind


def _own_type(name: str) -> type[Result]:
    """Return the class of a user's format: a `Result` at ``module:Class``, or an entry point."""
    kind = load_plugin(name, setting="export.formats", group=ENTRY_POINTS, known=MODULES)
    if not (inspect.isclass(kind) and issubclass(kind, Result)):
        raise ConfigError(f"export.formats = {name!r}: expected a class of Result, got {kind!r}")
    return kind


def build_results(clip: ResultClip, settings: ResultSettings) -> list[Result]:
    """Return the results that the settings ask for.

    Raises
    ------
    InputError
        If two would have the same name, or this machine lacks an encoder.
    """
    results = [result_type(name)(clip, settings) for name in settings.formats]
    taken: dict[str, str] = {}
    for result in results:
        if result.name in taken:
            raise InputError(
                f"export.templates: {taken[result.name]} and {result.format} would both be "
                f"{result.name!r}: give one another name"
            )
        taken[result.name] = result.format
    return results
