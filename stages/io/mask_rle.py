"""Masks in COCO and YouTube-VIS JSON: run lengths or polygons."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.io.mask_source import MaskSource, assign, check_size, refuse_missing
from stages.io.timeline import natural_key


class RleMasks(MaskSource):
    """See `stages.io.masks.open_masks`.

    COCO: a class is a `category_id`; images belong to frames by their file names. YouTube-VIS (one
    video in the file): a class is an object, numbered from 1 in the order of the annotations.
    """

    def __init__(
        self, path: Path, frames: int, frame_names: Sequence[str], size: tuple[int, int]
    ) -> None:
        self._path, self._frames, self._size = path, frames, size
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            self._shapes = (
                self._vis(content) if "videos" in content else self._coco(content, frame_names)
            )
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise InputError(
                f"{path}: expected COCO or YouTube-VIS JSON ({type(error).__name__}: {error})"
            ) from error
        self.scan()

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield the masks of all frames; where objects overlap the later one is on top."""
        for frame in range(self._frames):
            labels = np.zeros(self._size, np.uint16)
            for label, shape in self._shapes[frame]:
                labels[self._decoded(shape)] = label
            yield labels

    def _vis(self, content: dict[str, Any]) -> dict[int, list[tuple[int, Any]]]:
        if len(content["videos"]) != 1:
            raise InputError(f"{self._path}: expected one video, got {len(content['videos'])}")
        shapes: dict[int, list[tuple[int, Any]]] = defaultdict(list)
        for label, found in enumerate(content["annotations"], start=1):
            if len(found["segmentations"]) != self._frames:
                raise InputError(
                    f"{self._path}: expected {self._frames} segmentations an object, got "
                    f"{len(found['segmentations'])}"
                )
            for frame, shape in enumerate(found["segmentations"]):
                if shape is not None:
                    shapes[frame].append((label, shape))
        return shapes

    def _coco(
        self, content: dict[str, Any], frame_names: Sequence[str]
    ) -> dict[int, list[tuple[int, Any]]]:
        images = sorted(content["images"], key=lambda image: natural_key(image["file_name"]))
        for image in images:
            check_size(self._path, (image["height"], image["width"]), self._size)
        names = [image["file_name"] for image in images]
        placed = assign(self._path, names, self._frames, frame_names)
        absent = [frame for frame in range(self._frames) if frame not in placed]
        refuse_missing(self._path, absent, self._frames)
        frame_of = {images[k]["id"]: frame for frame, k in placed.items()}
        shapes: dict[int, list[tuple[int, Any]]] = defaultdict(list)
        for found in content["annotations"]:
            shapes[frame_of[found["image_id"]]].append(
                (int(found["category_id"]), found["segmentation"])
            )
        return shapes

    def _decoded(self, shape: Any) -> NDArray[np.bool_]:
        from pycocotools import mask as coco

        rows, columns = self._size
        try:
            if isinstance(shape, list):
                shape = coco.merge(coco.frPyObjects(shape, rows, columns))
            elif isinstance(shape["counts"], list):
                shape = coco.frPyObjects(shape, rows, columns)
            check_size(self._path, shape["size"], self._size)
            found: NDArray[np.bool_] = coco.decode(shape).astype(np.bool_)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self._path}: not a run-length mask ({error})") from error
        return found
