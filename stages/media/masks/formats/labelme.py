"""labelme: one JSON a picture, with polygons, rectangles, circles and painted masks."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.media.footage.pictures import BROKEN
from stages.media.footage.sequences import natural_key
from stages.media.masks.contract import (
    BY_CONTENT,
    NOT_MINE,
    AnnotatedFrame,
    AnnotationReader,
    AnnotationSet,
    Confidence,
    Shape,
)
from stages.media.masks.drawing import check_drawing, draw_like_labelme, pack
from stages.media.masks.json_files import read_json, read_start

MARKS = re.compile(rb'"shapes"\s*:\s*\[')
DRAWN = ("polygon", "rectangle", "oriented_rectangle", "circle")


class LabelmeFiles(AnnotationReader):
    """A folder of labelme's files, or a single one; classes by their labels."""

    name = "labelme"
    format = "labelme JSON"
    recognised_by = "`shapes` at the beginning of a JSON file a picture"
    ambiguity = "none; points and lines are no regions and are left out"
    suffixes = frozenset({".json"})

    def recognise(self, path: Path) -> Confidence:
        """Return whether a file, or the first JSON in a folder, begins as labelme's do."""
        if path.is_dir():
            first = min(path.glob("*.json"), default=None)
            return NOT_MINE if first is None else self.recognise(first)
        if path.suffix.lower() != ".json":
            return NOT_MINE
        start = read_start(path)
        return BY_CONTENT if MARKS.search(start) and b'"annotations"' not in start else NOT_MINE

    def parse(self, path: Path) -> AnnotationSet:
        """Return all annotations of the folder or file."""
        files = sorted(path.glob("*.json"), key=lambda f: natural_key(f.name))
        left_out: set[str] = set()
        frames = [_annotated_frame(file, left_out) for file in files or [path]]
        kinds = ", ".join(sorted(left_out))
        notes = (f"shapes that are no regions are left out: {kinds}",) if left_out else ()
        return AnnotationSet({"": tuple(frames)}, notes=notes)


def _annotated_frame(file: Path, left_out: set[str]) -> AnnotatedFrame:
    content = read_json(file)
    if not isinstance(content, Mapping) or not isinstance(content.get("shapes"), list):
        raise ValueError(f"{file.name}: expected an object with a list of shapes")
    rows, columns = content.get("imageHeight"), content.get("imageWidth")
    if rows is None or columns is None:
        raise ValueError(f"{file.name}: expected imageHeight and imageWidth")
    size = int(rows), int(columns)
    shapes = []
    for entry in content["shapes"]:
        kind = str(entry.get("shape_type") or "polygon")
        if kind == "mask":
            drawn = _painted_mask(entry, size)
        elif kind in DRAWN:
            drawn = draw_like_labelme(kind, entry["points"], size)
        else:
            left_out.add(kind)
            continue
        shapes.append(Shape(str(entry["label"]), pack(drawn)))
    return AnnotatedFrame(f"{file.stem}.json", tuple(shapes), size)


def _painted_mask(entry: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a painted mask (H, W): a PNG in text, with its place in the picture."""
    points = check_drawing(entry["points"], size, fewest=2)
    (left, top), (right, bottom) = np.rint(points[:2]).astype(int).tolist()
    data = base64.b64decode(entry["mask"])
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.size != (right - left + 1, bottom - top + 1):
                raise ValueError(f"expected a mask of its own box, got {picture.size}")
            painted = np.asarray(picture.convert("L")) > 0
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise ValueError(f"not a readable mask: {error}") from error
    mask = np.zeros(size, np.bool_)
    rows, columns = slice(max(top, 0), bottom + 1), slice(max(left, 0), right + 1)
    inside = mask[rows, columns]
    inside |= painted[max(-top, 0) :, max(-left, 0) :][: inside.shape[0], : inside.shape[1]]
    return mask


READERS = (LabelmeFiles(),)
