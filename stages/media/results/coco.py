"""Formats ``coco`` and ``ytvis``: COCO and YouTube-VIS JSON, with run lengths or polygons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from stages.media.results.annotations import (
    AnnotationFile,
    Json,
    Mask,
    masks_of,
    outlines,
    run_lengths,
)
from stages.media.results.result import ResultFrame

PARTS = (("segmentation", "segmentations"), ("bbox", "bboxes"), ("area", "areas"))


class Coco(AnnotationFile):
    """``coco.json``: an annotation for each object and frame, which keeps its `track_id`."""

    format: ClassVar[str] = "coco"
    template: ClassVar[str] = "coco.json"

    def annotate(self, frame: ResultFrame) -> Json:
        """Return the objects of a frame by id."""
        unsure = self.unsure_labels(frame)
        return {
            str(k): self._shape(mask) | _unsure_marks(unsure.get(k))
            for k, mask in masks_of(frame, self.clip)
        }

    def _shape(self, mask: Mask) -> Json:
        shape = run_lengths(mask)
        if self.settings.annotations.shapes == "polygons":
            polygons = outlines(mask, self.settings.annotations.tolerance)
            if polygons:  # what is one pixel thin has no polygon: it keeps its run lengths
                shape["segmentation"] = polygons
        return shape

    def write_file(self, frames: Iterator[Json], draft: Path) -> None:
        """Write images, annotations and categories."""
        rows, columns = self.timeline.size
        images, annotations = [], list[Json]()
        for index, shapes in enumerate(frames):
            image = {
                "id": index + 1,
                "file_name": self.picture_name(index),
                "height": rows,
                "width": columns,
                "frame_id": index,
                "video_id": 1,
            }
            images.append(image)
            annotations += [
                {
                    "id": len(annotations) + k + 1,
                    "image_id": index + 1,
                    "category_id": self.categories[int(label)],
                    "track_id": int(label),
                    "iscrowd": 0,
                    **shape,
                }
                for k, (label, shape) in enumerate(shapes.items())
            ]
        videos = [{"id": 1, "name": self.clip.name}]
        write_json(draft, self._file_head() | {"videos": videos, "images": images}, annotations)

    def _file_head(self) -> Json:
        names = self.category_names.items()
        return {
            "info": {"description": f"masks of {self.clip.name}"},
            "licenses": [],
            "categories": [{"id": k, "name": name} for k, name in sorted(names)],
        }

    def count_frames(self, draft: Path) -> int:
        """Return the number of images."""
        return len(json.loads(draft.read_text(encoding="utf-8"))["images"])


def _unsure_marks(unsure: bool | None) -> Json:
    """Return the mark as FiftyOne and as CVAT read it; nothing where nobody has judged."""
    return {} if unsure is None else {"unsure": unsure, "attributes": {"unsure": unsure}}


class YoutubeVis(Coco):
    """``ytvis.json``: a track for each object; its annotation's id is its track id."""

    needs_trust: ClassVar[bool] = False
    format: ClassVar[str] = "ytvis"
    template: ClassVar[str] = "ytvis.json"

    def _shape(self, mask: Mask) -> Json:
        return run_lengths(mask)  # the format has no polygons

    def write_file(self, frames: Iterator[Json], draft: Path) -> None:
        """Write videos, tracks and categories."""
        rows, columns = self.timeline.size
        length = self.timeline.frames
        tracks: dict[int, Json] = {}
        for index, shapes in enumerate(frames):
            for text, shape in shapes.items():
                label = int(text)
                track = tracks.setdefault(
                    label,
                    {
                        "id": label,
                        "video_id": 1,
                        "category_id": self.categories[label],
                        "iscrowd": 0,
                        "height": rows,
                        "width": columns,
                        "length": length,
                        **{several: [None] * length for _, several in PARTS},
                    },
                )
                for single, several in PARTS:
                    track[several][index] = shape[single]
        video = {
            "id": 1,
            "name": self.clip.name,
            "height": rows,
            "width": columns,
            "length": length,
            "file_names": [f"{self.clip.name}/{self.picture_name(t)}" for t in range(length)],
        }
        write_json(
            draft, self._file_head() | {"videos": [video]}, [tracks[k] for k in sorted(tracks)]
        )

    def count_frames(self, draft: Path) -> int:
        """Return the length of the video."""
        return int(json.loads(draft.read_text(encoding="utf-8"))["videos"][0]["length"])


def write_json(path: Path, head: Json, annotations: list[Any]) -> None:
    """Write a COCO file with an annotation a line, so that people can compare two of them."""
    lines = ",\n".join(json.dumps(entry, allow_nan=False) for entry in annotations)
    start = json.dumps(head, indent=1, allow_nan=False).removesuffix("\n}")
    path.write_text(f'{start},\n "annotations": [\n{lines}\n ]\n}}\n', encoding="utf-8")
