"""Presets and overrides → checked settings of every step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.errors import ConfigError

Sections = dict[str, dict[str, Any]]
"""Settings by section and field, as a preset or the command line gives them."""

Model = TypeVar("Model", bound=BaseModel)


def read_preset(path: Path) -> Sections:
    """Return what a YAML preset says.

    Raises
    ------
    ConfigError
        If the file cannot be read or is not sections of fields.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected sections such as 'flow:', got {content!r}")
    for name, fields in content.items():
        if fields is not None and not isinstance(fields, dict):
            raise ConfigError(f"{path}: {name}: expected fields, got {fields!r}")
    return {str(name): dict(fields or {}) for name, fields in content.items()}


def merge(*layers: Mapping[str, Mapping[str, Any]]) -> Sections:
    """Return all layers in one; a later layer beats an earlier one, field by field."""
    merged: Sections = {}
    for layer in layers:
        for name, fields in layer.items():
            merged.setdefault(name, {}).update(fields)
    return merged


def read_overrides(texts: Iterable[str]) -> Sections:
    """Return what ``section.field=value`` texts say; values are read as YAML.

    Raises
    ------
    ConfigError
        If a text has another form.
    """
    given: Sections = {}
    for text in texts:
        path, equals, value = text.partition("=")
        section, dot, field = path.strip().partition(".")
        if not (equals and dot and field):
            raise ConfigError(f"--set {text!r}: expected section.field=value, e.g. smooth.eps=1e-3")
        given.setdefault(section, {})[field] = _value(text, value)
    return given


def _value(text: str, value: str) -> Any:
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text!r}: the value is not YAML") from error
    if isinstance(read, str):  # YAML 1.1 takes 1e-3 for a word
        try:
            return float(read)
        except ValueError:
            return read
    return read


def check_names(given: Mapping[str, Any], known: Iterable[str], source: str) -> None:
    """Refuse a section that does not exist, naming the nearest that does.

    Raises
    ------
    ConfigError
    """
    names = list(known)
    for name in given:
        if name not in names:
            raise ConfigError(f"{source}: no section {name!r}{_hint(name, names)}")


def build(model: type[Model], section: str, fields: Mapping[str, Any], source: str) -> Model:
    """Return the checked settings of one section.

    Raises
    ------
    ConfigError
        Naming the field, its value, what was expected and the nearest valid name.
    """
    for field in fields:
        if field not in model.model_fields:
            hint = _hint(field, list(model.model_fields))
            raise ConfigError(f"{source}: no setting {section}.{field}{hint}")
    try:
        return model(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join([section, *(str(part) for part in first["loc"] if isinstance(part, str))])
        expected = first["msg"][:1].lower() + first["msg"][1:]
        raise ConfigError(f"{source}: {name} = {first['input']!r}: {expected}") from error


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    best = f": did you mean {near[0]!r}?" if near else ":"
    return f"{best} (there are: {', '.join(known)})"
