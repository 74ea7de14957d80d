"""The ffmpeg program: where it is, and how it is kept to the one file that it may read."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
from functools import lru_cache
from typing import IO

import imageio_ffmpeg

# Containers only: no playlist, no concat script, no subtitle file that could name other files.
DEMUXERS = ",".join(
    [
        *("3g2", "3gp", "apng", "asf", "avi", "flv", "gif", "h264", "hevc", "ivf", "m4a", "m4v"),
        *("matroska", "mj2", "mov", "mp4", "mpeg", "mpegts", "mpegvideo", "mxf", "nut", "ogg"),
        *("vc1", "webm", "wmv", "yuv4mpegpipe"),
    ]
)
# The file comes as standard input, already open: there is no protocol left that could open another,
# and its name, which may hold anything, is never read as a URL.
INPUT = "fd:"
CONFINED = {"protocol_whitelist": "fd", "format_whitelist": DEMUXERS}

ANSWER_S = 20.0  # that it may take to say its version
OLDEST = 6  # major version that knows all options used here


@lru_cache(maxsize=1)
def ffmpeg_path() -> str:
    """Return the system's ffmpeg if it is new enough, else the one that imageio-ffmpeg carries."""
    system = shutil.which("ffmpeg")
    return system if system and _is_new(system) else str(imageio_ffmpeg.get_ffmpeg_exe())


def _is_new(program: str) -> bool:
    """Ask its version; one without a number is a build from the source of the day."""
    try:
        version_text = subprocess.run(
            [program, "-version"], capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=ANSWER_S,
        ).stdout  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):  # of another machine, or waiting for something
        return False
    number = re.match(r"ffmpeg version n?(\d+)\.", version_text)
    return int(number[1]) >= OLDEST if number else version_text.startswith("ffmpeg version N-")


def start(
    command: list[str], source: IO[bytes], *, memory_bytes: int, file_bytes: int = 0
) -> subprocess.Popen[bytes]:
    """Start a program on a file, with its output on pipes and bounds on what it takes.

    Only Linux can bound another process; elsewhere it runs without.

    Parameters
    ----------
    command : list of str
    source : file
        Becomes its standard input.
    memory_bytes : int
        It may take.
    file_bytes : int
        It may write into a file.
    """
    child = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if hasattr(resource, "prlimit"):
        bounds = {resource.RLIMIT_DATA: memory_bytes, resource.RLIMIT_FSIZE: file_bytes}
        try:
            for kind, most in bounds.items():
                _, hard = resource.prlimit(child.pid, kind)
                if hard == resource.RLIM_INFINITY or hard > most:
                    resource.prlimit(child.pid, kind, (most, most))
        except ProcessLookupError:
            pass  # it has ended already
    return child


def run(
    command: list[str],
    source: IO[bytes],
    *,
    limit_s: float,
    memory_bytes: int,
    file_bytes: int = 0,
) -> tuple[int, bytes, bytes]:
    """Run a program on a file as `start` does; return its status and what it wrote.

    Raises
    ------
    subprocess.TimeoutExpired
        If it takes longer than `limit_s`; it is killed.
    """
    with start(command, source, memory_bytes=memory_bytes, file_bytes=file_bytes) as child:
        try:
            out, messages = child.communicate(timeout=limit_s)
        except BaseException:
            child.kill()
            raise
    return child.returncode, out, messages
