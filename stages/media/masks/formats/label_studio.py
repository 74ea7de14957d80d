"""Label Studio: its own JSON, with brushes and polygons."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.masks.contract import (
    BY_CONTENT,
    NOT_MINE,
    AnnotatedFrame,
    AnnotationReader,
    AnnotationSet,
    Confidence,
    Shape,
)
from stages.media.masks.drawing import MOST_PIXELS, pack
from stages.media.masks.json_files import read_json, read_start

MARKS = re.compile(
    rb'"(annotations|completions)"\s*:\s*\[.*"(result|original_width|ground_truth)"', re.S
)
UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # put before a file's name when it is uploaded
OVER_TIME = "videorectangle"
RGBA = 4


class LabelStudioFile(AnnotationReader):
    """A list of tasks; the first annotation of each that was not cancelled counts."""

    name = "labelstudio"
    format = "Label Studio JSON"
    recognised_by = "a list of tasks with `annotations` and `result`"
    ambiguity = "several annotations of one picture: the first that was not skipped, with a note"
    suffixes = frozenset({".json"})

    def recognise(self, path: Path) -> Confidence:
        """Return whether the file begins as its exports do."""
        if path.suffix.lower() != ".json" or not path.is_file():
            return NOT_MINE
        start = read_start(path, 2**14)
        return BY_CONTENT if start.lstrip()[:1] == b"[" and MARKS.search(start) else NOT_MINE

    def parse(self, path: Path) -> AnnotationSet:
        """Return all annotations of a file."""
        videos: dict[str, list[AnnotatedFrame]] = defaultdict(list)
        left_out: set[str] = set()
        several = 0
        for task in read_json(path):
            every = task.get("annotations") or task.get("completions") or []
            kept = [entry for entry in every if not entry.get("was_cancelled")]
            several += len(kept) > 1
            results = kept[0].get("result") or [] if kept else []
            folder, name = _picture_name(task)
            shapes, size = _task_shapes(results, left_out)
            videos[folder].append(AnnotatedFrame(name, tuple(shapes), size))
        if not videos:
            raise ValueError("expected tasks, got an empty list")
        if OVER_TIME in left_out:
            raise InputError(
                f"{path}: boxes over the time of a video are no masks: label its frames with "
                "brushes or polygons"
            )
        notes = []
        if left_out:
            kinds = ", ".join(sorted(left_out))
            notes.append(f"results that are no regions are left out: {kinds}")
        if several:
            notes.append(f"{several} pictures have several annotations: the first counts")
        return AnnotationSet({k: tuple(v) for k, v in videos.items()}, notes=tuple(notes))


def _picture_name(task: Mapping[str, Any]) -> tuple[str, str]:
    """Return folder and name of a task's picture, as they were before the upload."""
    data = task.get("data") or {}
    value = data.get("image") or next((v for v in data.values() if isinstance(v, str)), "")
    text = unquote(str(value).partition("?d=")[2] or str(value))
    pure = PurePosixPath(text.replace("\\", "/"))
    name = UPLOADED.sub("", pure.name)
    uploaded = name != pure.name or "upload" in pure.parts
    folder = "" if uploaded or len(pure.parts) < 2 else pure.parent.name
    return folder, name


def _task_shapes(
    results: Sequence[Mapping[str, Any]], left_out: set[str]
) -> tuple[list[Shape], tuple[int, int] | None]:
    shapes, size = [], None
    for entry in results:
        kind, value = str(entry.get("type", "")), entry.get("value") or {}
        labels = value.get(kind) or value.get("labels") or entry.get(kind) or ["object"]
        if "rle" not in value and "points" not in value:
            left_out.add(kind or "none")
            continue
        size = int(entry["original_height"]), int(entry["original_width"])
        if "rle" in value:
            drawn: Any = pack(decode_brush(value["rle"], size))
        else:
            scale = np.array([size[1], size[0]]) / 100
            drawn = [(np.asarray(value["points"], np.float64) * scale).ravel().tolist()]
        shapes += [Shape(str(label), drawn) for label in labels]
    return shapes, size


def decode_brush(numbers: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a brush's mask (H, W) from its run lengths, a stream of bits.

    The stream is of the package `label_studio_converter` (brush.py): the count of values, the bits
    of a value, four widths of lengths; then runs, each of one value or of several.

    Raises
    ------
    ValueError
        If it is cut off, or of another size.
    """
    bits = "".join(f"{int(byte) & 255:08b}" for byte in numbers)
    at = 0

    def next_bits(count: int) -> int:
        nonlocal at
        if at + count > len(bits):
            raise ValueError("a brush that is cut off")
        at += count
        return int(bits[at - count : at], 2)

    total, width = next_bits(32), next_bits(5) + 1
    widths = [next_bits(4) + 1 for _ in range(4)]
    if total != size[0] * size[1] * RGBA or total > MOST_PIXELS * RGBA:
        raise ValueError(f"expected a brush of {size[1]}x{size[0]} pixels, got {total} values")
    values = np.zeros(total, np.uint8)
    done = 0
    while done < total:
        is_run = next_bits(1)
        end = min(done + 1 + next_bits(widths[next_bits(2)]), total)
        if is_run:
            values[done:end] = next_bits(width) & 255
        else:
            values[done:end] = [next_bits(width) & 255 for _ in range(end - done)]
        done = end
    return values.reshape(*size, RGBA)[..., 3] > 0


READERS = (LabelStudioFile(),)
