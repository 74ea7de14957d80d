"""Masks as users have them: which files, which format, which frame each belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pipeline.errors import InputError
from stages.io.library import VIDEOS
from stages.io.mask_arrays import ArrayMasks
from stages.io.mask_files import SUFFIXES, FolderMasks
from stages.io.mask_rle import RleMasks
from stages.io.mask_source import Kind, MaskSource
from stages.io.mask_video import VideoMasks
from stages.io.timeline import content_digest

__all__ = ["MaskSource", "find_masks", "mask_digest", "open_masks"]

ARRAYS = frozenset({".npy", ".npz"})
FILES = ARRAYS | VIDEOS | {".json"}

Missing = Literal["error", "hold", "empty"]


def find_masks(root: Path, clip: str, *, alone: bool = False) -> Path | None:
    """Return the masks of a clip: ``root/<clip>/``, ``root/<clip>.<ext>``; None if there are none.

    Parameters
    ----------
    root : Path
        A folder, or a single file where the library has one clip.
    clip : str
        Its name.
    alone : bool
        The library's only clip: `root` may then be its masks.

    Raises
    ------
    InputError
        If several match, naming them.
    """
    if root.is_file():
        return root if alone else None
    wanted = root / clip
    found = [wanted] if wanted.is_dir() else []
    if wanted.parent.is_dir():
        found += [
            path
            for path in sorted(wanted.parent.iterdir())
            if path.is_file() and path.suffix.lower() in FILES and path.stem == Path(clip).name
        ]
    if len(found) > 1:
        raise InputError(f"{clip}: expected one set of masks, got {', '.join(map(str, found))}")
    if not found and alone and any(path.suffix.lower() in SUFFIXES for path in root.iterdir()):
        return root
    return found[0] if found else None


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
) -> MaskSource:
    """Return the masks of a clip, looked through once for their classes.

    Parameters
    ----------
    path : Path
        A folder of PNG, .npy or .npz; or one .npy, .npz, .json (COCO, YouTube-VIS) or video.
    frames : int
        Of the footage.
    frame_names : sequence of str
        Its file names, if it is a folder of frames.
    size : (H, W)
        Of the footage.
    kind : {"auto", "labels", "soft", "binary"}
        What 8-bit grey pictures mean. "auto" looks at all of them: only 0 and 255 is binary;
        nothing between 63 and 255 is labels; anything else is soft.
    missing : {"error", "hold", "empty"}
        A frame without a mask is an error, has the one before it, or has none.

    Raises
    ------
    InputError
        Naming the file, what was expected and what was found.
    """
    try:
        if path.is_dir():
            return FolderMasks(path, frames, frame_names, size, kind, missing)
        suffix = path.suffix.lower()
        if suffix in ARRAYS:
            return ArrayMasks(path, frames, size)
        if suffix == ".json":
            return RleMasks(path, frames, frame_names, size)
        return VideoMasks(path, frames, size, kind)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
