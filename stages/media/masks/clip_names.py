"""Names of clips inside annotation files and archives, compared with the clip's own."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from stages.media.footage.clip_listing import VIDEOS


def same_clip(name: str, clip: str) -> bool:
    """Return whether a name inside a file means the clip."""
    return common_parts(name, clip) > 0


def common_parts(name: str, clip: str) -> int:
    """Return how many parts of two paths agree, counted from their ends; endings are left out.

    Where one is longer, as ``images/shot1`` for ``shot1``, all of the shorter should agree; parts
    such as ``frames`` that only say "pictures" may come last.
    """
    ours, theirs = name_parts(clip), name_parts(name)
    count = 0
    for mine, other in zip(reversed(ours), reversed(theirs), strict=False):
        if mine != other:
            break
        count += 1
    return count


def name_parts(path: str) -> list[str]:
    """Return the folders and the name of a video or clip, without its ending, in small letters."""
    pure = PurePosixPath(path.replace("\\", "/"))
    last = pure.stem if pure.suffix.casefold() in VIDEOS else pure.name
    parts = [part.casefold() for part in (*pure.parent.parts, last) if part not in (".", "/", "")]
    while len(parts) > 1 and parts[-1] in ("frames", "images", "img1", "rgb", "origin"):
        parts.pop()
    return parts


def video_prefix(name: str) -> str:
    """Return a picture's name before its number: that of its video, in flat sets."""
    stem = PurePosixPath(name.replace("\\", "/")).stem.split(".rf.")[0]  # Roboflow's digest
    prefix = re.sub(r"[\W_]*(frame|img|image)?[\W_]*[0-9]+[^0-9]*$", "", stem, flags=re.I)
    name, _, ending = prefix.rpartition("_")
    is_ending = f".{ending.casefold()}" in VIDEOS and not ending.isdigit()  # a number of a clip
    return name if is_ending else prefix
