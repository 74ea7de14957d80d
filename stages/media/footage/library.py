"""A library: which clips a directory holds, and which masks belong to them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.errors import ConfigError
from stages.media.footage.safe_open import leads_out

VIDEOS = frozenset(
    f".{suffix}"
    for suffix in (
        *("3gp", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "mxf"),
        *("ogv", "ts", "webm", "wmv", "y4m"),
    )
)
IMAGES = frozenset((".jpg", ".jpeg", ".png"))


# What a run writes beside the clips' folders, and inside of each: no clip may lie there.
OF_RUN = frozenset(("run.json", "run.draft", "metrics.json", "metrics.draft"))
OF_CLIP = frozenset(
    (
        *("masks", "masks.mkv", "overlay.mp4", "report", "metrics.json", "metrics.draft"),
        "pseudo_labels",
    )
)
OF_PAGES = frozenset((".html", ".css", ".js"))


@dataclass
class Library:
    """What a directory holds.

    Attributes
    ----------
    clips : dict of name to Path
    refused : dict of name to str
        Why others are left alone.
    """

    clips: dict[str, Path] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def find_clips(footage: Path, *, follow_links: bool = False) -> Library:
    """Return the clips of a library by name: video files, and folders of frames.

    The name is the path below `footage` without extension; where two clips differ only in their
    extension, both keep it. `footage` may itself be one clip. Hidden entries are passed over.

    Parameters
    ----------
    footage : Path
        A link here is followed: the user named it.
    follow_links : bool
        Whether links below it may lead out of it.

    Raises
    ------
    ConfigError
        If there is no such place, or no clip in it.
    """
    if not footage.exists():
        raise ConfigError(f"{footage}: no such file or directory")
    if not footage.is_dir():
        return Library({footage.stem: footage})
    if _has_images(footage):
        walk = _Walk(footage, follow_links=follow_links)
        name = footage.resolve().name or "clip"
        return Library({name: footage}) if walk.may_enter(footage) else Library({}, walk.refused)
    walk = _Walk(footage, follow_links=follow_links)
    found = walk.clips(footage)
    if not found and not walk.refused:
        raise ConfigError(f"{footage}: expected video files or folders of frames, found none")
    library = Library({}, walk.refused)
    named = _named(found, footage)
    for name, path in named.items():
        where = _in_the_way(name, named)
        if where:
            library.refused[name] = f"{path}: its results would lie {where}: rename it"
        else:
            library.clips[name] = path
    return library


class _Walk:
    """Finds the clips below a folder; notes what it leaves alone."""

    def __init__(self, root: Path, *, follow_links: bool) -> None:
        self._root, self._follow = root, follow_links
        self._entered: set[Path] = set()
        self.refused: dict[str, str] = {}

    def clips(self, root: Path) -> list[Path]:
        """Return video files and folders of frames, sorted."""
        found: list[Path] = []
        waiting = [root]  # not by recursion: strangers' folders may be nested deeper than that goes
        while waiting:
            folder = waiting.pop()
            for path in self._inside(folder):
                try:
                    kind = self._kind(path)
                except OSError as error:
                    self._refuse(path, f"cannot be read: {error.strerror}")
                    continue
                if kind == "clip":
                    found.append(path)
                elif kind == "folder":
                    waiting.append(path)
        return sorted(found)

    def _inside(self, folder: Path) -> list[Path]:
        try:
            with os.scandir(folder) as entries:
                return [folder / entry.name for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            self._refuse(folder, f"cannot be read: {error.strerror}")
            return []

    def _kind(self, path: Path) -> Literal["clip", "folder", "other"]:
        is_video = path.suffix.lower() in VIDEOS
        if path.is_dir():
            if not self.may_enter(path):
                return "other"
            if _has_images(path):
                return "clip"
            return "folder" if self._is_new(path) else "other"
        if is_video and not path.is_file():
            self._refuse(path, "expected a file, got a pipe, a device or a link to nothing")
        return "clip" if is_video and path.is_file() and self._stays(path) else "other"

    def may_enter(self, folder: Path) -> bool:
        """Return whether a folder, and the frames in it, lie below the root."""
        if folder != self._root and not self._stays(folder):
            return False
        if self._follow:
            return True
        with os.scandir(folder) as entries:
            links = [entry.name for entry in entries if entry.is_symlink()]
        frames = (folder / name for name in links if Path(name).suffix.lower() in IMAGES)
        return all(self._stays(frame, of=folder) for frame in frames)

    def _stays(self, path: Path, of: Path | None = None) -> bool:
        target = None
        if not self._follow and (of is not None or path.is_symlink()):
            target = leads_out(path, self._root)
        if target is not None:
            self._refuse(of or path, not_followed(path, target))
        return target is None

    def _is_new(self, folder: Path) -> bool:
        """Return whether a folder was not entered before: links may lead in circles."""
        real = folder.resolve()
        if folder.is_symlink() and leads_out(folder, self._root) is None:
            return False  # it is found in its own place
        known = real in self._entered
        self._entered.add(real)
        return not known

    def _refuse(self, path: Path, why: str) -> None:
        self.refused[str(path.relative_to(self._root))] = f"{path}: {why}"


def not_followed(link: Path, target: Path) -> str:
    """Return why a link is left alone, and what to do."""
    return (
        f"{link.name} is a link to {target}, outside of what was named: links of strangers could "
        "show your own files; if it is yours, give --follow-links"
    )


def _has_images(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(
            Path(entry.name).suffix.lower() in IMAGES and not entry.name.startswith(".")
            for entry in entries
        )


def _named(found: list[Path], root: Path) -> dict[str, Path]:
    """Return clips by name; extensions are kept where names would meet without."""
    kept: set[Path] = set()
    while True:
        names = {path: _name(path, root, keep=path in kept) for path in found}
        times = Counter(name.casefold() for name in names.values())
        meeting = {path for path, name in names.items() if times[name.casefold()] > 1} - kept
        if not meeting:
            return {name: path for path, name in names.items()}
        kept |= meeting


def _name(path: Path, root: Path, *, keep: bool) -> str:
    relative = path.relative_to(root)
    return str(relative if keep or path.is_dir() else relative.with_suffix(""))


def _in_the_way(name: str, names: Collection[str]) -> str:
    """Return among whose results those of a clip would lie; empty if they have their own place."""
    first, *others = parts = Path(name).parts
    if first in OF_RUN:
        return "where the run keeps its own record"
    if first == "report" and others and Path(others[0]).suffix in OF_PAGES:
        return "among the pages of the report"
    for k in range(1, len(parts)):
        above = str(Path(*parts[:k]))
        if above in names and parts[k] in OF_CLIP:
            return f"among those of the clip {above!r}"
    return ""
