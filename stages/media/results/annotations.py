"""Annotations: what the formats for labelling and training tools have in common."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.media.results.result import Result, ResultClip, ResultFrame, WriteError, Writer

Json = dict[str, Any]
Mask = NDArray[np.bool_]
Polygon = list[float]


class AnnotationFile(Result):
    """One file with the outlines of all frames; a part is a file with a line of JSON a frame.

    An object is a class id. Ids of one name are several objects of one category, so that
    instances keep their tracks: ``export.names={1: person, 2: person}``.
    """

    needs_trust: ClassVar[bool] = True

    def part(self, folder: Path) -> Writer:
        """Return the writer of a part."""
        return _LineWriter(self, folder / self.name)

    @abstractmethod
    def annotate(self, frame: ResultFrame) -> Json:
        """Return the annotation of a frame, as plain JSON."""

    @abstractmethod
    def write_file(self, frames: Iterator[Json], draft: Path) -> None:
        """Write the file from what `annotate` returned for each frame, in order."""

    @abstractmethod
    def count_frames(self, draft: Path) -> int:
        """Open the file again and return how many frames it speaks of."""

    def join_parts(self, parts: Sequence[Path], draft: Path) -> None:
        """Write the file from all parts."""
        self.write_file(_read_lines(parts), draft)

    def check(self, draft: Path) -> None:
        """Compare the frames with the timeline."""
        count = self.count_frames(draft)
        if count != self.timeline.frames:
            raise WriteError(f"{draft}: expected {self.timeline.frames} frames, got {count}")

    def picture_name(self, index: int) -> str:
        """Return the file name of a frame: the source's own, or that of format ``frames``."""
        return picture_name(self.clip, index)

    def unsure_labels(self, frame: ResultFrame) -> dict[int, bool]:
        """Return for each class id whether a person should look; empty if nobody has judged."""
        if frame.untrusted is None:
            return {}
        least = self.settings.annotations.unsure
        shares = zip(self.clip.classes, frame.untrusted, strict=True)
        return {label: bool(share >= least) for label, share in shares}

    @property
    def categories(self) -> dict[int, int]:
        """Category of each class id: the smallest id that has the same name."""
        first: dict[str, int] = {}
        for label, name in self.clip.classes.items():
            first[name] = min(label, first.get(name, label))
        return {label: first[name] for label, name in self.clip.classes.items()}

    @property
    def category_names(self) -> dict[int, str]:
        """Names by category id."""
        return {category: self.clip.classes[category] for category in self.categories.values()}


class _LineWriter(Writer):
    def __init__(self, result: AnnotationFile, path: Path) -> None:
        self._result, self._path = result, path
        self._file: Any = None

    def write(self, frame: ResultFrame) -> None:
        if self._file is None:
            self._file = self._path.open("w", encoding="utf-8")
        self._file.write(json.dumps(self._result.annotate(frame)) + "\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _read_lines(parts: Sequence[Path]) -> Iterator[Json]:
    for part in parts:
        with part.open(encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines)


def picture_name(clip: ResultClip, index: int) -> str:
    """Return the file name of a frame: the source's own, or that of format ``frames``."""
    return clip.timeline.names[index] if clip.timeline.names else f"{index:05d}.jpg"


def run_lengths(mask: Mask) -> Json:
    """Return segmentation (compressed run lengths), area and bbox of a mask, as COCO has them."""
    from pycocotools import mask as coco

    runs = coco.encode(np.asfortranarray(mask, np.uint8))
    return {
        "segmentation": {"size": list(mask.shape), "counts": runs["counts"].decode("ascii")},
        "area": int(coco.area(runs)),
        "bbox": [float(side) for side in coco.toBbox(runs)],
    }


def outlines(mask: Mask, tolerance: float) -> list[Polygon]:
    """Return the outer borders of a mask (H, W), largest first, as x and y in turn.

    Parameters
    ----------
    mask : ndarray, shape (H, W), bool
    tolerance : float, >= 0
        Pixels that a border may be off, so that it needs fewer corners. Holes are filled.

    Returns
    -------
    list of list of float
        Pixel x covers x to x + 1; borders run a quarter of a pixel inside of that, so that they
        enclose the centres of the same pixels.
    """
    double = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    borders, _ = cv2.findContours(double, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    polygons = []
    for border in sorted(borders, key=cv2.contourArea, reverse=True):
        simple = cv2.approxPolyDP(border, 2 * tolerance, True) if tolerance else border
        if len(simple) >= 3:
            polygons.append([float(side) for side in (simple.ravel() + 0.5) / 2])
    return polygons


def masks_of(frame: ResultFrame, clip: ResultClip) -> Iterator[tuple[int, Mask]]:
    """Yield id and mask (H, W) of each object that a frame shows."""
    for label in clip.classes:
        mask = frame.labels == label
        if mask.any():
            yield label, mask
