"""YOLO: a text a picture with normalised polygons, and the results of Ultralytics as JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml

from pipeline.errors import InputError
from stages.media.footage.sequences import natural_key
from stages.media.masks.contract import (
    BY_CONTENT,
    NOT_MINE,
    AnnotatedFrame,
    AnnotationReader,
    AnnotationSet,
    Confidence,
    FootageFacts,
    ReadingChoices,
    Shape,
)
from stages.media.masks.drawing import fill_polygons, pack
from stages.media.masks.json_files import MALFORMED, read_bytes, read_json, read_start
from stages.media.masks.shape_masks import ShapeMasks
from stages.media.masks.source import Known, MaskSource

Size = tuple[int, int]

LINE = re.compile(rb"\d+(?:[ \t]+[0-9.eE+-]+){6,}[ \t]*\r?(?:\n|$)")
SEGMENTS = re.compile(rb'"segments"\s*:')
NAMES = ("data.yaml", "dataset.yaml", "data.yml", "classes.txt", "obj.names")
NOT_LABELS = frozenset(("classes.txt", "train.txt", "val.txt", "test.txt", "readme.txt"))
NOTE = "frames without a file, or without a line in it, have no object"


@dataclass(frozen=True)
class YoloTexts(AnnotationReader):
    """Polygons in shares of the picture, so its size is needed: that of the footage."""

    name: ClassVar[str] = "yolo"
    format: ClassVar[str] = "YOLO segmentation, one text a picture"
    recognised_by: ClassVar[str] = "lines of a class and three or more points in .txt files"
    ambiguity: ClassVar[str] = (
        "none; names of classes from data.yaml or classes.txt beside or above"
    )

    size: Size = (0, 0)

    def recognise(self, path: Path) -> Confidence:
        """Return whether the first text that is not empty has such lines."""
        if not path.is_dir():
            return NOT_MINE
        for file in _label_files(path):
            start = read_start(file)
            if start.strip():
                return BY_CONTENT if LINE.match(start) else NOT_MINE
        return NOT_MINE

    def open(
        self,
        path: Path,
        footage: FootageFacts,
        choices: ReadingChoices,
        known: Known | None = None,
    ) -> MaskSource:
        """Return the masks of a clip; a frame without a file has none."""
        sized = replace(self, size=footage.size)
        return ShapeMasks(sized, path, footage, _without_files_empty(choices), known)

    def parse(self, path: Path) -> AnnotationSet:
        """Return all annotations of a folder."""
        size = self.size if min(self.size) > 0 else (1000, 1000)  # for names alone
        frames = []
        for file in _label_files(path):
            lines = read_bytes(file).decode("utf-8", errors="replace").splitlines()
            shapes = [_line_shape(line, size) for line in lines if line.strip()]
            frames.append(AnnotatedFrame(file.name, tuple(shapes), size))
        return AnnotationSet({"": tuple(frames)}, _class_names(path), notes=(NOTE,))


@dataclass(frozen=True)
class UltralyticsResults(AnnotationReader):
    """What `results.to_json()` gives: a list of objects a frame, in one file or a file a frame."""

    name: ClassVar[str] = "ultralytics"
    format: ClassVar[str] = "results of Ultralytics as JSON"
    recognised_by: ClassVar[str] = "`segments` of objects in JSON"
    ambiguity: ClassVar[str] = "coordinates that are all 1 or less are shares of the picture"
    suffixes: ClassVar[frozenset[str]] = frozenset({".json"})

    size: Size = (0, 0)

    def recognise(self, path: Path) -> Confidence:
        """Return whether a file, or one of the first in a folder, has such objects."""
        if path.is_dir():
            files = sorted(path.glob("*.json"))[:50]
            return max((self.recognise(file) for file in files), default=NOT_MINE)
        if path.suffix.lower() != ".json" or not path.is_file():
            return NOT_MINE
        start = read_start(path, 2**16)
        return BY_CONTENT if SEGMENTS.search(start) and b'"box"' in start else NOT_MINE

    def open(
        self,
        path: Path,
        footage: FootageFacts,
        choices: ReadingChoices,
        known: Known | None = None,
    ) -> MaskSource:
        """Return the masks of a clip; a frame without objects has none."""
        sized = replace(self, size=footage.size)
        return ShapeMasks(sized, path, footage, _without_files_empty(choices), known)

    def parse(self, path: Path) -> AnnotationSet:
        """Return all annotations of a file or folder."""
        size = self.size if min(self.size) > 0 else (1000, 1000)
        if path.is_dir():
            files = sorted(path.glob("*.json"), key=lambda file: natural_key(file.name))
            lists = {file.name: read_json(file) for file in files}
        else:
            lists = _by_frame(read_json(path))
        names: dict[int, str] = {}
        frames = []
        for k, (name, objects) in enumerate(lists.items()):
            shapes = tuple(_annotation_set(entry, size, names) for entry in objects)
            number = None if path.is_dir() or not isinstance(name, int) else k
            frames.append(AnnotatedFrame("" if number is not None else str(name), shapes, size,
                                         number))  # fmt: skip
        return AnnotationSet({"": tuple(frames)}, names, notes=(NOTE,))


def _without_files_empty(choices: ReadingChoices) -> ReadingChoices:
    """Return choices under which a frame that is not there has no object, unless it is held."""
    return (
        choices.model_copy(update={"missing": "empty"}) if choices.missing == "error" else choices
    )


def _label_files(path: Path) -> list[Path]:
    """Return the label files of a folder, or of the folder `labels` in it."""
    for folder in (path, path / "labels"):
        files = [p for p in folder.glob("*.txt") if p.name.lower() not in NOT_LABELS]
        if files:
            return sorted(files, key=lambda file: natural_key(file.name))
    return []


def _line_shape(line: str, size: Size) -> Shape:
    """Return the object of a line: class, points, perhaps a confidence, perhaps a track."""
    words = line.split()
    number, rest = int(float(words[0])), words[1:]
    # Objects of a class are one mask: the number of a track, a whole one, is not kept.
    if len(rest) > 7 and re.fullmatch(r"\d+", rest[-1]) and int(rest[-1]) > 1:
        rest.pop()
    if len(rest) % 2:
        rest.pop()
    if len(rest) < 6:
        raise ValueError(f"expected a class and three or more points, got {line[:60]!r}: boxes?")
    shares = np.asarray(rest, np.float64).reshape(-1, 2)
    if not ((shares >= -0.01) & (shares <= 1.01)).all():
        raise ValueError(f"expected points in shares of the picture, 0 to 1, got {line[:60]!r}")
    polygon = (shares * np.array([size[1], size[0]])).tolist()
    return Shape(number, pack(fill_polygons([polygon], size)))


def _class_names(path: Path) -> dict[int, str]:
    """Return the names of classes from a file beside the labels or up to three folders above."""
    for folder in (path / "labels", path, *list(path.resolve().parents)[:3]):
        for name in NAMES:
            file = folder / name
            if file.is_file():
                return _names_in(file)
    return {}


def _names_in(file: Path) -> dict[int, str]:
    text = read_bytes(file).decode("utf-8", errors="replace")
    if file.suffix in (".txt", ".names"):
        return dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    try:
        names = (yaml.safe_load(text) or {}).get("names") or {}
        pairs = names.items() if isinstance(names, Mapping) else enumerate(names)
        return {int(k): str(name) for k, name in pairs}
    except (yaml.YAMLError, *MALFORMED) as error:
        raise InputError(f"{file}: expected names of classes, got {error}") from error


def _by_frame(content: Any) -> dict[Any, Any]:
    """Return lists of objects by frame: by name, or by number from 0."""
    if isinstance(content, Mapping):
        return dict(content)
    if content and all(isinstance(entry, Mapping) for entry in content):
        return {0: content}  # one picture
    return dict(enumerate(content))


def _annotation_set(entry: Mapping[str, Any], size: Size, names: dict[int, str]) -> Shape:
    number = int(entry["class"])
    names[number] = str(entry.get("name", ""))
    part = entry.get("segments")
    if not part:
        raise ValueError("an object without segments: a network that gives boxes, no masks?")
    points = np.stack([np.asarray(part["x"], np.float64), np.asarray(part["y"], np.float64)], 1)
    if points.size and points.max() <= 1:
        points = points * np.array([size[1], size[0]])
    return Shape(number, pack(fill_polygons([points.tolist()], size)))


READERS = (YoloTexts(), UltralyticsResults())
