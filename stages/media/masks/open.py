"""Masks as users have them: which files, which format, which frame each belongs to."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from unicodedata import normalize

from pipeline.errors import InputError
from stages.media.footage.library import VIDEOS, not_followed
from stages.media.footage.safe_open import leads_out
from stages.media.footage.timeline import content_digest
from stages.media.masks.arrays import ArrayMasks
from stages.media.masks.coco import RleMasks
from stages.media.masks.folder import SUFFIXES, FolderMasks
from stages.media.masks.legend import Kind
from stages.media.masks.source import Known, MaskSource, Missing
from stages.media.masks.video import VideoMasks

__all__ = ["MaskSource", "find_masks", "mask_digest", "open_masks"]

ARRAYS = frozenset({".npy", ".npz"})
FILES = ARRAYS | VIDEOS | {".json"}


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
    with os.scandir(folder) as entries:
        for entry in entries:
            path = folder / entry.name
            suffix = path.suffix.lower()
            if entry.is_dir() or suffix in FILES:
                shelf[normalize("NFC", path.name)].add(path)
            if suffix in (VIDEOS if entry.is_dir() else FILES):
                shelf[normalize("NFC", path.stem)].add(path)
    return {name: tuple(sorted(paths)) for name, paths in shelf.items()}


def mask_digest(path: Path) -> str:
    """Return the digest of the content of a clip's masks."""
    return content_digest(path)


def open_masks(
    path: Path,
    *,
    frames: int,
    frame_names: Sequence[str] = (),
    size: tuple[int, int],
    kind: Kind = "auto",
    missing: Missing = "error",
    known: Known | None = None,
) -> MaskSource:
    """Return the masks of a clip, looked through once for what they mean.

    Formats: a folder with one indexed, grey or 16-bit PNG, .npy or .npz a frame; one .npy or .npz
    for the clip; a video; COCO JSON (a class is a `category_id`; images belong to frames by their
    file names); YouTube-VIS JSON of one video (a class is an object, counted from 1).

    Floats are soft masks of the foreground classes, (H, W) or (C, H, W) a frame; where all channels
    sum to 1 in the whole clip, the first is the background. Integers are, over the whole clip,

    - black and white, if only 0 and the largest value of 8 or 16 bits occur;
    - labels, if they are a palette's, bool, wider than 8 bits, or at most 63 (8-bit labels may hold
      255 besides: ignored, read as background);
    - else soft masks, 255 being certain.

    A video in a lossy codec is black and white, cut at half height.

    Parameters
    ----------
    path : Path
        A folder, or a file.
    frames : int
        Of the footage.
    frame_names : sequence of str
        Its file names, if it is a folder of frames.
    size : (H, W)
        Of the footage.
    kind : {"auto", "labels", "soft", "binary"}
        What integers are; "binary" is 0 and 1, or foreground over half height. A palette's are
        never soft.
    missing : {"error", "hold", "empty"}
        In folders and COCO, a frame without a mask is an error, has the one before it (the first
        frames: the one after), or has none.
    known : dict, optional
        `MaskSource.known` of the same masks, opened before with the same arguments: they are not
        looked through again.

    Raises
    ------
    InputError
        Naming the file, what was expected and what was found.
    """
    try:
        if path.is_dir():
            return FolderMasks(path, frames, frame_names, size, kind, missing, known)
        suffix = path.suffix.lower()
        if suffix in ARRAYS:
            return ArrayMasks(path, frames, size, kind, known)
        if suffix == ".json":
            return RleMasks(path, frames, frame_names, size, missing, known)
        return VideoMasks(path, frames, size, kind, known)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
