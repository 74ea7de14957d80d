"""Masks in a zip archive: of one clip, or of several in folders."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pipeline.errors import InputError
from stages.media.footage.safe_open import open_regular
from stages.media.masks.clip_names import common_parts
from stages.media.masks.contract import (
    BY_NAME,
    NOT_MINE,
    Confidence,
    FootageFacts,
    MaskReader,
    ReadingChoices,
)
from stages.media.masks.folder import FolderMasks
from stages.media.masks.mask_pictures import PICTURES, MaskFile
from stages.media.masks.source import Known, MaskSource

SET_FOLDERS = ("SegmentationClass", "masks", "labels", "annotations")  # of clips, or of one
MOST_MEMBERS = 1_000_000


class MaskArchive(MaskReader):
    """Pictures in an archive, read without unpacking it; see `stages.media.masks.folder`."""

    name = "zip"
    format = "zip archive of pictures, of one clip or of several in folders"
    recognised_by = "the ending .zip"
    ambiguity = "several folders: the clip's name, or `segment.video`"
    suffixes = frozenset({".zip"})

    def recognise(self, path: Path) -> Confidence:
        """Return whether the ending fits."""
        return BY_NAME if path.suffix.lower() in self.suffixes and path.is_file() else NOT_MINE

    def clips_inside(self, path: Path) -> Sequence[str]:
        """Return the folders of pictures in it; none if it cannot be read."""
        try:
            return [name for name in _picture_folders(path) if name]
        except InputError:
            return ()

    def open(
        self,
        path: Path,
        footage: FootageFacts,
        choices: ReadingChoices,
        known: Known | None = None,
    ) -> MaskSource:
        """Return the masks of a clip."""
        folders = _picture_folders(path)
        name = _choose_folder(path, list(folders), footage.clip, choices.video)
        files = [MaskFile(path, member) for member in folders[name]]
        return FolderMasks(path, files, footage, choices, known)


def _picture_folders(path: Path) -> dict[str, list[str]]:
    """Return the pictures of each folder in an archive, by the folder's name."""
    try:
        with open_regular(path) as source, zipfile.ZipFile(source) as archive:
            members = archive.namelist()
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise InputError(f"{path}: not a readable archive ({error})") from error
    if len(members) > MOST_MEMBERS:
        raise InputError(f"{path}: expected at most {MOST_MEMBERS} files, got {len(members)}")
    folders: dict[str, list[str]] = defaultdict(list)
    for member in members:
        pure = PurePosixPath(member)
        hidden = any(part.startswith((".", "__MACOSX")) for part in pure.parts)
        if pure.suffix.lower() in PICTURES and not hidden:
            folders["" if str(pure.parent) == "." else str(pure.parent)].append(member)
    if not folders:
        raise InputError(f"{path}: expected pictures in the archive, got none")
    return dict(folders)


def _choose_folder(path: Path, names: list[str], clip: str, wanted: str) -> str:
    if wanted in names and wanted:
        return wanted
    if len(names) == 1:
        return names[0]
    best = {name: common_parts(name, clip) for name in names}
    most = max(best.values())
    chosen = [name for name in names if best[name] == most] if most else []
    chosen = chosen or [name for name in names if PurePosixPath(name).name in SET_FOLDERS[:1]]
    if len(chosen) != 1:
        listed = ", ".join(map(repr, names[:8]))
        raise InputError(
            f"{path}: {len(names)} folders of pictures, and not one with the name of the clip "
            f"{clip}: {listed}: set segment.video to one of them"
        )
    return chosen[0]


READERS = (MaskArchive(),)
