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
from stages.media.masks.folder import FolderMasks, list_mask_files
from stages.media.masks.source import Known, MaskSource


class PictureFolder(MaskReader):
    """See `stages.media.masks.folder`."""

    name = "folder"
    format = "folder with one picture (PNG, JPEG, TIFF, WebP, BMP, GIF, EXR), .npy or .npz a frame"
    recognised_by = "files with these endings in a folder"
    ambiguity = (
        "grey: labels or soft masks by their edges, else `segment.kind`; transparency: "
        "`segment.channel`; colours: black is the background, or a legend file; numbers in names: "
        "`segment.first`"
    )

    def recognise(self, path: Path) -> Confidence:
        """Return whether it is a folder with such files."""
        if not path.is_dir():
            return NOT_MINE
        return BY_NAME if list_mask_files(path) else NOT_MINE

    def open(
        self,
        path: Path,
        footage: FootageFacts,
        choices: ReadingChoices,
        known: Known | None = None,
    ) -> MaskSource:
        """Return the masks of a clip."""
        return FolderMasks(path, list_mask_files(path), footage, choices, known)


READERS = (PictureFolder(),)
