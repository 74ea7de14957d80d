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

Files = dict[str, Path]
"""A clip's files by frame name, in natural order."""


def find_frames(root: Path) -> dict[str, Files]:
    """Return the frames of every clip below `root`, by the clip's name.

    Raises
    ------
    ConfigError
        If there is no such folder, or no picture in it.
    """
    return _find_files(root, PICTURES, "frames (.jpg, .png)")


def find_labels(root: Path) -> dict[str, Files]:
    """Return the label files of every clip below `root`, by the clip's name; else as above."""
    return _find_files(root, LABELS, "label files (.png)")


def _find_files(root: Path, suffixes: frozenset[str], what: str) -> dict[str, Files]:
    if not root.is_dir():
        raise ConfigError(f"{root}: expected a folder of {what}, found no such folder")
    clips: dict[str, Files] = {}
    for path in _walk_files(root, suffixes):
        clip, frame = _clip_and_frame(path, root)
        clips.setdefault(clip, {})[frame] = path
    if not clips:
        raise ConfigError(f"{root}: expected {what}, found none")
    return clips


def _walk_files(root: Path, suffixes: frozenset[str]) -> Iterator[Path]:
    for folder, below, names in os.walk(root, followlinks=True):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names, key=natural_key):
            if Path(name).suffix.lower() in suffixes and not name.startswith("."):
                yield Path(folder) / name


def _clip_and_frame(path: Path, root: Path) -> tuple[str, str]:
    """Return a file's clip and its name within the clip."""
    city = CITYSCAPES.fullmatch(path.stem)
    if city:
        return f"{city['city']}_{city['sequence']}", city["frame"]
    parts = [part for part in path.parent.relative_to(root).parts if part not in PASSED_OVER]
    return "/".join(parts) or root.resolve().name, path.stem


def pair(frames: Files, labels: Files, where: str) -> dict[str, Path]:
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
