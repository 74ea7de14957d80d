"""Boxes and points that tell a network such as SAM what to cut out of a clip."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from pipeline.errors import ConfigError

MOST_BYTES = 2**26
Number = Annotated[float, Field(allow_inf_nan=False)]


class Prompt(BaseModel):
    """One object from a frame on: a box, points, or both, in pixels of the footage.

    Several of one label and frame are parts of one class. The next frame with a prompt of the same
    label takes its place.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str = Field("object", min_length=1)
    frame: int = Field(0, ge=0)
    box: tuple[Number, Number, Number, Number] | None = None
    points: tuple[tuple[Number, Number], ...] = ()
    signs: tuple[Annotated[int, Field(ge=0, le=1)], ...] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> Prompt:
        if self.box is None and not self.points:
            raise ValueError("expected a box [left, top, right, bottom] or points")
        if self.box is not None and not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise ValueError("expected a box [left, top, right, bottom], left before right")
        if self.signs and len(self.signs) != len(self.points):
            raise ValueError("expected a sign, 1 inside or 0 outside, for each point")
        return self

    def scaled(self, x: float, y: float) -> Prompt:
        """Return it in pixels of a picture of another size."""
        box = self.box and (self.box[0] * x, self.box[1] * y, self.box[2] * x, self.box[3] * y)
        points = tuple((px * x, py * y) for px, py in self.points)
        return self.model_copy(update={"box": box, "points": points})


PROMPTS = TypeAdapter(tuple[Prompt, ...])


def read_prompts(file: Path, clip: str) -> tuple[Prompt, ...]:
    """Return a clip's prompts from a JSON file: ``{"CLIP": [{"label": …, "box": […]}, …]}``.

    Raises
    ------
    ConfigError
        If the file cannot be read, or says nothing of the clip.
    """
    try:
        with file.open("rb") as source:
            content = json.loads(source.read(MOST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"segment.prompts = {str(file)!r}: not readable: {error}") from error
    if not isinstance(content, Mapping) or clip not in content:
        names = ", ".join(list(content)[:5]) if isinstance(content, Mapping) else "none"
        raise ConfigError(
            f'{file}: expected an entry {clip!r}, such as {{"{clip}": [{{"label": "cat", "box": '
            f"[10, 20, 90, 80]}}]}}, got {names}"
        )
    try:
        prompts = PROMPTS.validate_python(content[clip])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{file}: {clip}.{where}: {first['msg']}") from error
    if not prompts:
        raise ConfigError(f"{file}: {clip}: expected one prompt or more, got none")
    return prompts


def prompts_of(entries: Sequence[Any]) -> tuple[Prompt, ...]:
    """Return prompts from what `Prompt.model_dump` gave."""
    return PROMPTS.validate_python(entries)


def label_names(prompts: Sequence[Prompt]) -> dict[int, str]:
    """Return the labels of the classes 1, 2, … in the order in which prompts name them."""
    return dict(enumerate(dict.fromkeys(prompt.label for prompt in prompts), start=1))


def prompts_at(prompts: Sequence[Prompt], frame: int) -> list[list[Prompt]]:
    """Return for each class the prompts that hold at a frame: its last ones before, or none.

    >>> some = [Prompt(label="a", box=(0, 0, 2, 2)), Prompt(label="a", frame=5, box=(1, 1, 3, 3))]
    >>> [prompts_at(some, t)[0][0].frame for t in (0, 4, 5, 9)]
    [0, 0, 5, 5]
    """
    every = []
    for label in label_names(prompts).values():
        own = [prompt for prompt in prompts if prompt.label == label and prompt.frame <= frame]
        last = max((prompt.frame for prompt in own), default=0)
        every.append([prompt for prompt in own if prompt.frame == last])
    return every
