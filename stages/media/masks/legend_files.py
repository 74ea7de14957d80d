"""Files beside masks that name their colours: JSON, CSV, CVAT's labelmap.txt, CamVid's text."""

from __future__ import annotations

import csv
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import InputError
from stages.media.footage.safe_open import open_regular
from stages.media.masks.json_files import MALFORMED, read_bytes

LEGENDS = (
    *("legend.json", "legend.csv", "legend.txt", "labelmap.txt", "label_colors.txt"),
    *("class_dict.csv", "labels.csv", "colormap.json"),
)
MOST_LEGEND_BYTES = 2**24
BACKGROUND_NAMES = frozenset(
    {"background", "_background_", "bg", "void", "unlabeled", "unlabelled"}
)

Named = dict[int, tuple[int, str]]
"""Label and name of each packed colour."""


def find_legend(where: Path) -> Named:
    """Return labels and names by colour, of a legend file beside the masks; empty if there is none.

    It lies in the masks' folder or archive, in the folder above, or above that.

    Raises
    ------
    InputError
        If it is malformed.
    """
    for name, read in _legend_files(where):
        try:
            return _numbered(parse_legend(name, read()))
        except MALFORMED as error:
            raise InputError(
                f"{name}: expected names and colours, got something malformed ({error})"
            ) from error
    return {}


def _legend_files(where: Path) -> Iterator[tuple[Path, Callable[[], bytes]]]:
    """Yield the legends that belong to masks, nearest first, each with a function that reads it."""
    if where.suffix.lower() == ".zip" and where.is_file():
        for member in legends_inside(where):
            yield where / member, partial(read_member, where, member)
    for folder in (where, where.parent, where.parent.parent):
        for name in LEGENDS:
            if folder.is_dir() and (folder / name).is_file():
                yield folder / name, partial(read_bytes, folder / name)


def legends_inside(archive: Path) -> list[str]:
    """Return the legends in a zip archive, those in the fewest folders first."""
    with open_regular(archive) as source, zipfile.ZipFile(source) as content:
        names = [name for name in content.namelist() if PurePosixPath(name).name in LEGENDS]
    return sorted(names, key=lambda name: (name.count("/"), name))


def read_member(archive: Path, member: str) -> bytes:
    """Return the content of a small file in a zip archive.

    Raises
    ------
    ValueError
        If it is too large for a legend.
    """
    with open_regular(archive) as source, zipfile.ZipFile(source) as content:
        if content.getinfo(member).file_size > MOST_LEGEND_BYTES:
            raise ValueError(f"expected at most {MOST_LEGEND_BYTES} bytes")
        return content.read(member)


def parse_legend(path: Path, content: bytes) -> list[tuple[str, int]]:
    """Return names and packed colours of a legend, in its order.

    JSON ``{"name": "#rrggbb" or [r, g, b]}`` or a list of objects with name and color; CVAT's
    ``labelmap.txt``; CSV ``name,r,g,b``; text ``r g b name`` as CamVid's.
    """
    text = content.decode("utf-8-sig")
    if path.suffix == ".json":
        return _of_json(json.loads(text))
    entries = []
    for row in csv.reader(text.splitlines()) if path.suffix == ".csv" else _rows(text):
        parts = [part.strip() for part in row if part.strip()]
        numbers = [int(part) for part in parts if re.fullmatch(r"[0-9]{1,3}", part)][:3]
        words = [part for part in parts if not re.fullmatch(r"[0-9]+", part)]
        if len(numbers) == 3 and words:
            entries.append((words[0], _pack(numbers)))
    if not entries:
        raise ValueError("no line with a name and red, green, blue")
    return entries


def _rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [re.split(r"[:,;\s]+", line) for line in lines]


def _of_json(content: Any) -> list[tuple[str, int]]:
    if isinstance(content, Mapping):
        return [(str(name), _pack(colour)) for name, colour in content.items()]
    return [
        (str(entry.get("name", "")), _pack(entry.get("color", entry.get("colour"))))
        for entry in content
    ]


def _pack(colour: Any) -> int:
    if isinstance(colour, str):
        if not re.fullmatch(r"#?[0-9a-fA-F]{6}", colour):
            raise ValueError(f"expected a colour as #rrggbb, got {colour!r}")
        return int(colour.removeprefix("#"), 16)
    red, green, blue = (int(v) for v in colour)
    if not all(0 <= v <= 255 for v in (red, green, blue)):
        raise ValueError(f"expected red, green and blue in 0-255, got {colour!r}")
    return red << 16 | green << 8 | blue


def _numbered(entries: list[tuple[str, int]]) -> Named:
    """Return labels by colour: in the legend's order from 1, the background 0."""
    named: Named = {}
    label = 0
    has_name = any(name.casefold() in BACKGROUND_NAMES for name, _ in entries)
    for name, colour in entries:
        is_background = name.casefold() in BACKGROUND_NAMES if has_name else colour == 0
        if is_background:
            named[colour] = (0, name)
        else:
            label += 1
            named[colour] = (label, name)
    return named
