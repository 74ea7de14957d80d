"""Masks of a clip in a folder an object: SAM 2's ``--per_obj_png_file``, and the like."""

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
from stages.media.masks.folder import list_mask_files
from stages.media.masks.objects import ObjectMasks, list_object_folders
from stages.media.masks.source import Known, MaskSource


class ObjectFolders(MaskReader):
    """See `stages.media.masks.objects`."""

    name = "objects"
    format = "folder with a folder an object, each with one picture a frame"
    recognised_by = "folders with pictures in the clip's folder, and no pictures beside them"
    ambiguity = "where objects overlap, the last lies on top"

    def recognise(self, path: Path) -> Confidence:
        """Return whether it is a folder of such folders."""
        if not path.is_dir() or list_mask_files(path):
            return NOT_MINE
        return BY_NAME if list_object_folders(path) else NOT_MINE

    def open(
        self,
        path: Path,
        footage: FootageFacts,
        choices: ReadingChoices,
        known: Known | None = None,
    ) -> MaskSource:
        """Return the masks of a clip."""
        return ObjectMasks(path, footage, choices, known)


READERS = (ObjectFolders(),)
