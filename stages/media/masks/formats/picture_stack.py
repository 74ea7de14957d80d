"""Masks of a clip in one file of several pictures."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from stages.media.footage.safe_open import open_regular
from stages.media.masks.contract import (
    BY_NAME,
    NOT_MINE,
    Confidence,
    FootageFacts,
    MaskReader,
    ReadingChoices,
)
from stages.media.masks.mask_pictures import BROKEN, FORMATS, MaskFile
from stages.media.masks.source import Known, MaskSource
from stages.media.masks.stack import StackMasks


class PictureStack(MaskReader):
    """See `stages.media.masks.stack`."""

    name = "stack"
    format = "one TIFF, WebP or APNG with a picture a frame"
    recognised_by = "several pictures in the file"
    ambiguity = "as in folders of pictures"
    suffixes = frozenset({".tif", ".tiff", ".webp", ".png", ".apng"})

    def recognise(self, path: Path) -> Confidence:
        """Return whether the file holds several pictures."""
        if path.suffix.lower() not in self.suffixes or not path.is_file():
            return NOT_MINE
        try:
            with open_regular(path) as source, Image.open(source, formats=FORMATS) as picture:
                return BY_NAME if getattr(picture, "n_frames", 1) > 1 else NOT_MINE
        except BROKEN:
            return BY_NAME

    def open(
        self,
        path: Path,
        footage: FootageFacts,
        choices: ReadingChoices,
        known: Known | None = None,
    ) -> MaskSource:
        """Return the masks of a clip."""
        return StackMasks(MaskFile(path), footage, choices, known)


READERS = (PictureStack(),)
