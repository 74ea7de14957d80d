"""Finds the masks of a clip: by its name, in known layouts, inside of files of several clips."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path, PurePath
from unicodedata import normalize

from pipeline.errors import InputError
from stages.media.footage.clip_listing import OF_CLIP, OF_RUN, VIDEOS, not_followed
from stages.media.footage.safe_open import leads_out
from stages.media.masks.clip_names import name_parts
from stages.media.masks.folder import ARRAYS, list_mask_files
from stages.media.masks.formats.foreign import NEVER_READ
from stages.media.masks.legend_files import LEGENDS
from stages.media.masks.objects import list_object_folders
from stages.media.masks.panoptic import pictures_beside
from stages.media.masks.registry import Readers, mask_readers, mask_suffixes

MASK_FOLDERS = ("masks", "mask", "labels", "annotations", "SegmentationClass")
# A clip's folder of frames, and the folders beside it, or beside one above it, that hold its masks.
BESIDE = {
    "origin": ("mask",),  # VSPW
    "JPEGImages": ("Annotations", "SegmentationClass"),  # DAVIS, YouTube-VOS, PASCAL VOC
    "images": ("masks", "mask", "labels", "annotations"),
    "frames": ("masks", "mask"),
    "rgb": ("masks", "mask"),
    "leftImg8bit": ("gtFine",),  # Cityscapes
}
# Folders that exports of CVAT, Roboflow and others put around their files.
WRAPS = frozenset(
    {"annotations", "labels", "train", "default", "SegmentationClass", "obj_train_data"}
)
ROBOFLOW_FILE = "_annotations.coco.json"
# Folders with these names, numbered, are objects; others may be clips.
OBJECT_NAMES = {
    "",
    *(f"{name}{mark}" for name in ("object", "obj", "id") for mark in ("", "_", "-")),
}
MOST_SET_FILES = 16  # in MASKS, that are looked into for clips without masks of their own name


def find_masks(
    root: Path,
    clip: str,
    *,
    alone: bool = False,
    follow_links: bool = False,
    readers: Readers | None = None,
) -> Path | None:
    """Return the masks of a clip; None if there are none.

    They are a folder ``root/<clip>/`` or ``root/<clip>.mp4/``, a file ``root/<clip>.<ext>``, a
    folder ``masks`` in the first (as the results of a run have it), a folder beside the frames'
    (VSPW, DAVIS), or inside of a file of several clips.

    Parameters
    ----------
    root : Path
        A folder, or a single file: of the library's only clip, or of several clips.
    clip : str
        Its name, which may be a path.
    alone : bool
        The library's only clip: `root` may then be its masks.
    follow_links : bool
        Whether links below `root` may lead out of it.
    readers : tuple of MaskReader, optional
        Of the formats that masks may have; `mask_readers` if None.

    Raises
    ------
    InputError
        If several match, naming them, a link leads out, or what lies in `root` may be masks of
        other clips or objects of this one.
    """
    if readers is None:
        readers = mask_readers()
    if not root.is_dir():
        return root if alone or _holds_masks(root, clip, readers) else None
    chosen = (
        _masks_beside(root, clip, readers)
        or _by_name(root, clip, readers)
        or _in_set(root, clip, readers)
    )
    if chosen is None and alone:
        chosen = _root_itself(root, clip, readers)
    if chosen is not None and not follow_links:
        _check_links(chosen, root)
    return chosen


def unused_masks(root: Path, used: Iterable[Path], readers: Readers | None = None) -> list[str]:
    """Return names of files and folders in `root` that hold masks of no clip."""
    if not root.is_dir():
        return []
    paths = {path.resolve() for path in used}
    paths |= {folder for path in paths if (folder := pictures_beside(path)) is not None}
    if root.resolve() in paths:
        return []
    needed = {parent for path in paths for parent in (path, *path.parents)}
    suffixes = mask_suffixes(mask_readers() if readers is None else readers)
    idle = []
    for entry in sorted(root.iterdir()):
        own = entry.name in OF_RUN or entry.name in LEGENDS or entry.name == "report"
        if entry.name[0] == "." or own or entry.resolve() in needed:
            continue
        if entry.is_dir() or entry.suffix.lower() in suffixes:
            idle.append(entry.name)
    return idle


def find_sidecar(masks: Path) -> Path | None:
    """Return the legend of colours, or the record of an earlier run, that belongs to masks."""
    names = (*LEGENDS, "metrics.json") if masks.name == "masks" else LEGENDS
    for folder in (masks.parent, masks.parent.parent):
        for name in names if folder == masks.parent else LEGENDS:
            if (folder / name).is_file():
                return folder / name
    return None


def _by_name(root: Path, clip: str, readers: Readers) -> Path | None:
    wanted = root / clip
    if not wanted.parent.is_dir():
        return None
    suffixes = mask_suffixes(readers)
    shelf = _masks_by_name(wanted.parent, wanted.parent.stat().st_mtime_ns, suffixes)
    matching = shelf.get(normalize("NFC", wanted.name), ())
    described = [path for path in matching if pictures_beside(path) in matching]
    readable = [path for path in matching if path.suffix.lower() not in NEVER_READ]
    matching = tuple(described or readable) or matching
    if len(matching) > 1:
        raise InputError(f"{clip}: expected one set of masks, got {', '.join(map(str, matching))}")
    inner = _inner_folder(matching[0], readers) if matching else None
    return None if inner is None else _unwrapped(inner, readers)


def _inner_folder(path: Path, readers: Readers) -> Path | None:
    """Return a folder's masks: itself, or the folder or file in it that results of a run have."""
    if not path.is_dir() or any(reader.recognise(path) == 2 for reader in readers):
        return path
    inside = {entry.name: entry for entry in os.scandir(path) if entry.name[0] != "."}
    suffixes = mask_suffixes(readers) - VIDEOS
    pictures = any(Path(name).suffix.lower() in suffixes for name in inside)
    of_run = len(inside.keys() & OF_CLIP) > 1
    for name in MASK_FOLDERS:
        if name in inside and inside[name].is_dir() and (of_run or not pictures):
            return path / name
    if "masks.zip" in inside:
        return path / "masks.zip"
    if inside and not pictures and all(entry.is_dir() for entry in inside.values()):
        return path if any(reader.recognise(path) for reader in readers) else None
    return path


def _unwrapped(folder: Path, readers: Readers) -> Path:
    """Return the only file or folder of annotations that exports of tools wrap in set folders."""
    while folder.is_dir():
        by_roboflow = sorted((*folder.glob(ROBOFLOW_FILE), *folder.glob(f"*/{ROBOFLOW_FILE}")))
        if len(by_roboflow) > 1:
            raise InputError(
                f"{folder}: several files of annotations ({', '.join(map(str, by_roboflow))}): "
                "give one of them as --masks, or export the set without splitting it"
            )
        if by_roboflow:
            return by_roboflow[0]
        if any(reader.recognise(folder) for reader in readers):
            return folder
        inside = [entry for entry in sorted(folder.iterdir()) if entry.name[0] != "."]
        files = [
            entry
            for entry in inside
            if entry.is_file() and any(reader.recognise(entry) == 2 for reader in readers)
        ]
        wraps = [entry for entry in inside if entry.is_dir() and entry.name in WRAPS]
        if len(files) == 1:
            return files[0]
        if files or len(wraps) != 1:
            return folder
        folder = wraps[0]
    return folder


def _masks_beside(root: Path, clip: str, readers: Readers) -> Path | None:
    """Return the masks of a clip whose frames lie in a folder that a data set names so."""
    parts = PurePath(clip).parts
    for k, part in enumerate(parts):
        for name in BESIDE.get(part, ()):
            path = root.joinpath(*parts[:k], name, *parts[k + 1 :])
            if path.is_dir():
                return path
    if parts and parts[-1] in BESIDE:
        return _by_name(root, str(PurePath(*parts[:-1])), readers) if len(parts) > 1 else None
    return None


def _in_set(root: Path, clip: str, readers: Readers) -> Path | None:
    """Return the file in `root` that holds the clip among others."""
    files = _set_files(root, root.stat().st_mtime_ns, mask_suffixes(readers) - VIDEOS)
    holding = [path for path in files if _holds_masks(path, clip, readers)]
    if len(holding) > 1:
        raise InputError(
            f"{clip}: expected one file that holds its masks, got {', '.join(map(str, holding))}"
        )
    return holding[0] if holding else None


@lru_cache(maxsize=64)
def _set_files(root: Path, changed_ns: int, suffixes: frozenset[str]) -> tuple[Path, ...]:
    """Return the files in a folder that may hold several clips; none if there are many."""
    files = [p for p in sorted(root.iterdir()) if p.suffix.lower() in suffixes and p.is_file()]
    return tuple(files) if len(files) <= MOST_SET_FILES else ()


def _holds_masks(path: Path, clip: str, readers: Readers) -> bool:
    stat = path.stat()
    parts = name_parts(clip)
    if not parts:
        return False
    return parts[-1] in _names_inside(path, stat.st_size, stat.st_mtime_ns, readers)


@lru_cache(maxsize=256)
def _names_inside(path: Path, size: int, changed_ns: int, readers: Readers) -> frozenset[str]:
    """Return the last parts of the names of the clips that a file holds."""
    return frozenset(
        parts[-1]
        for reader in readers
        if reader.recognise(path)
        for name in reader.clips_inside(path)
        if (parts := name_parts(name))
    )


def _root_itself(root: Path, clip: str, readers: Readers) -> Path | None:
    """Return `root`, or the only file or folder in it, as the masks of the only clip.

    Raises
    ------
    InputError
        If what lies in it has names, and may as well be the masks of other clips.
    """
    inner = _unwrapped(_inner_folder(root, readers) or root, readers)
    if not any(reader.recognise(inner) for reader in readers):
        return None
    if inner == root:
        _check_names(root, clip)
    return inner


def _check_names(root: Path, clip: str) -> None:
    """Refuse folders of masks, or one array, of names that may be clips'."""
    files = list_mask_files(root)
    if len(files) == 1 and files[0].suffix in ARRAYS and not re.search(r"[0-9]", files[0].name):
        raise InputError(
            f"{files[0].path}: has another name than the clip {clip}: if these are its masks, give "
            f"--masks {files[0].path}, or rename it to {clip}{files[0].suffix}"
        )
    folders = [] if files else list_object_folders(root)
    if not folders or {re.sub(r"[0-9]+$", "", f.name).casefold() for f in folders} <= OBJECT_NAMES:
        return
    listed = ", ".join(folder.name for folder in folders[:5]) + (", …" if len(folders) > 5 else "")
    raise InputError(
        f"{root}: folders of masks ({listed}), none with the name of the clip {clip}: masks of "
        f"another clip, or its objects? to read one as the clip's masks give --masks "
        f"{folders[0]}, or rename it to {clip}; put objects into {root / clip}/, a folder each"
    )


def _check_links(path: Path, root: Path) -> None:
    """Refuse masks outside of `root`."""
    for link in _links_in(path):
        target = leads_out(link, root)
        if target is not None:
            raise InputError(f"{path}: {not_followed(link, target)}")


def _links_in(path: Path) -> Iterator[Path]:
    yield path
    if not path.is_dir():
        return
    for folder, folders, files in os.walk(path):
        yield from (Path(folder) / name for name in (*folders, *files) if _is_link(folder, name))


def _is_link(folder: str, name: str) -> bool:
    return (Path(folder) / name).is_symlink()


@lru_cache(maxsize=64)
def _masks_by_name(
    folder: Path, changed_ns: int, files: frozenset[str]
) -> dict[str, tuple[Path, ...]]:
    """Return a folder's masks by the names of the clips they may be for; read once, not per clip.

    Names are compared in one Unicode form: file systems differ in how they spell an umlaut.
    """
    shelf: dict[str, set[Path]] = defaultdict(set)
    with os.scandir(folder) as entries:
        for entry in entries:
            path = folder / entry.name
            suffix = path.suffix.lower()
            if entry.is_dir() or suffix in files:
                shelf[normalize("NFC", path.name)].add(path)
            if suffix in (VIDEOS if entry.is_dir() else files):
                shelf[normalize("NFC", path.stem)].add(path)
                # as tools name what they export for a clip
                plain = re.sub(r"[._-](masks?|labels?|annotations?|coco)$", "", path.stem)
                if plain != path.stem:
                    shelf[normalize("NFC", plain)].add(path)
    return {name: tuple(sorted(paths)) for name, paths in shelf.items()}
