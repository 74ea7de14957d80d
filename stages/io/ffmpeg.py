"""The ffmpeg program: where it is, and how it is kept to the one file that it may read."""

from __future__ import annotations

import shutil
from functools import lru_cache

import imageio_ffmpeg

# Containers only: no playlist, no concat script, no subtitle file that could name other files.
DEMUXERS = ",".join(
    [
        *("3g2", "3gp", "apng", "asf", "avi", "flv", "gif", "h264", "hevc", "ivf", "m4a", "m4v"),
        *("matroska", "mj2", "mov", "mp4", "mpeg", "mpegts", "mpegvideo", "mxf", "nut", "ogg"),
        *("vc1", "webm", "wmv", "yuv4mpegpipe"),
    ]
)
CONFINED = {"protocol_whitelist": "file,pipe", "format_whitelist": DEMUXERS}


@lru_cache(maxsize=1)
def ffmpeg_path() -> str:
    """Return the system's ffmpeg, else the one that imageio-ffmpeg carries."""
    return shutil.which("ffmpeg") or str(imageio_ffmpeg.get_ffmpeg_exe())
