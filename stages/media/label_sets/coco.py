"""Label sets as COCO and YouTube-VIS JSON: run lengths by pycocotools, and track ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stages.media.label_sets.clip_folder import write_json
from stages.media.label_sets.set_layouts import SPLITS, Layout, Sample
from stages.media.masks.palette import read_labels
from stages.ops.ignored_label import IGNORE

Json = dict[str, Any]


class Coco(Layout):
    """COCO: for every frame one object of each class, which keeps its `track_id` in its clip.

    An image has besides, as `not_trusted`, the run lengths of its pixels without a label.
    """

    name = "coco"

    def __init__(self, root: Path, *, shard: int) -> None:
        super().__init__(root, shard=shard)
        self._content: dict[str, Json] = {s: {"images": [], "annotations": []} for s in SPLITS}
        self._tracks: dict[tuple[str, int], int] = {}
        self._images = self._objects = 0
        self._labels: set[int] = set()

    def add(self, sample: Sample) -> None:
        """Write the picture, keep the labels."""
        path = self.put_picture(sample, f"{sample.split}/{sample.clip}_{sample.stem}")
        self.put_extras(sample)
        labels, content = read_labels(sample.labels), self._content[sample.split]
        self._images += 1
        image = {
            "id": self._images,
            "file_name": Path(path).name,
            "height": sample.size[0],
            "width": sample.size[1],
            "not_trusted": run_lengths(labels == IGNORE)["segmentation"],
        }
        content["images"].append(image | sample.record)
        for label in objects(labels):
            self._labels.add(label)
            self._objects += 1
            track = self._tracks.setdefault((sample.clip, label), len(self._tracks) + 1)
            content["annotations"].append(
                {
                    "id": self._objects,
                    "image_id": self._images,
                    "category_id": label,
                    "track_id": track,
                    "iscrowd": 0,
                    **run_lengths(labels == label),
                }
            )

    def finish(self) -> None:
        """Write both splits."""
        for split, content in self._content.items():
            (self.root / split).mkdir(exist_ok=True)
            target = self.root / "annotations" / f"instances_{split}.json"
            target.parent.mkdir(exist_ok=True)
            write_json(
                target, _described_images() | content | {"categories": categories(self._labels)}
            )


class YoutubeVis(Layout):
    """YouTube-VIS: one track a class and clip; its annotation's id is its track id."""

    name = "ytvis"
    suffix = ".jpg"
    EMPTY: ClassVar[Json] = {"segmentation": None, "bbox": None, "area": None}

    def __init__(self, root: Path, *, shard: int) -> None:
        super().__init__(root, shard=shard)
        self._content: dict[str, Json] = {s: {"videos": [], "annotations": []} for s in SPLITS}
        self._clip = ""
        self._videos = 0
        self._open: dict[int, Json] = {}  # tracks of the clip at hand, by label
        self._count = 0
        self._labels: set[int] = set()

    def add(self, sample: Sample) -> None:
        """Write the picture, keep the labels."""
        if sample.clip != self._clip:
            self._begin_clip(sample)
        content = self._content[sample.split]
        stem = f"{sample.clip}/{sample.stem}"
        path = self.put_picture(sample, f"{sample.split}/JPEGImages/{stem}")
        self.put_extras(sample)
        labels, video = read_labels(sample.labels), content["videos"][-1]
        video["file_names"].append(path.split("/JPEGImages/")[1])
        video["not_trusted"].append(run_lengths(labels == IGNORE)["segmentation"])
        video["length"] += 1
        there = objects(labels)
        for label in there:
            if label not in self._open:
                self._open[label] = self._new_track(label, video)
                content["annotations"].append(self._open[label])
        for label, track in self._open.items():
            mask_entry = run_lengths(labels == label) if label in there else self.EMPTY
            for single, several in (
                *(("segmentation", "segmentations"), ("bbox", "bboxes"), ("area", "areas")),
            ):
                track[several].append(mask_entry[single])
            track["length"] += 1

    def _begin_clip(self, sample: Sample) -> None:
        self._clip, self._open = sample.clip, {}
        self._videos += 1
        video = {
            "id": self._videos,
            "height": sample.size[0],
            "width": sample.size[1],
            "length": 0,
            "file_names": [],
            "not_trusted": [],
            "clip": sample.record["clip"],
        }
        self._content[sample.split]["videos"].append(video)

    def _new_track(self, label: int, video: Json) -> Json:
        """Return a track that was not there in the clip's frames so far."""
        self._labels.add(label)
        self._count += 1
        before = video["length"] - 1
        names = ("segmentations", "bboxes", "areas")
        return {
            "id": self._count,
            "video_id": self._videos,
            "category_id": label,
            "iscrowd": 0,
            "height": video["height"],
            "width": video["width"],
            "length": before,
            **{name: [None] * before for name in names},
        }

    def finish(self) -> None:
        """Write both splits."""
        for split, content in self._content.items():
            target = self.root / split / "instances.json"
            target.parent.mkdir(exist_ok=True)
            write_json(
                target, _described_images() | content | {"categories": categories(self._labels)}
            )


def objects(labels: NDArray[np.uint16]) -> list[int]:
    """Return the labels of the foreground that occur."""
    return [int(label) for label in np.unique(labels) if label not in (0, IGNORE)]


def run_lengths(marks: NDArray[np.bool_]) -> Json:
    """Return segmentation (compressed run lengths), area and bbox of a mask, as COCO has them."""
    from pycocotools import mask as coco

    runs = coco.encode(np.asfortranarray(marks, np.uint8))
    return {
        "segmentation": {"size": list(marks.shape), "counts": runs["counts"].decode("ascii")},
        "area": int(coco.area(runs)),
        "bbox": [float(side) for side in coco.toBbox(runs)],
    }


def categories(labels: set[int]) -> list[Json]:
    """Return the categories, called by their numbers."""
    return [{"id": label, "name": f"class {label}"} for label in sorted(labels)]


def _described_images() -> Json:
    return {"info": {"description": "pseudo-labels; see manifest.json"}, "licenses": []}
