"""The source's sound in the preview."""

from __future__ import annotations

import logging
import subprocess
from fractions import Fraction
from pathlib import Path

import ffmpeg

from stages.media.footage.ffmpeg import CONFINED, INPUT, ffmpeg_path, run
from stages.media.footage.limits import GIB
from stages.media.footage.safe_open import open_regular
from stages.media.footage.timeline import Timeline

log = logging.getLogger(__name__)

AUDIO_LIMIT_S = 600
AUDIO_BYTES = 4 * GIB  # of memory
SOUND_BYTES_A_S = 64_000  # of what was transcoded, generously
SLACK_BYTES = 2**26
# what players take from an MP4
COPIED = frozenset(["aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"])


def add_sound(video: Path, source: Path, timeline: Timeline) -> None:
    """Put the source's sound beside the picture of an MP4, in a child process.

    Sound that cannot be read is left out, with a warning.
    """
    both = video.with_name(f"{video.name}.sound.mp4")
    picture = ffmpeg.input(f"file:{video.resolve()}", protocol_whitelist="file")
    start = float(Fraction(*timeline.time_base) * timeline.origin)
    sound = ffmpeg.input(INPUT, itsoffset=-start, **CONFINED)
    command = (
        ffmpeg.output(
            picture["v:0"], sound["a:0"], f"file:{both.resolve()}",
            vcodec="copy", acodec="copy" if timeline.audio in COPIED else "aac",
            movflags="+faststart",
        )
        .global_args("-hide_banner", "-nostdin", "-loglevel", "error", "-y")
        .global_args("-copyts", "-bitexact")
        .compile(cmd=ffmpeg_path())
    )  # fmt: skip
    try:
        with open_regular(source) as opened:
            status, _, said = run(
                command, opened,
                limit_s=AUDIO_LIMIT_S, memory_bytes=AUDIO_BYTES,
                file_bytes=most_bytes(video, source, timeline),
            )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        status, said = 1, str(error).encode()
    if status:
        both.unlink(missing_ok=True)
        why = said.decode(errors="replace").strip()[-300:] or f"ffmpeg ended with {status}"
        log.warning("%s: preview without sound, it cannot be read: %s", source, why)
    else:
        both.replace(video)


def most_bytes(video: Path, source: Path, timeline: Timeline) -> int:
    """Return how large the preview may become: an index can give the same sound many times."""
    line = timeline
    length_s = (line.pts[-1] - line.origin + line.last_duration) * Fraction(*line.time_base)
    files = video.stat().st_size + source.stat().st_size
    return files + SLACK_BYTES + round(SOUND_BYTES_A_S * length_s)
