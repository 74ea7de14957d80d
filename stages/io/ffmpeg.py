"""The ffmpeg program: where it is, and how it is kept to the one file that it may read."""

from __future__ import annotations

import re
import shutil
import subprocess
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


OLDEST = 6  # major version that knows all options used here


@lru_cache(maxsize=1)
def ffmpeg_path() -> str:
    """Return the system's ffmpeg if it is new enough, else the one that imageio-ffmpeg carries."""
    system = shutil.which("ffmpeg")
    return system if system and _is_new(system) else str(imageio_ffmpeg.get_ffmpeg_exe())


def _is_new(program: str) -> bool:
    """Ask its version; one without a number is a build from the source of the day."""
    said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stdout
    number = re.match(r"ffmpeg version n?(\d+)\.", said)
    return int(number[1]) >= OLDEST if number else said.startswith("ffmpeg version N-")
