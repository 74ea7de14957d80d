"""Settings of the result formats."""

from __future__ import annotations

import difflib
import re

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stages.media.results.templates import check_template

# Every format by name, with the file that writes it: stages/media/results/<module>.py.
MODULES = {
    "png": "png",
    "ffv1": "label_video",
    "overlay": "overlay",
    "matte": "matte",
    "matte16": "matte",
    "rgba": "cut_out",
    "tiff": "cut_out",
    "prores": "alpha_video",
    "webm": "alpha_video",
    "exr": "exr",
}


class ResultSettings(BaseModel):
    """What to write of a clip's masks, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    formats: tuple[str, ...] = Field(
        ("png", "ffv1", "overlay"), description=f"what to write, of {', '.join(MODULES)}"
    )
    templates: dict[str, str] = Field(
        default_factory=dict,
        description="path of a format's files below OUT/<clip>, of {clip}, {frame}, {index}, "
        "{class}: export.templates.png='masks/{clip}.{frame:04d}.png'",
    )
    only: tuple[str, ...] = Field((), description="names or ids of the classes to write (all)")
    frames: str = Field("", description="source frames to write, counted from 0: 100-200 (all)")
    names: dict[int, str] = Field(
        default_factory=dict, description="names of classes by id, where the masks have none"
    )
    alpha: float = Field(0.5, ge=0, le=1, description="opacity of the overlay")

    @field_validator("formats")
    @classmethod
    def _check_formats(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        for name in formats:
            _check_format(name)
        if len(set(formats)) < len(formats):
            raise ValueError("expected each format once")
        return formats

    @field_validator("only", mode="before")
    @classmethod
    def _name_classes(cls, only: object) -> object:
        """Take ids for names: YAML reads them as numbers; and a word alone for a list of one."""
        if isinstance(only, str | int):
            only = str(only).split(",")
        return [str(name).strip() for name in only] if isinstance(only, list | tuple) else only

    @field_validator("frames", mode="before")
    @classmethod
    def _check_frames(cls, frames: object) -> object:
        text = str(frames) if isinstance(frames, int) else frames
        if isinstance(text, str) and text and not re.fullmatch(r"\d+(-\d*)?", text):
            raise ValueError("expected e.g. 100-200, 100- or 7")
        return text

    @field_validator("templates")
    @classmethod
    def _check_templates(cls, templates: dict[str, str]) -> dict[str, str]:
        for name, template in templates.items():
            _check_format(name)
            check_template(template)
        return templates


def _check_format(name: str) -> None:
    if name not in MODULES:
        near = difflib.get_close_matches(name, MODULES, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"no format {name!r}: {hint}there are {', '.join(MODULES)}")
