"""Datumaro: its own JSON, with masks and polygons of pictures, as CVAT and Geti export it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.media.masks.contract import (
    BY_CONTENT,
    NOT_MINE,
    AnnotatedFrame,
    AnnotationReader,
    AnnotationSet,
    Confidence,
    Shape,
)
from stages.media.masks.json_files import read_json, read_start

# The categories of COCO are a list; here they are an object by kind of annotation.
MARKS = re.compile(rb'"dm_format_version"|"categories"\s*:\s*\{\s*"(label|mask|points)"')


class DatumaroFile(AnnotationReader):
    """Items with annotations of type mask or polygon; classes by their labels."""

    name = "datumaro"
    format = "Datumaro JSON"
    recognised_by = "`categories` that are an object, or `dm_format_version`"
    ambiguity = "none; boxes, points and lines are no regions and are left out"
    suffixes = frozenset({".json"})

    def recognise(self, path: Path) -> Confidence:
        """Return whether the file begins as its exports do."""
        if path.suffix.lower() != ".json" or not path.is_file():
            return NOT_MINE
        return BY_CONTENT if MARKS.search(read_start(path)) else NOT_MINE

    def parse(self, path: Path) -> AnnotationSet:
        """Return all annotations of a file."""
        content = read_json(path)
        labels = [str(entry["name"]) for entry in content["categories"]["label"]["labels"]]
        left_out: set[str] = set()
        frames = [_annotated_frame(item, labels, left_out) for item in content["items"]]
        if not frames:
            raise ValueError("items: expected some, got none")
        kinds = ", ".join(sorted(left_out))
        notes = (f"annotations that are no regions are left out: {kinds}",) if left_out else ()
        return AnnotationSet({"": tuple(frames)}, order=tuple(labels), notes=notes)


def _annotated_frame(
    item: Mapping[str, Any], labels: list[str], left_out: set[str]
) -> AnnotatedFrame:
    picture = item.get("image") or item.get("media") or {}
    name = str(picture.get("path") or f"{item['id']}.png")
    rows_columns = picture.get("size")
    size = (int(rows_columns[0]), int(rows_columns[1])) if rows_columns else None
    shapes = []
    for entry in sorted(item["annotations"], key=lambda entry: int(entry.get("z_order") or 0)):
        kind = str(entry.get("type"))
        if kind == "mask":
            drawn: Any = entry["rle"]
            size = size or (int(drawn["size"][0]), int(drawn["size"][1]))
        elif kind == "polygon":
            drawn = [[float(value) for value in entry["points"]]]
        else:
            left_out.add(kind)
            continue
        number = int(entry["label_id"])
        if not 0 <= number < len(labels):
            raise ValueError(f"expected a label_id below {len(labels)}, got {number}")
        shapes.append(Shape(labels[number], drawn))
    return AnnotatedFrame(name, tuple(shapes), size)


READERS = (DatumaroFile(),)
