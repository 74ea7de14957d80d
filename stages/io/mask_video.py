"""Masks in a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.io.mask_source import IGNORE, Kind, MaskSource, check_size, empty_warning, grey_kind
from stages.io.timeline import probe
from stages.io.video import read_frames


class VideoMasks(MaskSource):
    """See `stages.io.masks.open_masks`. What compression has blurred is cut at half height."""

    def __init__(self, path: Path, frames: int, size: tuple[int, int], kind: Kind) -> None:
        self._path, self._timeline = path, probe(path)
        if self._timeline.frames != frames:
            raise InputError(
                f"{path}: expected {frames} frames like the footage, got {self._timeline.frames}"
            )
        check_size(path, self._timeline.size, size)
        counts, empty = np.zeros(256, np.int64), 0
        for grey in self._grey_frames():
            found = np.bincount(grey.ravel(), minlength=256)
            counts += found
            empty += not found[1:].any()
        self._meaning = grey_kind(counts, kind)
        if self._meaning == "soft" and kind == "auto":
            self._meaning = "binary"
            self.warnings += ("a mask video with in-between greys: cut at half height",)
        self.warnings += empty_warning(empty)
        if self._meaning == "labels":
            self.classes = tuple(int(v) for v in np.flatnonzero(counts) if 0 < v < IGNORE)
        else:
            self.kind = "soft" if self._meaning == "soft" else "labels"
            self.classes = (1,) if counts[1:].any() else ()

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield the masks of all frames."""
        for grey in self._grey_frames():
            if self._meaning == "soft":
                yield (grey.astype(np.float32) / np.float32(255))[None]
            elif self._meaning == "binary":
                yield (grey > 127).astype(np.uint16)
            else:
                yield np.where(grey == IGNORE, 0, grey).astype(np.uint16)

    def _grey_frames(self) -> Iterator[NDArray[np.uint8]]:
        frames = read_frames(self._path, self._timeline)
        for frame in frames:
            yield np.ascontiguousarray(frame[..., 0])
        if frames.holes:
            raise InputError(f"{self._path}: frames {frames.holes[:5]} cannot be decoded")
