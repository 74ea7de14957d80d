"""Format ``trimap``: foreground, background and the band between, for matting networks."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from stages.media.results.matte import Matte, write_png
from stages.media.results.result import ResultFrame
from stages.ops.trimap import trimap


class Trimap(Matte):
    """``trimap/00000.png``: 0, 128 (unknown) and 255; see `stages.ops.trimap.trimap`.

    Where the clip has several classes, ``trimap/<class>/00000.png`` is that of each.
    """

    format: ClassVar[str] = "trimap"
    template: ClassVar[str] = "trimap/{index:05d}.png"

    def write_frame(self, folder: Path, frame: ResultFrame) -> None:
        """Write the trimaps of all classes and of each."""
        for label in self.labels:
            alpha = frame.opacity
            if label is not None:
                alpha = frame.alpha[..., list(self.clip.classes).index(label)]
            write_png(self.path(folder, frame.index, label), trimap(alpha))
