"""The videos of an annotation file: parsed once, and the one that is a clip's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pipeline.errors import InputError
from stages.media.masks.clip_names import common_parts, same_clip, video_prefix
from stages.media.masks.json_files import MALFORMED

if TYPE_CHECKING:
    from stages.media.masks.contract import (
        AnnotatedFrame,
        AnnotationReader,
        AnnotationSet,
        FootageFacts,
    )

FILES_AT_ONCE = 2  # parsed and kept: one file may hold a whole library


def parse_annotations(reader: AnnotationReader, path: Path) -> AnnotationSet:
    """Return the annotations that a reader parses from a file, cached until it changes.

    Raises
    ------
    InputError
        If the file is malformed.
    """
    return _parsed_set(reader, path, _file_stamp(path))


@lru_cache(maxsize=FILES_AT_ONCE)
def _parsed_set(reader: AnnotationReader, path: Path, looks: tuple[Any, ...]) -> AnnotationSet:
    try:
        content = reader.parse(path)
        return content if len(content.videos) != 1 else _split_folders(content)
    except MALFORMED as error:
        raise InputError(
            f"{path}: expected {reader.format}, got something malformed "
            f"({type(error).__name__}: {error})"
        ) from error


def _file_stamp(path: Path) -> tuple[Any, ...]:
    try:
        if not path.is_dir():
            stat = path.stat()
            return (stat.st_size, stat.st_mtime_ns)
        inside = sorted((file.name, file.stat()) for file in path.iterdir())
        return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in inside)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _split_folders(content: AnnotationSet) -> AnnotationSet:
    """Return pictures of several folders as several videos, where the only one has no name."""
    from dataclasses import replace

    ((name, frames),) = content.videos.items()
    if name:
        return content
    by_folder: dict[str, list[AnnotatedFrame]] = defaultdict(list)
    for frame in frames:
        folder = str(PurePosixPath(frame.name.replace("\\", "/")).parent)
        by_folder["" if folder == "." else folder].append(frame)
    if len(by_folder) < 2:
        return content
    return replace(content, videos={name: tuple(group) for name, group in by_folder.items()})


def video_names(reader: AnnotationReader, path: Path) -> tuple[str, ...]:
    """Return the names of the clips in a file; of pictures without folders, those before numbers.

    A file that cannot be read has none: opening it will say why.
    """
    try:
        content = parse_annotations(reader, path)
    except InputError:
        return ()
    names = [name for name in content.videos if name]
    if not names:
        (frames,) = content.videos.values() or ((),)
        names = [*dict.fromkeys(video_prefix(frame.name) for frame in frames)]
    return tuple(name for name in names if name)


def select_video(
    path: Path, content: AnnotationSet, footage: FootageFacts, wanted: str
) -> tuple[str, Sequence[AnnotatedFrame]]:
    """Return name and frames of the video that is the clip's.

    Raises
    ------
    InputError
        If several are there and none, or more than one, has its name: names them.
    """
    videos = content.videos
    if wanted and wanted not in videos:
        raise InputError(
            f"{path}: no video {wanted!r} in it (segment.video): {_listed_names(videos)}"
        )
    if wanted:
        return wanted, videos[wanted]
    if len(videos) == 1:
        ((name, frames),) = videos.items()
        own = [frame for frame in frames if same_clip(video_prefix(frame.name), footage.clip)]
        mixed = len({video_prefix(frame.name) for frame in frames}) > 1
        return name, own if mixed and own else frames
    best: dict[str, int] = {name: common_parts(name, footage.clip) for name in videos}
    most = max(best.values(), default=0)
    chosen = [name for name, parts in best.items() if parts == most]
    if most == 0 or len(chosen) > 1:
        raise InputError(
            f"{path}: {len(videos)} videos, and {'none has' if most == 0 else 'several have'} the "
            f"name of the clip {footage.clip}: {_listed_names(videos)}: "
            "set segment.video to one of them"
        )
    return chosen[0], videos[chosen[0]]


def _listed_names(videos: Mapping[str, Any]) -> str:
    names = [repr(name) for name in videos]
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
