"""A library: which clips a directory holds, and which masks belong to them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import ConfigError

VIDEOS = frozenset(
    f".{suffix}"
    for suffix in (
        *("3gp", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "mxf"),
        *("ogv", "ts", "webm", "wmv", "y4m"),
    )
)
IMAGES = frozenset((".jpg", ".jpeg", ".png"))


def find_clips(footage: Path) -> dict[str, Path]:
    """Return the clips of a library by name: video files, and folders of frames.

    The name is the path below `footage` without extension; where two clips differ only in their
    extension, both keep it. `footage` may itself be one clip. Hidden entries are passed over.

    Raises
    ------
    ConfigError
        If there is no such place, or no clip in it.
    """
    if not footage.exists():
        raise ConfigError(f"{footage}: no such file or directory")
    if footage.is_file():
        return {footage.stem: footage}
    if _has_images(footage):
        return {footage.resolve().name: footage}
    found = sorted(_walk(footage))
    if not found:
        raise ConfigError(f"{footage}: expected video files or folders of frames, found none")
    short = {path: _name(path, footage, keep=False) for path in found}
    times = Counter(name.casefold() for name in short.values())
    return {
        name if times[name.casefold()] == 1 else _name(path, footage, keep=True): path
        for path, name in short.items()
    }


def _walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            path = folder / entry.name
            if entry.is_file() and path.suffix.lower() in VIDEOS:
                yield path
            elif entry.is_dir():
                if _has_images(path):
                    yield path
                else:
                    yield from _walk(path)


def _has_images(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(
            Path(entry.name).suffix.lower() in IMAGES and not entry.name.startswith(".")
            for entry in entries
        )


def _name(path: Path, root: Path, *, keep: bool) -> str:
    relative = path.relative_to(root)
    return str(relative if keep or path.is_dir() else relative.with_suffix(""))
