"""A library: which clips a directory holds, and what else was passed over."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import ConfigError
from stages.media.footage.pictures import read_header
from stages.media.footage.safe_open import leads_out, open_regular
from stages.media.footage.sequences import (
    frame_files,
    group_pictures,
    is_gapless,
    is_pattern,
    is_picture,
    sequence_name,
)

VIDEOS = frozenset(
    f".{suffix}"
    for suffix in (
        *("3gp", "avi", "flv", "gif", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts"),
        *("mxf", "ogv", "ts", "webm", "wmv", "y4m"),
        # streams without a container
        *("264", "265", "avc", "h264", "h265", "hevc", "ivf"),
    )
)

# What a run writes beside the clips' folders, and inside of each: no clip may lie there.
OF_RUN = frozenset(("run.json", "run.draft", "metrics.json", "metrics.draft", "coco.json"))
OF_CLIP = frozenset(
    (
        *("masks", "masks.mkv", "overlay.mp4", "report", "metrics.json", "metrics.draft"),
        "pseudo_labels",
    )
)
OF_PAGES = frozenset((".html", ".css", ".js"))
FEWEST_BESIDE_VIDEOS = 5  # pictures beside videos that may be a clip's frames
BY_NAME = "if they are, name them as FOOTAGE, such as FOLDER/####.jpg"
VSPW_FRAMES, VSPW_MASKS = "origin", "mask"  # the folders of a clip in the data set VSPW


@dataclass
class FootageLibrary:
    """What a directory holds.

    Attributes
    ----------
    clips : dict of name to Path
        A video, a folder of frames, a pattern of frames or one picture.
    refused : dict of name to str
        Why others are left alone.
    passed_over : dict of str to str
        Files and folders that are no clips, by their path below the directory, and why.
    """

    clips: dict[str, Path] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)


def find_clips(
    footage: Path, *, follow_links: bool = False, never: Collection[Path] = ()
) -> FootageLibrary:
    """Return the clips of a library by name: video files, and sequences of pictures.

    The name is the path below `footage` without extension; where two clips differ only in their
    extension, both keep it. `footage` may itself be one clip. Hidden entries are passed over.

    Parameters
    ----------
    footage : Path
        A link here is followed: the user named it. A folder, a file, or a pattern of pictures
        such as ``shot.####.exr``.
    follow_links : bool
        Whether links below it may lead out of it.
    never : collection of Path
        Folders below it that hold no footage: results, the store, masks.

    Raises
    ------
    ConfigError
        If there is no such place, or no clip in it.
    """
    if is_pattern(footage):
        if not frame_files(footage):
            raise ConfigError(f"{footage}: no picture fits this pattern")
        return FootageLibrary({sequence_name(footage.name): footage})
    if not footage.exists():
        raise ConfigError(f"{footage}: no such file or directory")
    if not footage.is_dir():
        return FootageLibrary({footage.stem: footage})
    walk = _LibraryWalk(footage, follow_links=follow_links, never=never)
    clip_files = walk.clips()
    if not clip_files and not walk.refused:
        raise ConfigError(
            f"{footage}: expected video files or folders of frames, found none"
            + "".join(f"; {line}" for line in summary(walk.passed_over)[:3])
        )
    library = FootageLibrary({}, walk.refused, walk.passed_over)
    named = _clips_by_name(clip_files)
    for name, path in named.items():
        where = _in_the_way(name, named)
        if where:
            library.refused[name] = f"{path}: its results would lie {where}: rename it"
        else:
            library.clips[name] = path
    return library


def summary(passed_over: dict[str, str]) -> list[str]:
    """Return in a few lines what was passed over: one a reason, with some of the names."""
    names: dict[str, list[str]] = {}
    for name, why in passed_over.items():
        names.setdefault(why, []).append(name)
    lines = []
    for why, some in names.items():
        count = f" ({len(some)} in all)" if len(some) > 3 else ""
        lines.append(f"{', '.join(sorted(some)[:3])}{', …' if count else ''}{count}: {why}")
    return lines


@dataclass
class _FolderContent:
    """What lies in a folder, sorted by its kind."""

    pictures: list[str] = field(default_factory=list)
    videos: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)


class _LibraryWalk:
    """Finds the clips below a folder; notes what it leaves alone."""

    def __init__(self, root: Path, *, follow_links: bool, never: Collection[Path] = ()) -> None:
        self._root, self._follow = root, follow_links
        self._never = {path.resolve() for path in never if path.exists()}
        self._entered: set[Path] = {root.resolve()}
        self._names: dict[Path, str] = {}  # of the clips found
        self._single: list[tuple[Path, list[str]]] = []  # folders with a picture and folders in it
        self.refused: dict[str, str] = {}
        self.passed_over: dict[str, str] = {}

    def clips(self) -> dict[Path, str]:
        """Return the paths of clips and their names below the root, sorted."""
        waiting = [self._root]
        # not by recursion: strangers' folders may be nested deeper than that goes
        while waiting:
            folder = waiting.pop()
            inside = self._folder_content(folder)
            if not self._add_pictures(folder, inside):
                waiting += inside.folders
            for path in inside.videos:
                self._names[path] = str(path.relative_to(self._root))
        for folder, names in reversed(self._single):  # the deepest first
            if any(path.is_relative_to(folder) for path in self._names):
                self._pass_over(folder, names, "a picture beside clips is not a clip")
            else:
                self._add_clip(folder, "")
        return dict(sorted(self._names.items()))

    def _folder_content(self, folder: Path) -> _FolderContent:
        inside = _FolderContent()
        try:
            with os.scandir(folder) as entries:
                shown = sorted((e for e in entries if e.name[0] != "."), key=lambda e: e.name)
        except OSError as error:
            self._refuse_path(folder, f"cannot be read: {error.strerror}")
            return inside
        for entry in shown:
            try:
                self._sort_entry(entry, inside)
            except OSError as error:
                self._refuse_path(folder / entry.name, f"cannot be read: {error.strerror}")
        return inside

    def _sort_entry(self, entry: os.DirEntry[str], inside: _FolderContent) -> None:
        """Add an entry of a folder to what lies in it; most are pictures, and cost the least."""
        is_folder = entry.is_dir()
        if not is_folder and is_picture(entry.name):
            inside.pictures.append(entry.name)
            return
        path = Path(entry.path)
        suffix = path.suffix.lower()
        if is_folder:
            if self._may_enter(path):
                inside.folders.append(path)
        elif suffix in VIDEOS and not path.is_file():
            self._refuse_path(path, "expected a file, got a pipe, a device or a link to nothing")
        elif suffix in VIDEOS:
            if self._stays_inside(path):
                inside.videos.append(path)
        elif path.name not in OF_RUN:
            kind = f"{suffix} is no video or picture" if suffix else "neither video nor picture"
            self._pass_over(path.parent, [path.name], kind)

    def _may_enter(self, folder: Path) -> bool:
        """Return whether a folder is looked into: below the root, no results, and only once."""
        if folder.resolve() in self._never:
            self._pass_over(
                folder.parent,
                [folder.name],
                "results, the store or masks of this run are never footage",
            )
        elif (folder / "run.json").is_file() and (folder / "report").is_dir():
            self._pass_over(
                folder.parent, [folder.name], "the results of an earlier run are never footage"
            )
        elif folder.name == VSPW_MASKS and (folder.parent / VSPW_FRAMES).is_dir():
            self._pass_over(
                folder.parent, [folder.name], f"the masks of {folder.parent.name}/{VSPW_FRAMES}"
            )
        else:
            return self._stays_inside(folder) and self._is_new(folder)
        return False

    def _add_pictures(self, folder: Path, inside: _FolderContent) -> bool:
        """Add the sequences of a folder; return whether it is a clip as a whole."""
        if not inside.pictures or not self._frames_stay(folder, inside.pictures):
            return bool(inside.pictures)
        grouping = group_pictures(inside.pictures)
        if grouping.problem:
            self._refuse_path(folder, grouping.problem)
            return True
        if inside.videos:
            self._add_beside_videos(folder, grouping.sequences)
            return False
        if len(inside.pictures) == 1 and inside.folders:
            self._single.append((folder, inside.pictures))
            return False
        for pattern in grouping.sequences:
            self._add_clip(folder, pattern)
        self._pass_over(folder, grouping.strays, "not numbered as the frames beside it are")
        for path in inside.folders:
            self._pass_over(
                path.parent,
                [path.name],
                f"not looked into: {folder.name} is itself a folder of frames",
            )
        return True

    def _add_beside_videos(self, folder: Path, sequences: dict[str, list[str]]) -> None:
        for pattern, names in sequences.items():
            if _from_camera(folder / names[0]):
                self._pass_over(folder, names, f"photos beside videos are no frames; {BY_NAME}")
            elif len(names) < FEWEST_BESIDE_VIDEOS or not is_gapless(names):
                self._pass_over(
                    folder, names,
                    f"beside videos, fewer than {FEWEST_BESIDE_VIDEOS} pictures or such that are "
                    f"not numbered without gaps are no frames; {BY_NAME}",
                )  # fmt: skip
            else:
                self._add_clip(folder, pattern)

    def _add_clip(self, folder: Path, pattern: str) -> None:
        path = folder / pattern if pattern else folder
        if folder == self._root:
            self._names[path] = sequence_name(pattern) if pattern else _own_name(folder)
            return
        name = folder.relative_to(self._root)
        if folder.name == VSPW_FRAMES and (folder.parent / VSPW_MASKS).is_dir():
            name = name.parent if len(name.parts) > 1 else Path(_own_name(self._root))
        self._names[path] = str(name / sequence_name(pattern) if pattern else name)

    def _frames_stay(self, folder: Path, names: Iterable[str]) -> bool:
        """Return whether the frames in a folder lie below the root."""
        if self._follow:
            return True
        links = (folder / name for name in names if (folder / name).is_symlink())
        return all(self._stays_inside(frame, of=folder) for frame in links)

    def _stays_inside(self, path: Path, of: Path | None = None) -> bool:
        target = None
        if not self._follow and (of is not None or path.is_symlink()):
            target = leads_out(path, self._root)
        if target is not None:
            self._refuse_path(of or path, not_followed(path, target))
        return target is None

    def _is_new(self, folder: Path) -> bool:
        """Return whether a folder was not entered before: links may lead in circles."""
        real = folder.resolve()
        if folder.is_symlink() and leads_out(folder, self._root) is None:
            return False  # it is found in its own place
        known = real in self._entered
        self._entered.add(real)
        return not known

    def _refuse_path(self, path: Path, why: str) -> None:
        name = _own_name(path) if path == self._root else str(path.relative_to(self._root))
        self.refused[name] = f"{path}: {why}"

    def _pass_over(self, folder: Path, names: Iterable[str], why: str) -> None:
        for name in names:
            self.passed_over[str((folder / name).relative_to(self._root))] = why


def _own_name(folder: Path) -> str:
    return folder.resolve().name or "clip"


def _from_camera(file: Path) -> bool:
    """Return whether a picture is a photo: a camera has put its name in it."""
    try:
        with open_regular(file) as source:
            header = read_header(file, source)
    except OSError:
        return False
    return header is not None and header.camera


def not_followed(link: Path, target: Path) -> str:
    """Return why a link is left alone, and what to do."""
    return (
        f"{link.name} is a link to {target}, outside of what was named: links of strangers could "
        "show your own files; if it is yours, give --follow-links"
    )


def _clips_by_name(clip_files: dict[Path, str]) -> dict[str, Path]:
    """Return clips by name; extensions are kept where names would meet without."""
    kept: set[Path] = set()
    while True:
        names = {
            path: _clip_name(path, name, with_extension=path in kept)
            for path, name in clip_files.items()
        }
        times = Counter(name.casefold() for name in names.values())
        meeting = {path for path, name in names.items() if times[name.casefold()] > 1} - kept
        if not meeting:
            return {name: path for path, name in names.items()}
        kept |= meeting


def _clip_name(path: Path, name: str, *, with_extension: bool) -> str:
    is_video = path.suffix.lower() in VIDEOS and not path.is_dir()
    if is_video:
        return name if with_extension else str(Path(name).with_suffix(""))
    return str(Path(name).with_name(path.name)) if with_extension and "#" in path.name else name


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
