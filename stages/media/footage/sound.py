"""The source's sound in videos that are written."""

from __future__ import annotations

import logging
import subprocess
from fractions import Fraction
from pathlib import Path

from stages.media.footage.ffmpeg import run
from stages.media.footage.ffmpeg_commands import sound_command
from stages.media.footage.limits import GIB
from stages.media.footage.safe_open import open_regular
from stages.media.footage.tags import source_tags
from stages.media.footage.timeline import Timeline

log = logging.getLogger(__name__)

AUDIO_LIMIT_S = 600
AUDIO_BYTES = 4 * GIB  # of memory
SOUND_BYTES_A_S = 64_000  # of what was transcoded, generously
SLACK_BYTES = 2**26


def add_sound(
    video: Path,
    source: Path,
    timeline: Timeline,
    *,
    container: str = "mp4",
    cut: bool = False,
) -> None:
    """Put the source's sound, every stream of it, beside a picture, in a child process.

    Sound that cannot be read is left out, with a warning.

    Parameters
    ----------
    video : Path
        The picture, whose clock starts at the timeline's origin; is replaced.
    source : Path
    timeline : Timeline
        Of the picture: sound before its origin or after its end is left out.
    container : {"mp4", "mov", "webm"}
        Of the picture.
    cut : bool
        Whether the picture begins later than the source does.
    """
    both = video.with_name(f"{video.name}.sound")
    sounds = source_tags(source).sounds or (timeline.audio,)
    base = Fraction(*timeline.time_base)
    command = sound_command(
        video, both, container, sounds,
        start=base * timeline.origin,
        length=base * (timeline.pts[-1] + timeline.last_duration - timeline.origin),
        cut=cut,
    )  # fmt: skip
    try:
        with open_regular(source) as opened:
            status, _, messages = run(
                command, opened,
                limit_s=AUDIO_LIMIT_S, memory_bytes=AUDIO_BYTES,
                file_bytes=most_bytes(video, source, timeline),
            )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        status, messages = 1, str(error).encode()
    if status:
        both.unlink(missing_ok=True)
        why = messages.decode(errors="replace").strip()[-300:] or f"ffmpeg ended with {status}"
        log.warning("%s: written without sound, it cannot be read: %s", source, why)
    else:
        both.replace(video)


def most_bytes(video: Path, source: Path, timeline: Timeline) -> int:
    """Return how large the preview may become: an index can give the same sound many times."""
    line = timeline
    length_s = (line.pts[-1] - line.origin + line.last_duration) * Fraction(*line.time_base)
    files = video.stat().st_size + source.stat().st_size
    return files + SLACK_BYTES + round(SOUND_BYTES_A_S * length_s)
