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

MOST_BYTES = 2**20  # of a preset
LONGEST = 200  # letters of a wrong value that are shown
# a number of many digits or an impossible date is a ValueError, deep nesting the last
BROKEN = (yaml.YAMLError, ValueError, RecursionError)

Model = TypeVar("Model", bound=BaseModel)


def read_preset(path: Path) -> Sections:
    """Return the sections of a YAML preset.

    Raises
    ------
    ConfigError
        If the file cannot be read or is not sections of fields.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise ConfigError(f"{path}: expected at most {MOST_BYTES} bytes of settings, got more")
        content = _read_yaml(text.decode("utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except BROKEN as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())[:LONGEST]}") from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path}: expected sections such as 'flow:', got {_shortened_text(content)}"
        )
    for name, fields in content.items():
        if fields is not None and not isinstance(fields, dict):
            raise ConfigError(f"{path}: {name}: expected fields, got {_shortened_text(fields)}")
    return {str(name): dict(fields or {}) for name, fields in content.items()}


class _PlainLoader(yaml.SafeLoader):
    """Makes plain values only, and each once: by aliases a few lines can stand for billions."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("expected values, got an alias, such as *name or <<: *name")
        return super().compose_node(parent, index)


def _read_yaml(text: str) -> Any:
    return yaml.load(text, _PlainLoader)


def _shortened_text(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def merge_layers(*layers: Mapping[str, Mapping[str, Any]]) -> Sections:
    """Return all layers in one; a later layer beats an earlier one, field by field.

    Of a field that has fields of its own, as ``engine.resources``, each counts by itself; ``{}``
    takes all of them back.
    """
    merged: Sections = {}
    for layer in layers:
        for name, fields in layer.items():
            merged[name] = _merged_fields(merged.get(name, {}), fields)
    return merged


def _merged_fields(early: Mapping[Any, Any], late: Mapping[Any, Any]) -> dict[Any, Any]:
    out = dict(early)
    names = {str(name): name for name in out}  # those of --set are text, in YAML also numbers
    for key, value in late.items():
        name = names.get(str(key), key)
        if value and isinstance(out.get(name), Mapping) and isinstance(value, Mapping):
            value = _merged_fields(out[name], value)
        out[name] = value
    return out


def read_overrides(texts: Iterable[str]) -> Sections:
    """Return the sections of ``section.field=value`` texts; values are read as YAML.

    A field may have fields of its own: ``engine.resources.flow.gpus=0.5``.

    Raises
    ------
    ConfigError
        If a text has another form.
    """
    sections: Sections = {}
    for text in texts:
        path, equals, value = text.partition("=")
        section, dot, field = path.strip().partition(".")
        if not (equals and dot and all(field.split("."))):
            raise ConfigError(f"--set {text!r}: expected section.field=value, e.g. smooth.eps=1e-3")
        *outer, last = field.split(".")
        fields = {last: _parsed_value(text, value)}
        for name in reversed(outer):
            fields = {name: fields}
        sections = merge_layers(sections, {section: fields})
    return sections


def _parsed_value(text: str, value: str) -> Any:
    try:
        read = _read_yaml(value)
    except BROKEN as error:
        raise ConfigError(f"--set {text!r}: the value is not YAML") from error
    if isinstance(read, str):  # YAML 1.1 takes 1e-3 for a word
        try:
            return float(read)
        except ValueError:
            return read
    return read


def check_names(sections: Mapping[str, Any], known: Iterable[str], source: str) -> None:
    """Refuse a section that does not exist, naming the nearest that does.

    Raises
    ------
    ConfigError
    """
    names = list(known)
    for name in sections:
        if name not in names:
            raise ConfigError(f"{source}: no section {name!r}{_nearest_hint(name, names)}")


def build(model: type[Model], section: str, fields: Mapping[str, Any], source: str) -> Model:
    """Return the checked settings of one section.

    Raises
    ------
    ConfigError
        Naming the field, its value, what was expected and the nearest valid name.
    """
    for field in map(str, fields):
        if field not in model.model_fields:
            hint = _nearest_hint(field, list(model.model_fields))
            raise ConfigError(f"{source}: no setting {section}.{field[:LONGEST]}{hint}")
    try:
        return model(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join([section, *(str(part) for part in first["loc"] if isinstance(part, str))])
        expected = first["msg"][:1].lower() + first["msg"][1:]
        raise ConfigError(
            f"{source}: {name} = {_shortened_text(first['input'])}: {expected}"
        ) from error


def _nearest_hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    best = f": did you mean {near[0]!r}?" if near else ":"
    return f"{best} (there are: {', '.join(known)})"
