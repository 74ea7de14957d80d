"""Formats ``rgba`` and ``tiff``: the picture with the soft mask as its alpha."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.media.results.frame_folder import FrameFolder
from stages.media.results.matte import whole_numbers, write_png
from stages.media.results.result import ResultFrame, WriteError


class CutOut(FrameFolder):
    """``rgba/00000.png``: straight alpha, so that colours are those of the source everywhere."""

    format: ClassVar[str] = "rgba"
    template: ClassVar[str] = "rgba/{index:05d}.png"
    needs_alpha: ClassVar[bool] = True

    def write_frame(self, folder: Path, frame: ResultFrame) -> None:
        """Write picture and alpha."""
        write_png(self.path(folder, frame.index), with_alpha(frame))

    def read_size(self, path: Path) -> tuple[int, int]:
        """Return (H, W) of a picture that has an alpha."""
        with Image.open(path) as picture:
            if picture.mode != "RGBA":
                raise WriteError(f"{path}: expected alpha, got mode {picture.mode}")
            return picture.height, picture.width


class Tiff(CutOut):
    """``tiff/00000.tif``: the same as TIFF (LZW, unassociated alpha)."""

    format: ClassVar[str] = "tiff"
    template: ClassVar[str] = "tiff/{index:05d}.tif"

    def write_frame(self, folder: Path, frame: ResultFrame) -> None:
        """Write picture and alpha."""
        path = self.path(folder, frame.index)
        Image.fromarray(with_alpha(frame)).save(path, format="TIFF", compression="tiff_lzw")


def with_alpha(frame: ResultFrame) -> NDArray[np.uint8]:
    """Return the picture of a frame as RGBA (H, W, 4) uint8, alpha straight."""
    alpha = whole_numbers(frame.opacity, np.uint8)
    return np.asarray(cv2.merge([*cv2.split(frame.picture), alpha]))
