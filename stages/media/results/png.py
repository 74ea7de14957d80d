"""Format ``png``: the labels as indexed PNG, one a source frame."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from PIL import Image

from stages.media.masks.palette import write_indexed_png
from stages.media.results.frame_folder import FrameFolder
from stages.media.results.result import ResultFrame


class PngFolder(FrameFolder):
    """``masks/00000.png`` and on; 16-bit grey where an id is over 255."""

    format: ClassVar[str] = "png"
    template: ClassVar[str] = "masks/{index:05d}.png"

    def write_frame(self, folder: Path, frame: ResultFrame) -> None:
        """Write the labels."""
        write_indexed_png(self.path(folder, frame.index), frame.labels)

    def read_size(self, path: Path) -> tuple[int, int]:
        """Return (H, W)."""
        return png_size(path)


def png_size(path: Path) -> tuple[int, int]:
    """Return (H, W) of a picture that Pillow reads."""
    with Image.open(path) as picture:
        return picture.height, picture.width
