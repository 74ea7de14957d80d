"""Tags of a source that its copies should keep: colour, timecode, sound."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from stages.media.footage.ffmpeg import CONFINED, run
from stages.media.footage.limits import GIB
from stages.media.footage.safe_open import open_regular

log = logging.getLogger(__name__)

TAGS_LIMIT_S = 60
TAGS_BYTES = 2 * GIB  # of memory

UNKNOWN = 2  # in every table of ISO 23091-2
BT709, BT601, BT2020 = 1, 6, 9  # matrices
SRGB = 13  # transfer function


@dataclass(frozen=True)
class SourceTags:
    """Numbers of ISO 23091-2, as all containers hold them, and what else a file says of itself.

    Attributes
    ----------
    primaries, transfer, matrix : int
        2 where the file does not say.
    timecode : str
        Of the first frame, as ``01:00:00:00``; empty where there is none.
    sounds : tuple of str
        Codec of each sound stream.
    """

    primaries: int = UNKNOWN
    transfer: int = UNKNOWN
    matrix: int = UNKNOWN
    timecode: str = ""
    sounds: tuple[str, ...] = ()


PICTURES = SourceTags(BT709, SRGB, BT709)
"""Tags of videos that are made of pictures: JPEG and PNG are sRGB."""


def source_tags(path: Path) -> SourceTags:
    """Return the tags of a video, or of a folder of pictures; nothing is known of broken ones."""
    if path.is_dir():
        return PICTURES
    try:
        about = path.stat()
    except OSError:
        return SourceTags()
    return _video_tags(path, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=64)
def _video_tags(path: Path, changed_ns: int, size: int) -> SourceTags:
    child = str(Path(__file__).with_name("tags_child.py"))
    command = [sys.executable, "-P", child, json.dumps(CONFINED)]
    try:
        with open_regular(path) as source:
            answer = run(command, source, limit_s=TAGS_LIMIT_S, memory_bytes=TAGS_BYTES)
        values = json.loads(answer[1])
    except (OSError, ValueError, subprocess.TimeoutExpired):
        log.warning("%s: its colour tags, timecode and sound streams cannot be read", path)
        return SourceTags()
    return SourceTags(
        primaries=values.get("color_primaries", UNKNOWN) or UNKNOWN,
        transfer=values.get("color_trc", UNKNOWN) or UNKNOWN,
        # 0 is RGB, of which there is no YUV matrix
        matrix=values.get("colorspace", UNKNOWN) or UNKNOWN,
        timecode=values["timecode"],
        sounds=tuple(values["sounds"]),
    )
