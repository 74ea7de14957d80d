"""COCO and YouTube-VIS JSON, whole files and lists of results."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stages.media.masks.contract import (
    BY_CONTENT,
    BY_NAME,
    NOT_MINE,
    AnnotatedFrame,
    AnnotationReader,
    AnnotationSet,
    Confidence,
    Shape,
)
from stages.media.masks.drawing import fill_polygons, pack
from stages.media.masks.json_files import read_json, read_start
from stages.media.masks.panoptic import is_panoptic, panoptic_frames

COCO_MARKS = re.compile(rb'"(images|annotations|image_id|videos|video_id|segmentations?)"\s*:')
OTHER_MARKS = re.compile(rb'"categories"\s*:\s*\{|"dm_format_version"|darwin_json')  # no COCO
RESULT_MARKS = re.compile(rb'"(image_id|video_id)"\s*:')
# The package supervision writes this for every class.
SUPERVISION = "common-objects"


class CocoFile(AnnotationReader):
    """COCO and YouTube-VIS, as data sets, tools and networks write them."""

    name = "coco"
    format = "COCO, COCO panoptic (with its pictures) or YouTube-VIS JSON"
    recognised_by = "`images` or `videos` with `annotations`, or a list of results"
    ambiguity = (
        "several videos in one file: the clip's name, or `segment.video`; `image_id` without names "
        "of pictures: `segment.first`; `category_id` 0 is a class unless it is named "
        "background: then label = category_id + 1"
    )
    suffixes = frozenset({".json"})

    def recognise(self, path: Path) -> Confidence:
        """Return whether the file begins as such files do."""
        if path.suffix.lower() not in self.suffixes or not path.is_file():
            return NOT_MINE
        start = read_start(path)
        if OTHER_MARKS.search(start):
            return BY_NAME
        marks = RESULT_MARKS if start.lstrip()[:1] == b"[" else COCO_MARKS
        return BY_CONTENT if marks.search(start) else BY_NAME

    def parse(self, path: Path) -> AnnotationSet:
        """Return all annotations of a file."""
        content = read_json(path)
        if isinstance(content, list):
            return _result_frames(content)
        if not isinstance(content, Mapping):
            raise TypeError(f"expected an object with images or videos, got {content!r:.40}")
        if is_panoptic(content):
            return panoptic_frames(path, content)
        return (
            _video_frames(content)
            if "videos" in content and _is_vis(content)
            else _image_frames(content)
        )


def _is_vis(content: Mapping[str, Any]) -> bool:
    """Return whether tracks hold the shapes; COCO may list videos beside its images."""
    some: Mapping[str, Any] = next(iter(content.get("annotations") or ()), {})
    return "segmentations" in some or "images" not in content


def _category_names(content: Mapping[str, Any]) -> tuple[dict[int, str], frozenset[int]]:
    listed = content.get("categories") or ()
    names = {int(entry["id"]): str(entry.get("name", "")) for entry in listed}
    above = {str(entry.get("supercategory", "")) for entry in listed}
    return names, frozenset(k for k, name in names.items() if name and name in above - {""})


def _image_frames(content: Mapping[str, Any]) -> AnnotationSet:
    """Return COCO: pictures, and annotations that name them."""
    images = content["images"]
    if not images:
        raise ValueError("images: expected some, got none")
    shapes: dict[Any, list[Shape]] = {image["id"]: [] for image in images}
    sizes = {image["id"]: _image_size(image) or (0, 0) for image in images}
    above = {str(entry.get("supercategory")) for entry in content.get("categories") or ()}
    by_supervision = above == {SUPERVISION}
    for entry in content["annotations"]:
        if entry["image_id"] not in shapes:
            raise ValueError(f"annotation of image_id {entry['image_id']!r}, which is not listed")
        drawn = entry.get("segmentation")
        if by_supervision and isinstance(drawn, list) and drawn:
            # Its polygons are contours of whole pixels; it fills them with OpenCV.
            parts = [np.asarray(part, np.float64).reshape(-1, 2).tolist() for part in drawn]
            drawn = pack(fill_polygons(parts, sizes[entry["image_id"]]))
        shapes[entry["image_id"]].append(Shape(int(entry["category_id"]), drawn))
    titles = {video["id"]: str(video.get("name", "")) for video in content.get("videos") or ()}
    videos: dict[str, list[AnnotatedFrame]] = defaultdict(list)
    for image in images:
        frame = AnnotatedFrame(
            str(image["file_name"]), tuple(shapes[image["id"]]), _image_size(image)
        )
        videos[titles.get(image.get("video_id"), "")].append(frame)
    categories, headings = _category_names(content)
    return AnnotationSet(_frozen_set(videos), categories, headings)


def _video_frames(content: Mapping[str, Any]) -> AnnotationSet:
    """Return YouTube-VIS: videos with lists of pictures, and a track's shapes by picture."""
    tracks: dict[Any, list[tuple[int, Mapping[str, Any]]]] = defaultdict(list)
    listed = [video.get("id", k) for k, video in enumerate(content["videos"], start=1)]
    for k, entry in enumerate(content["annotations"]):
        video = entry.get("video_id", listed[0] if len(listed) == 1 else None)
        if video not in listed:
            raise ValueError(f"annotation of video_id {video!r}, which is not listed")
        tracks[video].append((k, entry))
    videos = {}
    for number, video in zip(listed, content["videos"], strict=True):
        frames = _track_frames(video, tracks[number])
        name = _video_name(video, frames) or ("" if len(listed) == 1 else str(number))
        videos[name] = frames
    categories, headings = _category_names(content)
    return AnnotationSet(videos, categories, headings, by_track=True)


def _track_frames(
    video: Mapping[str, Any], tracks: list[tuple[int, Mapping[str, Any]]]
) -> tuple[AnnotatedFrame, ...]:
    names = [str(name) for name in video.get("file_names") or ()]
    counts = {len(entry["segmentations"]) for _, entry in tracks}
    length = len(names) or max(counts, default=int(video.get("length", 0)))
    if counts - {length}:
        raise ValueError(f"expected {length} segmentations an object, got {min(counts - {length})}")
    return tuple(
        AnnotatedFrame(
            names[t] if names else "",
            tuple(
                Shape(int(entry.get("category_id", 1)), entry["segmentations"][t], track=k)
                for k, entry in tracks
            ),
            _image_size(video),
        )
        for t in range(length)
    )


def _video_name(video: Mapping[str, Any], frames: tuple[AnnotatedFrame, ...]) -> str:
    if video.get("name"):
        return str(video["name"])
    folder, slash, _ = frames[0].name.rpartition("/") if frames else ("", "", "")
    return folder if slash else ""


def _result_frames(content: list[Any]) -> AnnotationSet:
    """Return a list of results, as networks write them: no names of pictures or categories."""
    if content and "segmentations" in content[0]:
        return _track_results(content)
    frames: dict[Any, list[Shape]] = defaultdict(list)
    size: dict[Any, tuple[int, int] | None] = {}
    for entry in content:
        shape = entry["segmentation"]
        frames[entry["image_id"]].append(Shape(int(entry["category_id"]), shape))
        size[entry["image_id"]] = _rle_size(shape)
    pictures = tuple(
        AnnotatedFrame(str(image), tuple(shapes), size[image]) for image, shapes in frames.items()
    )
    if not pictures:
        raise ValueError("expected results, got an empty list")
    return AnnotationSet({"": pictures}, named_by_id=all(isinstance(k, int) for k in frames))


def _track_results(content: list[Any]) -> AnnotationSet:
    tracks: dict[Any, list[tuple[int, Mapping[str, Any]]]] = defaultdict(list)
    for k, entry in enumerate(content):
        tracks[entry["video_id"]].append((k, entry))
    videos = {}
    for number, entries in tracks.items():
        first = next((s for _, entry in entries for s in entry["segmentations"] if s), None)
        size = _rle_size(first)
        video = {} if size is None else {"height": size[0], "width": size[1]}
        videos["" if len(tracks) == 1 else str(number)] = _track_frames(video, entries)
    return AnnotationSet(videos, by_track=True)


def _rle_size(shape: Any) -> tuple[int, int] | None:
    if not isinstance(shape, Mapping):
        return None
    return int(shape["size"][0]), int(shape["size"][1])


def _image_size(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    if entry.get("height") is None or entry.get("width") is None:
        return None
    return int(entry["height"]), int(entry["width"])


def _frozen_set(
    videos: Mapping[str, list[AnnotatedFrame]],
) -> dict[str, tuple[AnnotatedFrame, ...]]:
    return {name: tuple(frames) for name, frames in videos.items()}


READERS = (CocoFile(),)
