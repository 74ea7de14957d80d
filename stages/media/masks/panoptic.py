"""COCO panoptic: pictures whose colours number segments, and a JSON that gives their categories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.media.masks.contract import AnnotatedFrame, AnnotationSet, Shape
from stages.media.masks.drawing import pack
from stages.media.masks.json_files import read_start
from stages.media.masks.mask_pictures import MaskFile, read_mask_picture
from stages.media.masks.raw import colours_of

Json = Mapping[str, Any]
MARK_WITHIN = 2**24  # bytes of a file, that are looked through for its mark


def is_panoptic(content: Json) -> bool:
    """Return whether annotations list segments of a picture."""
    some: Json = next(iter(content.get("annotations") or ()), {})
    return "segments_info" in some


def pictures_beside(path: Path) -> Path | None:
    """Return the folder of pictures that a panoptic JSON is named like; None if it has none."""
    folder = path.with_suffix("")
    if path.suffix.lower() != ".json" or not folder.is_dir():
        return None
    return folder if b'"segments_info"' in read_start(path, MARK_WITHIN) else None


def panoptic_frames(path: Path, content: Json) -> AnnotationSet:
    """Return the segments of each picture by category.

    The pictures lie in a folder named like the JSON, or beside it. A segment's id is
    R + 256 G + 256² B.

    Raises
    ------
    ValueError
        If a picture that the JSON names is not there.
    InputError
        If it cannot be read.
    """
    titles = {image["id"]: str(image["file_name"]) for image in content.get("images") or ()}
    frames = []
    for entry in content["annotations"]:
        name = str(entry["file_name"])
        numbers = _segment_numbers(_picture_path(path, name))
        shapes = tuple(
            Shape(int(segment["category_id"]), pack(numbers == int(segment["id"])))
            for segment in entry["segments_info"]
        )
        title = titles.get(entry["image_id"], name)
        frames.append(AnnotatedFrame(title, shapes, (numbers.shape[0], numbers.shape[1])))
    categories = {int(c["id"]): str(c.get("name", "")) for c in content.get("categories") or ()}
    return AnnotationSet({"": tuple(frames)}, categories)


def _picture_path(path: Path, name: str) -> Path:
    relative = PurePosixPath(name.replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"expected file_name below the JSON's folder, got {name!r}")
    for folder in (path.with_suffix(""), path.parent):
        if (folder / relative).is_file():
            return folder / relative
    raise ValueError(f"no picture {name}, expected in {path.with_suffix('')} or beside the JSON")


def _segment_numbers(path: Path) -> NDArray[np.uint32]:
    colours = colours_of(read_mask_picture(MaskFile(path))).astype(np.uint32)
    numbers: NDArray[np.uint32] = colours[..., 0] + 256 * colours[..., 1] + 65536 * colours[..., 2]
    return numbers
