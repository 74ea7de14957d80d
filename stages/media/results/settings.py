"""Settings of the result formats."""

from __future__ import annotations

import difflib
import hashlib
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.plugins import plugin_points
from stages.media.results.templates import check_template

ENTRY_POINTS = "steadymask.result_formats"

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
    "matte_video": "matte_video",
    "trimap": "trimap",
    "exr": "exr",
    "cutout": "replaced",
    "redacted": "redacted",
    "coverage": "redacted",
    "coco": "coco",
    "ytvis": "coco",
    "cvat": "cvat",
    "label_studio": "label_studio",
    "yolo": "yolo",
    "frames": "yolo",
}

Method = Literal["blur", "pixelate", "solid", "none"]
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
READ_BYTES = 1 << 20


class Redaction(BaseModel):
    """How classes are made unrecognisable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = Field("pixelate", description="blur, pixelate, solid or none, of all classes")
    classes: dict[str, Method] = Field(
        default_factory=dict,
        description="by name or id of a class: export.redaction.classes.face=blur",
    )
    strength: float = Field(
        0.05, gt=0, le=1, description="blocks and blur, as a share of the picture's short side"
    )
    colour: str = Field("#000000", description="of solid")

    @field_validator("colour")
    @classmethod
    def _check_colour(cls, colour: str) -> str:
        if not is_colour(colour):
            raise ValueError("expected a colour such as '#00ff00'")
        return colour


class Annotations(BaseModel):
    """How outlines are written for labelling tools."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shapes: Literal["masks", "polygons"] = Field(
        "masks", description="masks are exact; polygons have no holes (coco, cvat)"
    )
    tolerance: float = Field(
        0.5, ge=0, le=64, description="pixels that a polygon may be off (yolo, too)"
    )
    unsure: float = Field(
        0.2,
        ge=0,
        le=1,
        description="share of an object not trusted, from which it is marked unsure",
    )
    overlap: float = Field(
        0.97, gt=0, le=1, description="of cvat polygons: below it a frame is a key frame"
    )


class ResultSettings(BaseModel):
    """What to write of a clip's masks, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    formats: tuple[str, ...] = Field(
        ("png", "ffv1", "overlay"),
        description=f"what to write, of {', '.join(MODULES)}, or module:Class",
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

    background: str = Field(
        "#00b140", description="of cutout: a colour, blur, or the path of a picture or video"
    )
    background_digest: str = Field(
        "", description="of that file's content, filled in; another file is another result"
    )
    redaction: Redaction = Field(Redaction(), description="how classes are made unrecognisable")
    annotations: Annotations = Field(
        Annotations(), description="how outlines are written for labelling tools"
    )

    @model_validator(mode="before")
    @classmethod
    def _digest_background(cls, values: Any) -> Any:
        """Fill in the digest of the background's file."""
        path = Path(str(values.get("background", ""))) if isinstance(values, dict) else Path()
        if not path.is_file():
            return values
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(READ_BYTES):
                digest.update(block)
        return {**values, "background_digest": digest.hexdigest()}

    @field_validator("formats")
    @classmethod
    def _check_formats(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        for name in formats:
            _check_format(name)
        if len(set(formats)) < len(formats):
            raise ValueError("expected each format once")
        # Nobody redacts without the report of what could not be covered.
        report = "redacted" in formats and "coverage" not in formats
        if "coverage" in formats and "redacted" not in formats:
            raise ValueError("coverage is the report of redacted: choose both")
        return (*formats, "coverage") if report else formats

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


def is_own_format(name: str) -> bool:
    """Return whether a format is a user's own: ``module:Class``, or an entry point."""
    return ":" in name or name in plugin_points(ENTRY_POINTS)


def _check_format(name: str) -> None:
    if name not in MODULES and not is_own_format(name):
        near = difflib.get_close_matches(name, MODULES, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = ", ".join([*MODULES, *plugin_points(ENTRY_POINTS)])
        raise ValueError(f"no format {name!r}: {hint}there are {known}, and module:Class")


def is_colour(text: str) -> bool:
    """Return whether a text is a colour such as ``#00ff00``."""
    return COLOUR.fullmatch(text) is not None


def parse_colour(text: str) -> tuple[int, int, int]:
    """Return red, green and blue of a colour such as ``#00ff00``."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
