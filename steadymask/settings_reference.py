"""The reference of all settings, in Markdown, from the fields' own descriptions and bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from stages.catalogue import Engine, step_types
from stages.shared_settings import shared_fields
from steadymask.cli.settings_text import field_words

HEAD = """\
# Settings

Every setting of every stage, with its default. Give one as `--set stage.field=value`, in a preset
(`--config`), or as `steadymask.Settings(stage=...)`. `steadymask --print-config` prints the values
that a command would run with.
"""
SIGNS = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}


def settings_reference() -> str:
    """Return the reference of the settings as a page of Markdown."""
    pages = [HEAD]
    for name, model in step_types(segmenter=False).items():
        pages += _section_table(name, model)
    pages += _section_table("segment", step_types(segmenter=True)["segment"], ", with a segmenter")
    pages += _section_table("engine", Engine)
    return "\n".join(pages)


def _section_table(name: str, model: type[BaseModel], remark: str = "") -> Iterator[str]:
    summary = (model.__doc__ or "").strip().splitlines()[0]
    yield f"## {name}{remark}\n\n{summary}\n"
    yield "| setting | default | bounds | meaning |\n|---|---|---|---|"
    shared = shared_fields(name, model)
    yield from _field_rows(name, model, shared)
    yield ""


def _field_rows(name: str, model: type[BaseModel], shared: Mapping[str, str]) -> Iterator[str]:
    for field, info in model.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            meaning = info.description or (inner.__doc__ or "").strip().splitlines()[0]
            yield f"| `{name}.{field}` | | | {meaning} |"
            yield from _field_rows(f"{name}.{field}", inner, {})
            continue
        default = f"that of `{shared[field]}`" if field in shared else f"`{_default_text(info)}`"
        meaning = (info.description or "").replace("|", "\\|")
        yield f"| `{name}.{field}` | {default} | {_bounds_text(info)} | {meaning} |"


def _default_text(info: FieldInfo) -> str:
    if info.is_required():
        return "(to be given)"
    value: Any = info.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return ""
    return str(list(value) if isinstance(value, tuple) else value).replace("|", "\\|") or '""'


def _bounds_text(info: FieldInfo) -> str:
    words = field_words(info.annotation)
    if words:
        return ", ".join(f"`{word}`" for word in words)
    parts = [
        f"{SIGNS[type(mark)]} {next(iter(vars_of(mark)))}"
        for mark in info.metadata
        if type(mark) in SIGNS
    ]
    if any(isinstance(mark, MinLen | MaxLen) for mark in info.metadata):
        parts.append("not empty")
    return ", ".join(parts)


def vars_of(mark: Any) -> list[Any]:
    """Return the values of a bound.

    >>> vars_of(Ge(3))
    [3]
    """
    return [getattr(mark, name) for name in mark.__dataclass_fields__]
