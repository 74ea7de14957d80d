"""CVAT: its own XML, for pictures and for videos, of a task or of a project."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

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
from stages.media.masks.json_files import read_bytes, read_start

MARKS = re.compile(rb"<annotations>.{0,200}<(version|meta)>", re.S)
REGIONS = ("polygon", "mask", "box", "ellipse")
INTERPOLATED = (
    "{name}: in {count} frames a track is neither drawn nor outside, which CVAT interpolates: they "
    "have no mask here"
)
MOST_FRAMES = 5_000_000
Size = tuple[int, int]


class CvatFile(AnnotationReader):
    """`CVAT for images 1.1` and `CVAT for video 1.1`: polygons and masks, boxes as rectangles."""

    name = "cvat"
    format = "CVAT XML, for images or for video"
    recognised_by = "`<annotations>` with `<version>` or `<meta>`"
    ambiguity = (
        "several tasks in one file: the clip's name, or `segment.video`; frames that a "
        "track leaves to interpolation have no mask: `segment.missing`"
    )
    suffixes = frozenset({".xml"})

    def recognise(self, path: Path) -> Confidence:
        """Return whether the file, or the annotations.xml of a folder, begins as CVAT's do."""
        file = _annotation_file(path)
        if not file.is_file() or file.suffix.lower() != ".xml":
            return NOT_MINE
        return BY_CONTENT if MARKS.search(read_start(file)) else NOT_MINE

    def parse(self, path: Path) -> AnnotationSet:
        """Return all annotations of a file."""
        text = read_bytes(_annotation_file(path))
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise ValueError("expected no document type: it could make the file grow without end")
        try:
            root = ET.fromstring(text)
        except ET.ParseError as error:
            raise ValueError(f"no XML: {error}") from error
        left_out: set[str] = set()
        notes: list[str] = []
        videos = _picture_frames(root, left_out) if root.find("image") is not None else {}
        order = [label.findtext("name", "") for label in root.iter("label")]
        if root.find("track") is not None:
            videos |= _track_frames(root, left_out, notes)
        if not videos:
            raise ValueError("expected images or tracks, got none")
        kinds = ", ".join(sorted(left_out))
        notes += [f"shapes that are no regions are left out: {kinds}"] if left_out else []
        names = tuple(dict.fromkeys(name for name in order if name))
        return AnnotationSet(videos, order=names, notes=tuple(notes))


def _annotation_file(path: Path) -> Path:
    return path / "annotations.xml" if path.is_dir() else path


def _task_names(root: ET.Element) -> dict[str, str]:
    return {
        task.findtext("id", ""): Path(task.findtext("name", "")).stem for task in root.iter("task")
    }


def _picture_frames(root: ET.Element, left_out: set[str]) -> dict[str, tuple[AnnotatedFrame, ...]]:
    titles = _task_names(root) if root.find("./meta/project") is not None else {}
    videos: dict[str, list[AnnotatedFrame]] = defaultdict(list)
    for image in root.iter("image"):
        size = int(image.attrib["height"]), int(image.attrib["width"])
        shapes = []
        ordered = sorted(image, key=lambda shape: int(shape.attrib.get("z_order", 0)))
        for entry in ordered:
            drawn = _drawn_shape(entry, size, left_out)
            if drawn is not None:
                shapes.append(Shape(entry.attrib["label"], drawn))
        name = image.attrib["name"]
        video = titles.get(image.attrib.get("task_id", ""), "")
        videos[video].append(AnnotatedFrame(name, tuple(shapes), size))
    return {name: tuple(frames) for name, frames in videos.items()}


def _task_extents(root: ET.Element) -> tuple[dict[str, Size], dict[str, int]]:
    """Return rows and columns, and the number of frames, of each task."""
    sizes, lengths = {}, {}
    for task in root.iter("task"):
        width = task.findtext("./original_size/width") or task.findtext(".//width") or "0"
        height = task.findtext("./original_size/height") or task.findtext(".//height") or "0"
        identity = task.findtext("id", "")
        sizes[identity] = int(height), int(width)
        lengths[identity] = int(task.findtext("size", "0"))
    return sizes, lengths


def _track_frames(
    root: ET.Element, left_out: set[str], notes: list[str]
) -> dict[str, tuple[AnnotatedFrame, ...]]:
    """Return the frames of tasks by number, with every track that is not outside.

    Frames in which a track is neither drawn nor outside are left to interpolation: they have no
    mask, and are left out.
    """
    titles, (sizes, lengths) = _task_names(root), _task_extents(root)
    only = next(iter(titles), "")
    shapes: dict[str, dict[int, list[tuple[int, Shape]]]] = defaultdict(lambda: defaultdict(list))
    for track in root.iter("track"):
        owner = track.attrib.get("task_id", only)
        for entry in track:
            if entry.attrib.get("outside") == "1":
                continue
            drawn = _drawn_shape(entry, sizes.get(owner, (0, 0)), left_out)
            if drawn is not None:
                depth = int(entry.attrib.get("z_order", 0))
                shape = Shape(track.attrib["label"], drawn)
                shapes[owner][int(entry.attrib["frame"])].append((depth, shape))
    videos = {}
    for owner in titles or {only: ""}:
        length = max(lengths.get(owner, 0), max(shapes[owner], default=-1) + 1)
        if length > MOST_FRAMES:
            raise ValueError(f"expected at most {MOST_FRAMES} frames, got {length}")
        name = titles.get(owner, "") if len(titles) > 1 else ""
        tracks = [t for t in root.iter("track") if t.attrib.get("task_id", only) == owner]
        open_frames = {k for track in tracks for k in _undrawn_frames(track, length)}
        if open_frames:
            notes.append(INTERPOLATED.format(name=name or "the file", count=len(open_frames)))
        videos[name] = tuple(
            AnnotatedFrame("", _by_depth(shapes[owner].get(k, ())), sizes.get(owner), number=k)
            for k in range(length)
            if k not in open_frames
        )
    return videos


def _undrawn_frames(track: ET.Element, length: int) -> Iterator[int]:
    """Yield the frames from a track's first shape on where it is neither drawn nor outside."""
    spans = sorted(
        (int(entry.attrib["frame"]), entry.attrib.get("outside") == "1")
        for entry in track
        if entry.tag in REGIONS
    )
    for (start, outside), (stop, _) in pairwise([*spans, (length, True)]):
        if not outside:
            yield from range(start + 1, stop)


def _by_depth(shapes: Any) -> tuple[Shape, ...]:
    return tuple(shape for _, shape in sorted(shapes, key=lambda pair: pair[0]))


def _drawn_shape(entry: ET.Element, size: Size, left_out: set[str]) -> Any:
    """Return the segmentation of an element; None for one that is no region."""
    values: Mapping[str, str] = entry.attrib
    if entry.tag not in REGIONS:
        if entry.tag in ("polyline", "points", "cuboid", "skeleton"):
            left_out.add(entry.tag)
        return None
    if entry.tag == "polygon":
        pairs = [pair.split(",") for pair in values["points"].split(";")]
        return [[float(value) for pair in pairs for value in pair]]
    if entry.tag == "box":
        left, top, right, bottom = (float(values[k]) for k in ("xtl", "ytl", "xbr", "ybr"))
        return [[left, top, right, top, right, bottom, left, bottom]]
    if entry.tag == "ellipse":
        turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        x = float(values["cx"]) + float(values["rx"]) * np.cos(turn)
        y = float(values["cy"]) + float(values["ry"]) * np.sin(turn)
        return [np.stack([x, y], axis=1).ravel().tolist()]
    return pack(_painted_mask(values, size))


def _painted_mask(values: Mapping[str, str], size: Size) -> Any:
    """Return a painted mask (H, W): runs row by row in a box, the first of them background."""
    left, top, columns, rows = (int(values[k]) for k in ("left", "top", "width", "height"))
    runs = np.array([int(run) for run in values["rle"].split(",")], np.int64)
    inside = min(left, top) >= 0 and left + columns <= size[1] and top + rows <= size[0]
    if not inside or size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f"expected a mask inside of {size[1]}x{size[0]} pixels")
    if (runs < 0).any() or int(runs.sum()) != rows * columns:
        raise ValueError(f"expected runs that fill {columns}x{rows} pixels, got {int(runs.sum())}")
    mask = np.zeros(size, np.bool_)
    marks = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask[top : top + rows, left : left + columns] = marks.reshape(rows, columns)
    return mask


READERS = (CvatFile(),)
