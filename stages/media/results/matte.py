"""Formats ``matte`` and ``matte16``: white on black, as compositing programs take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.media.results.frame_folder import FrameFolder
from stages.media.results.png import png_size
from stages.media.results.result import ResultFrame, WriteError


class Matte(FrameFolder):
    """``matte/00000.png``: soft mask of all classes, 8-bit grey.

    Where the clip has several classes, ``matte/<class>/00000.png`` is that of each.
    """

    format: ClassVar[str] = "matte"
    template: ClassVar[str] = "matte/{index:05d}.png"
    needs_alpha: ClassVar[bool] = True
    by_class: ClassVar[bool] = True
    depth: ClassVar[type[np.unsignedinteger[Any]]] = np.uint8

    def write_frame(self, folder: Path, frame: ResultFrame) -> None:
        """Write the mattes of all classes and of each."""
        for label in self.labels:
            alpha = frame.opacity
            if label is not None:
                alpha = frame.alpha[..., list(self.clip.classes).index(label)]
            write_png(self.path(folder, frame.index, label), whole_numbers(alpha, self.depth))

    def read_size(self, path: Path) -> tuple[int, int]:
        """Return (H, W)."""
        return png_size(path)


class Matte16(Matte):
    """``matte16/00000.png``: the same with 16 bits."""

    format: ClassVar[str] = "matte16"
    template: ClassVar[str] = "matte16/{index:05d}.png"
    depth: ClassVar[type[np.unsignedinteger[Any]]] = np.uint16


def whole_numbers(
    alpha: NDArray[np.float32], depth: type[np.unsignedinteger[Any]]
) -> NDArray[np.unsignedinteger[Any]]:
    """Return values in [0, 1] as whole numbers, the largest of the type for 1."""
    top = np.float32(np.iinfo(depth).max)
    return (np.clip(alpha, 0, 1) * top + np.float32(0.5)).astype(depth)


def write_png(path: Path, picture: NDArray[Any]) -> None:
    """Write a grey, RGB or RGBA picture of 8 or 16 bits.

    Raises
    ------
    WriteError
        If it cannot be encoded.
    """
    if picture.ndim == 3:
        order = cv2.COLOR_RGBA2BGRA if picture.shape[-1] == 4 else cv2.COLOR_RGB2BGR
        picture = cv2.cvtColor(picture, order)
    # Compression 1 is three times faster than the usual 6, and files are a tenth larger.
    done, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise WriteError(f"{path}: could not be encoded as PNG")
    path.write_bytes(data.tobytes())
