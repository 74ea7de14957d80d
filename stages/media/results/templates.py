"""Names of results by template: ``{clip}.{frame:04d}.exr``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from string import Formatter

from pipeline.errors import InputError

FIELDS = {
    "clip": "name of the clip",
    "frame": "number of the frame as the source counts",
    "index": "number of the frame, counted from 0",
    "class": "name of the class or object",
}
SAMPLE: dict[str, int | str] = {"clip": "clip", "frame": 7, "index": 7, "class": "person"}
UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]+')
LONGEST = 200  # letters of a name; file systems take 255 bytes


def safe_name(text: str) -> str:
    """Return a text as a file name that every file system takes."""
    name = UNSAFE.sub("_", text).strip(" .")
    return name[:LONGEST] or "_"


def check_template(template: str) -> None:
    """Refuse a template that cannot name files below a clip's folder.

    Raises
    ------
    ValueError
        Naming what is wrong with it.
    """
    try:
        fields = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
        wrong = [name for name in fields if name not in FIELDS]
        if wrong:
            known = ", ".join(f"{{{name}}} ({meaning})" for name, meaning in FIELDS.items())
            raise ValueError(f"no field {{{wrong[0]}}}; there are {known}")
        filled = template.format(**SAMPLE)
    except (LookupError, ValueError) as error:
        raise ValueError(f"template {template!r}: {error}") from error
    parts = filled.split("/")
    if any(part in ("", ".", "..") or part.startswith(".") for part in parts):
        raise ValueError(f"template {template!r}: expected a path below the clip's folder")
    if len(parts) > 1 and re.search(r"\{(frame|index|class)", template.partition("/")[0]):
        raise ValueError(f"template {template!r}: the first folder must be the same for all frames")


def fill_template(result: str, template: str, fields: Mapping[str, int | str]) -> str:
    """Return a template with its fields filled in.

    Raises
    ------
    InputError
        If the format has no such field: a video has no {frame}.
    """
    try:
        return template.format(**fields)
    except KeyError as error:
        raise InputError(
            f"export.templates.{result} = {template!r}: {{{error.args[0]}}} means nothing here"
        ) from error


def rising_numbers(names: Sequence[str]) -> tuple[int, ...]:
    """Return the last number in each file name; () where they do not rise from name to name."""
    texts = [re.findall(r"[0-9]+", Path(name).stem)[-1:] for name in names]
    numbers = tuple(int(text[0]) for text in texts if text)
    rising = all(before < after for before, after in pairwise(numbers))
    return numbers if len(numbers) == len(names) and rising else ()
