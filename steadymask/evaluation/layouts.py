"""Where data sets keep their frames and labels.

All layouts are folders of files; a clip's name is its folder below the root, without parts that
every clip has:

DAVIS, YouTube-VOS   ``<root>/<clip>/00000.jpg``, labels ``<root>/<clip>/00000.png``
VSPW                 ``<root>/<clip>/origin/*.jpg``, ``<root>/<clip>/mask/*.png``
Cityscapes           ``<root>/<city>/<city>_<sequence>_<frame>_*.png``: a clip for each sequence
a run's OUT          ``<root>/<clip>/masks/00000.png``
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import ConfigError, InputError
from stages.media.footage.timeline import natural_key

PASSED_OVER = frozenset(
    ("JPEGImages", "Annotations", "480p", "1080p", "Full-Resolution", "origin", "mask", "masks")
)
CITYSCAPES = re.compile(r"(?P<city>[^_]+)_(?P<sequence>\d{6})_(?P<frame>\d{6})(_.*)?")
PICTURES, LABELS = frozenset((".jpg", ".jpeg", ".png")), frozenset((".png",))

# Folders that lie beside each other, one for frames, one for labels; a run's masks lie in `masks`.
FRAME_FOLDERS = frozenset(("JPEGImages", "origin"))
LABEL_FOLDERS = frozenset(("Annotations", "mask"))

Files = dict[str, Path]
"""A clip's files by frame name, in natural order."""


def find_frames(root: Path) -> dict[str, Files]:
    """Return the frames of every clip below `root`, by the clip's name.

    Raises
    ------
    ConfigError
        If there is no such folder, or no picture in it.
    """
    return _find_files(root, PICTURES, "frames (.jpg, .png)", LABEL_FOLDERS, FRAME_FOLDERS)


def find_labels(root: Path) -> dict[str, Files]:
    """Return the label files of every clip below `root`, by the clip's name; else as above."""
    return _find_files(root, LABELS, "label files (.png)", FRAME_FOLDERS, LABEL_FOLDERS)


def name_layout(root: Path) -> str:
    """Return the layout of the first clip below a folder: vspw, cityscapes, or folders.

    A clip of VSPW is known by `origin` or `mask` right above its files.
    """
    path = next(_walk_files(root, PICTURES), None) if root.is_dir() else None
    if path is None:
        return "folders"
    if path.parent.name in ("origin", "mask"):
        return "vspw"
    return "cityscapes" if CITYSCAPES.fullmatch(path.stem) else "folders"


def _find_files(
    root: Path,
    suffixes: frozenset[str],
    what: str,
    others: frozenset[str],
    own: frozenset[str],
) -> dict[str, Files]:
    """Return files by clip; a folder of the other kind is passed over where one of its own is."""
    if not root.is_dir():
        raise ConfigError(f"{root}: expected a folder of {what}, found no such folder")
    clips: dict[str, Files] = {}
    for path in _walk_files(root, suffixes, others, own):
        clip, frame = _clip_and_frame(path, root)
        clips.setdefault(clip, {})[frame] = path
    if not clips:
        raise ConfigError(f"{root}: expected {what}, found none")
    return clips


def _walk_files(
    root: Path,
    suffixes: frozenset[str],
    others: frozenset[str] = frozenset(),
    own: frozenset[str] = frozenset(),
) -> Iterator[Path]:
    for folder, below, names in os.walk(root, followlinks=True):
        passed = others if own & set(below) else frozenset()
        below[:] = sorted(name for name in below if not name.startswith(".") and name not in passed)
        for name in sorted(names, key=natural_key):
            if Path(name).suffix.lower() in suffixes and not name.startswith("."):
                yield Path(folder) / name


def _clip_and_frame(path: Path, root: Path) -> tuple[str, str]:
    """Return a file's clip and its name within the clip."""
    city = CITYSCAPES.fullmatch(path.stem)
    if city:
        return f"{city['city']}_{city['sequence']}", city["frame"]
    parts = [part for part in path.parent.relative_to(root).parts if part not in PASSED_OVER]
    if path.parent.name in ("origin", "mask") and parts[:1] == ["data"] and len(parts) > 1:
        parts = parts[1:]  # VSPW keeps its clips in `data`, results on them are kept without
    return "/".join(parts) or root.resolve().name, path.stem


def paired_files(frames: Files, labels: Files, where: str) -> dict[str, Path]:
    """Return the label files by the name of their frame, as many as there are.

    By name; else by number; else, where there are as many, in order.

    Raises
    ------
    InputError
        If none of the three fits.
    """
    if labels.keys() & frames.keys():
        return {name: labels[name] for name in frames if name in labels}
    numbers = {int(name): path for name, path in labels.items() if name.isdecimal()}
    if len(numbers) == len(labels) and all(name.isdecimal() for name in frames):
        named = {name: numbers[int(name)] for name in frames if int(name) in numbers}
        if named:
            return named
    if len(labels) == len(frames):
        return dict(zip(frames, labels.values(), strict=True))
    raise InputError(
        f"{where}: expected labels named like the {len(frames)} frames ({next(iter(frames))}, …) "
        f"or as many, got {len(labels)} ({next(iter(labels))}, …)"
    )
