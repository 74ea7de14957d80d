"""Masks of a clip in one NumPy file."""

from __future__ import annotations

from pathlib import Path

from stages.media.masks.arrays import ArrayMasks
from stages.media.masks.contract import (
    BY_NAME,
    NOT_MINE,
    Confidence,
    FootageFacts,
    MaskReader,
    ReadingChoices,
)
from stages.media.masks.source import Known, MaskSource


class ArrayFile(MaskReader):
    """See `stages.media.masks.arrays`."""

    name = "array"
    format = "one .npy or .npz for the clip"
    recognised_by = "the ending"
    ambiguity = "8-bit integers as in grey pictures: `segment.kind`"
    suffixes = frozenset({".npy", ".npz"})

    def recognise(self, path: Path) -> Confidence:
        """Return whether the ending fits."""
        return BY_NAME if path.suffix.lower() in self.suffixes and path.is_file() else NOT_MINE

    def open(
        self,
        path: Path,
        footage: FootageFacts,
        choices: ReadingChoices,
        known: Known | None = None,
    ) -> MaskSource:
        """Return the masks of a clip."""
        return ArrayMasks(path, footage, choices, known)


READERS = (ArrayFile(),)
