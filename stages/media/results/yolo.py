"""Formats ``yolo`` and ``frames``: a set for Ultralytics YOLO-seg, and the source's pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.media.results.annotations import masks_of, outlines
from stages.media.results.frame_folder import FrameFolder
from stages.media.results.png import png_size
from stages.media.results.result import ResultFrame, WriteError

JPEG_QUALITY = 95


class Frames(FrameFolder):
    """``frames/00000.jpg``: the pictures of a video, for tools that read pictures only."""

    format: ClassVar[str] = "frames"
    template: ClassVar[str] = "frames/{index:05d}.jpg"

    def write_frame(self, folder: Path, frame: ResultFrame) -> None:
        """Write the picture."""
        write_jpeg(self.path(folder, frame.index), frame.picture)

    def read_size(self, path: Path) -> tuple[int, int]:
        """Return (H, W)."""
        return png_size(path)


class Yolo(Frames):
    """``yolo/images/00000.jpg``, ``yolo/labels/00000.txt`` and ``yolo/data.yaml``.

    A line of a label file is one outline: an object in two parts has two, holes are filled.
    """

    format: ClassVar[str] = "yolo"
    template: ClassVar[str] = "yolo/images/{index:05d}.jpg"

    def write_frame(self, folder: Path, frame: ResultFrame) -> None:
        """Write the picture and its outlines."""
        picture = self.path(folder, frame.index)
        write_jpeg(picture, frame.picture)
        names = list(dict.fromkeys(self.clip.classes.values()))
        sides = np.array(frame.labels.shape[::-1], np.float64)
        lines = []
        for label, mask in masks_of(frame, self.clip):
            for polygon in outlines(mask, self.settings.annotations.tolerance):
                corners = (np.reshape(polygon, (-1, 2)) / sides).ravel()
                text = " ".join(f"{side:.6f}" for side in corners)
                lines.append(f"{names.index(self.clip.classes[label])} {text}\n")
        target = self._label_path(picture)
        target.parent.mkdir(exist_ok=True)
        target.write_text("".join(lines), encoding="utf-8")

    @staticmethod
    def _label_path(picture: Path) -> Path:
        """Return the label file of a picture, where Ultralytics looks for it."""
        return picture.parent.parent / "labels" / f"{picture.stem}.txt"

    def join_parts(self, parts: Sequence[Path], draft: Path) -> None:
        """Put all parts together and describe them."""
        super().join_parts(parts, draft)
        names = dict.fromkeys(self.clip.classes.values())
        lines = [f"  {k}: {json.dumps(name)}\n" for k, name in enumerate(names)]
        text = "".join(["train: images\nval: images\nnames:\n", *lines])
        (draft / "data.yaml").write_text(text, encoding="utf-8")

    def check(self, draft: Path) -> None:
        """Look for the labels, too."""
        super().check(draft)
        for index in range(self.timeline.frames):
            labels = self._label_path(draft / self._relative_path(index, None))
            if not labels.is_file():
                raise WriteError(f"yolo: expected {labels}, it was not written")


def write_jpeg(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write an RGB picture as JPEG.

    Raises
    ------
    WriteError
        If it cannot be encoded.
    """
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise WriteError(f"{path}: could not be encoded as JPEG")
    path.write_bytes(data.tobytes())
