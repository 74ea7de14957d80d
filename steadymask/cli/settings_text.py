"""All settings as a preset in YAML, each with its meaning as a comment."""

from __future__ import annotations

import argparse
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.settings import Sections
from pipeline.stage import Step
from stages.catalogue import Engine, build_steps, step_types, with_shared
from steadymask.cli.options import read_settings

HIDDEN = ("probe", "classes")  # steps whose settings are those of others
NOTE_AT = 44  # column where the comments begin


def print_settings(options: argparse.Namespace) -> int:
    """Print the settings that a command's options give; return the exit status."""
    settings, source = read_settings(options)
    print("\n".join(_settings_lines(settings, source)))
    return 0


def resolved_settings(steps: Sequence[Step], engine: Engine) -> Sections:
    """Return the settings of the steps of a run by section, as plain values."""
    sections = {
        step.name: step.model_dump(mode="json") for step in steps if step.name not in HIDDEN
    }
    return sections | {"engine": engine.model_dump(mode="json")}


def _settings_lines(settings: Sections, source: str) -> Iterator[str]:
    steps, engine = build_steps(settings, source)
    types = step_types(segmenter=bool(settings.get("segment", {}).get("segmenter")))
    off = sorted(set(types) - {step.name for step in steps})
    switched = [name for name in off if "enabled" in types[name].model_fields]
    filled = with_shared(settings, types)
    shown = {step.name: step for step in steps} | {
        name: types[name].model_validate(filled.get(name, {})) for name in off
    }
    for name in types:
        values = shown[name].model_dump(mode="json") | (
            {"enabled": False} if name in switched else {}
        )
        yield f"{name}:"
        yield from _section_lines(type(shown[name]), values, "  ")
    yield "engine:"
    yield from _section_lines(Engine, engine.model_dump(mode="json"), "  ")


def _section_lines(model: type[BaseModel], values: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield _noted_line(f"{indent}{name}:", _field_meaning(field))
            yield from _section_lines(inner, values[name], indent + "  ")
        else:
            yield _noted_line(f"{indent}{name}: {_value_text(values[name])}", _field_meaning(field))


def _value_text(value: Any) -> str:
    """Return a value in YAML, in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)
    return text.removesuffix("...\n").strip()


def _noted_line(text: str, note: str) -> str:
    return f"{text:<{NOTE_AT}}  # {note}" if note else text


def _field_meaning(field: FieldInfo) -> str:
    """Return the description of a field, with the words that it may be where these are few."""
    words = field_words(field.annotation)
    parts = [field.description or "", " | ".join(words) if len(words) > 1 else ""]
    return ": ".join(part for part in parts if part)


def field_words(annotation: Any) -> list[str]:
    """Return the words that a field may be; empty where it is no choice of words."""
    if typing.get_origin(annotation) is Literal:
        return [str(value) for value in typing.get_args(annotation)]
    return []
