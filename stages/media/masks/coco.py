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
from stages.media.footage.safe_open import open_regular
from stages.media.footage.timeline import natural_key
from stages.media.masks.frame_matching import place
from stages.media.masks.legend import Legend, empty_warning
from stages.media.masks.rle import check_polygons, decode_rle
from stages.media.masks.source import Known, MaskSource, Missing, check_size

MOST = 65535  # labels are 16 bits wide
MOST_BYTES = 2**30  # of a file, which takes ten times its size in memory
BROKEN = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)

Shapes = dict[int, list[tuple[int, Any]]]  # by frame: label and segmentation


class RleMasks(MaskSource):
    """See `stages.media.masks.open.open_masks`. Decoded by frame; later objects are on top."""

    def __init__(
        self,
        path: Path,
        frames: int,
        frame_names: Sequence[str],
        size: tuple[int, int],
        missing: Missing,
        known: Known | None,
    ) -> None:
        super().__init__(frames)
        self._path, self._size = path, size
        try:
            content = _read(path)
            if "videos" in content:
                self._shapes = self._vis(content)
            else:
                self._shapes = self._coco(content, frame_names, missing)
        except BROKEN as error:
            raise InputError(
                f"{path}: expected COCO or YouTube-VIS JSON ({type(error).__name__}: {error})"
            ) from error
        if known is not None:
            self.legend = Legend.from_json(known["legend"])
            return
        seen: set[int] = set()
        empty = 0
        for labels in self:
            found = set(np.flatnonzero(np.bincount(labels.ravel())).tolist()) - {0}
            seen |= found
            empty += not found
        self.legend = Legend("labels", tuple(sorted(seen)))
        self.warnings += empty_warning(empty)

    def read(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """Yield the masks of frames `start` to `stop`."""
        for frame in range(start, stop):
            labels = np.zeros(self._size, np.uint16)
            for label, shape in self._shapes.get(frame, ()):
                labels[self._decoded(shape)] = label
            yield labels

    def _vis(self, content: dict[str, Any]) -> Shapes:
        if len(content["videos"]) != 1:
            raise InputError(f"{self._path}: expected one video, got {len(content['videos'])}")
        (video,) = content["videos"]
        if "height" in video:
            check_size(self._path, (video["height"], video["width"]), self._size)
        shapes: Shapes = defaultdict(list)
        if len(content["annotations"]) > MOST:
            count = len(content["annotations"])
            raise InputError(f"{self._path}: expected at most {MOST} objects, got {count}")
        for label, found in enumerate(content["annotations"], start=1):
            if len(found["segmentations"]) != self._frames:
                raise InputError(
                    f"{self._path}: expected {self._frames} segmentations an object, got "
                    f"{len(found['segmentations'])}"
                )
            for frame, shape in enumerate(found["segmentations"]):
                shapes[frame].append((label, shape))
        return shapes

    def _coco(
        self, content: dict[str, Any], frame_names: Sequence[str], missing: Missing
    ) -> Shapes:
        images = sorted(content["images"], key=lambda image: natural_key(image["file_name"]))
        if not images:
            raise InputError(f"{self._path}: expected images in it, got none")
        for image in images:
            check_size(self._path, (image["height"], image["width"]), self._size)
        names = [image["file_name"] for image in images]
        chosen, self.warnings = place(self._path, names, self._frames, frame_names, missing)
        known = {category["id"] for category in content.get("categories", ())}
        of_image: Shapes = {image["id"]: [] for image in images}
        for found in content["annotations"]:
            label = found["category_id"]
            if not 0 < label <= MOST or (known and label not in known):
                expected = f"one of its categories {sorted(known)[:9]}" if known else f"1-{MOST}"
                raise InputError(f"{self._path}: expected category_id {expected}, got {label!r}")
            of_image[found["image_id"]].append((label, found["segmentation"]))
        return {
            frame: of_image[images[mask]["id"]]
            for frame, mask in enumerate(chosen)
            if mask is not None
        }

    def _decoded(self, shape: Any) -> NDArray[np.bool_]:
        """Return the mask of a segmentation: run lengths, polygons, or nothing at all."""
        if not shape:
            return np.zeros(self._size, np.bool_)
        from pycocotools import mask as coco

        try:
            if isinstance(shape, list):
                check_polygons(shape, self._size)
                shape = coco.merge(coco.frPyObjects(shape, *self._size))
            check_size(self._path, shape["size"], self._size)
            return decode_rle(shape["counts"], self._size)
        except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
            raise InputError(f"{self._path}: not a run-length mask ({error})") from error


def _read(path: Path) -> Any:
    with open_regular(path) as source:
        text = source.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise InputError(f"{path}: expected at most {MOST_BYTES} bytes, got more: split it by clip")
    return json.loads(text)
