"""Labels of an image in a COCO file, decoded when they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.masks.json_files import MALFORMED, read_json
from stages.media.masks.rle import decode_rle
from stages.ops.ignored_label import IGNORE

SPLITS = {"train": False, "val": True}


@dataclass(frozen=True)
class RunLengthLabels:
    """The labels of an image.

    Attributes
    ----------
    file : Path
        The JSON, for messages.
    picture : Path
    size : (H, W)
    regions : tuple of (int, str)
        Label and compressed run lengths of each object, a later one on top; the pixels without a
        label last.
    """

    file: Path
    picture: Path
    size: tuple[int, int]
    regions: tuple[tuple[int, str], ...]

    def __str__(self) -> str:
        """Return the name of the labels in messages."""
        return f"{self.file}: {self.picture.name}"

    def decode(self) -> NDArray[np.uint16]:
        """Return the labels (H, W).

        Raises
        ------
        InputError
            If run lengths are damaged.
        """
        labels = np.zeros(self.size, np.uint16)
        for label, counts in self.regions:
            try:
                labels[decode_rle(counts, self.size)] = label
            except (ValueError, InputError) as error:
                raise InputError(
                    f"{self}: expected run lengths of label {label}: {error}"
                ) from error
        return labels


def read_run_lengths(root: Path) -> list[tuple[bool, RunLengthLabels]]:
    """Return the images of a COCO set as `labels` writes it, and whether each is held out.

    Raises
    ------
    InputError
        If a file is no COCO file with compressed run lengths.
    """
    images = []
    for split, held_out in SPLITS.items():
        file = root / "annotations" / f"instances_{split}.json"
        if file.exists():
            try:
                content = read_json(file)
                images += [(held_out, labels) for labels in _labels_of(file, content, root / split)]
            except MALFORMED as error:
                raise InputError(
                    f"{file}: expected COCO annotations with compressed run lengths, as "
                    f"run_pipeline.py labels --layout coco writes them: {error!r}"
                ) from error
    return images


def _labels_of(file: Path, content: dict[str, Any], pictures: Path) -> list[RunLengthLabels]:
    regions: dict[int, list[tuple[int, str]]] = {image["id"]: [] for image in content["images"]}
    for entry in content["annotations"]:
        label = int(entry["category_id"])
        if not 0 < label < 1 << 16:
            raise ValueError(f"category_id {label}, not in 1 to 65535")
        regions[entry["image_id"]].append((label, _compressed(entry["segmentation"])))
    labels = []
    for image in content["images"]:
        if "not_trusted" in image:
            regions[image["id"]].append((IGNORE, _compressed(image["not_trusted"])))
        size = int(image["height"]), int(image["width"])
        picture = pictures / Path(image["file_name"]).name
        labels.append(RunLengthLabels(file, picture, size, tuple(regions[image["id"]])))
    return labels


def _compressed(segmentation: Any) -> str:
    if not (isinstance(segmentation, dict) and isinstance(segmentation["counts"], str)):
        raise TypeError("polygons or plain counts")
    return segmentation["counts"]
