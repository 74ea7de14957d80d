"""Masks of a clip in a folder, one file a frame."""

from __future__ import annotations

from pathlib import Path

from stages.media.masks.contract import (
    BY_NAME,
    NOT_MINE,
    Confidence,
    FootageFacts,
    MaskReader,
    ReadingChoices,
)
from stages.media.masks.folder import SUFFIXES, FolderMasks
from stages.media.masks.source import Known, MaskSource


class PictureFolder(MaskReader):
    """See `stages.media.masks.folder`."""

    name = "folder"
    format = "folder with one PNG, .npy or .npz a frame"
    recognised_by = "files with these endings in a folder"
    ambiguity = "8-bit grey: `segment.kind`"

    def recognise(self, path: Path) -> Confidence:
        """Return whether it is a folder with such files."""
        if not path.is_dir():
            return NOT_MINE
        fits = any(p.suffix.lower() in SUFFIXES and p.name[0] != "." for p in path.iterdir())
        return BY_NAME if fits else NOT_MINE

    def open(
        self,
        path: Path,
        footage: FootageFacts,
        choices: ReadingChoices,
        known: Known | None = None,
    ) -> MaskSource:
        """Return the masks of a clip."""
        return FolderMasks(path, footage, choices, known)


READERS = (PictureFolder(),)
