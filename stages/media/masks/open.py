"""Masks as users have them: which files, which format, which frame each belongs to."""

from __future__ import annotations

import os
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from unicodedata import normalize

from pipeline.errors import InputError
from stages.media.footage.library import VIDEOS, not_followed
from stages.media.footage.safe_open import leads_out
from stages.media.footage.timeline import content_digest
from stages.media.masks.contract import FootageFacts, ReadingChoices
from stages.media.masks.folder import SUFFIXES
from stages.media.masks.registry import choose_reader, mask_suffixes
from stages.media.masks.source import Known, MaskSource

USUAL_CHOICES = ReadingChoices()

__all__ = ["MaskSource", "find_masks", "mask_digest", "open_masks"]


def find_masks(
    root: Path, clip: str, *, alone: bool = False, follow_links: bool = False
) -> Path | None:
    """Return the masks of a clip; None if there are none.

    They are a folder ``root/<clip>/`` or ``root/<clip>.mp4/``, or a file ``root/<clip>.<ext>``.

    Parameters
    ----------
    root : Path
        A folder, or a single file where the library has one clip.
    clip : str
        Its name, which may be a path.
    alone : bool
        The library's only clip: `root` may then be its masks.
    follow_links : bool
        Whether links below `root` may lead out of it.

    Raises
    ------
    InputError
        If several match, naming them, or a link leads out.
    """
    if not root.is_dir():
        return root if alone else None
    found = _found(root, clip, alone=alone)
    if found is not None and not follow_links:
        _check_links(found, root)
    return found


def _found(root: Path, clip: str, *, alone: bool) -> Path | None:
    wanted = root / clip
    found: tuple[Path, ...] = ()
    if wanted.parent.is_dir():
        shelf = _shelf(wanted.parent, wanted.parent.stat().st_mtime_ns)
        found = shelf.get(normalize("NFC", wanted.name), ())
    if len(found) > 1:
        raise InputError(f"{clip}: expected one set of masks, got {', '.join(map(str, found))}")
    if not found and alone and any(path.suffix.lower() in SUFFIXES for path in root.iterdir()):
        return root
    return found[0] if found else None


def _check_links(found: Path, root: Path) -> None:
    """Refuse masks outside of `root`."""
    links = [found]
    if found.is_dir():
        with os.scandir(found) as entries:
            links += [found / entry.name for entry in entries if entry.is_symlink()]
    for link in links:
        target = leads_out(link, root)
        if target is not None:
            raise InputError(f"{found}: {not_followed(link, target)}")


@lru_cache(maxsize=64)
def _shelf(folder: Path, changed_ns: int) -> dict[str, tuple[Path, ...]]:
    """Return a folder's masks by the names of the clips they may be for; read once, not per clip.

    Names are compared in one Unicode form: file systems differ in how they spell an umlaut.
    """
    shelf: dict[str, set[Path]] = defaultdict(set)
    files = mask_suffixes()
    with os.scandir(folder) as entries:
        for entry in entries:
            path = folder / entry.name
            suffix = path.suffix.lower()
            if entry.is_dir() or suffix in files:
                shelf[normalize("NFC", path.name)].add(path)
            if suffix in (VIDEOS if entry.is_dir() else files):
                shelf[normalize("NFC", path.stem)].add(path)
    return {name: tuple(sorted(paths)) for name, paths in shelf.items()}


def mask_digest(path: Path) -> str:
    """Return the digest of the content of a clip's masks."""
    return content_digest(path)


def open_masks(
    path: Path,
    footage: FootageFacts,
    choices: ReadingChoices = USUAL_CHOICES,
    *,
    known: Known | None = None,
) -> MaskSource:
    """Return the masks of a clip, looked through once for what they mean.

    The formats, the marks by which they are recognised and the settings that decide where two
    readings are possible are listed in ``docs/inputs_and_outputs.md``, written from the readers.

    Parameters
    ----------
    path : Path
        A folder, or a file.
    footage : FootageFacts
    choices : ReadingChoices
    known : dict, optional
        `MaskSource.known` of the same masks, opened before with the same arguments: they are not
        looked through again.

    Raises
    ------
    InputError
        Naming the file, the expected content and the actual one.
    """
    try:
        return choose_reader(path, choices.format).open(path, footage, choices, known)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
