"""Every command that the ffmpeg program is given: to decode pictures and videos, and to add sound.

What a command reads of strangers comes as standard input, see `stages.media.footage.ffmpeg`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from stages.media.footage.ffmpeg import CONFINED, INPUT, ffmpeg_path

# What players take from a container, and what they get instead of anything else.
SOUND_CODECS: Mapping[str, tuple[frozenset[str], str]] = {
    "mp4": (frozenset(["aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"]), "aac"),
    "mov": (frozenset(["aac", "ac3", "alac", "mp3", "pcm_s16le", "pcm_s24le"]), "pcm_s16le"),
    "webm": (frozenset(["opus", "vorbis"]), "libopus"),
}


def picture_command(codec: str, pixel_format: str, *, most_pixels: int) -> list[str]:
    """Return the command that decodes one picture from standard input to raw pixels.

    Parameters
    ----------
    codec : str
        "exr" or "dpx".
    pixel_format : str
        As ffmpeg names it.
    most_pixels : int
        A larger picture is an error.
    """
    return [
        *(ffmpeg_path(), "-nostdin", "-v", "error", "-threads", "1"),
        *("-protocol_whitelist", "fd", "-format_whitelist", f"{codec}_pipe"),
        *("-max_pixels", str(most_pixels), "-f", f"{codec}_pipe", "-i", INPUT),
        *("-frames:v", "1", "-f", "rawvideo", "-pix_fmt", pixel_format, "pipe:1"),
    ]


def decode_command(
    size: tuple[int, int],
    time_base: tuple[int, int],
    pixel_format: str,
    *,
    most_pixels: int,
    start_s: float | None = None,
    decoder: str = "",
) -> list[str]:
    """Return the command that decodes standard input to raw pictures, saying each one's time.

    Parameters
    ----------
    size : (H, W)
        Of the pictures.
    time_base : (numerator, denominator)
        Seconds, of the times that it says.
    pixel_format : str
        As ffmpeg names it.
    most_pixels : int
        A stream with larger pictures is an error.
    start_s : float, optional
        Begin at the key frame before that time stamp.
    decoder : str
        As ffmpeg names it; the usual one if empty.
    """
    options: dict[str, Any] = {"vcodec": decoder} if decoder else {}
    if start_s is not None:
        options |= {"seek_timestamp": 1, "noaccurate_seek": None, "ss": f"{start_s:.6f}"}
    rows, columns = size
    source = ffmpeg.input(
        INPUT, threads=1, copyts=None, max_pixels=most_pixels, **options, **CONFINED
    )
    command: list[str] = (
        source["V:0"]
        .filter("scale", columns, rows, flags="area+accurate_rnd+full_chroma_int+bitexact")
        .filter("settb", "{}/{}".format(*time_base))
        .filter("showinfo", checksum=0)
        .output("pipe:", format="rawvideo", pix_fmt=pixel_format, fps_mode="passthrough")
        .global_args("-hide_banner", "-nostdin", "-nostats", "-loglevel", "info")
        .compile(cmd=ffmpeg_path())
    )
    return command


def sound_command(
    video: Path,
    target: Path,
    container: str,
    sounds: Sequence[str],
    *,
    start: Fraction,
    length: Fraction,
    cut: bool,
) -> list[str]:
    """Return the command that puts the sound of standard input beside the picture of a video.

    Parameters
    ----------
    video, target : Path
        The picture, and the file to write: the only files that are opened.
    container : {"mp4", "mov", "webm"}
        Of both.
    sounds : sequence of str
        The codec of each stream of sound; one that `container` does not take is encoded anew.
    start, length : Fraction
        Seconds: of the picture in the source's clock.
    cut : bool
        Leave out the sound before `start`: with it WebM would begin with the sound.
    """
    copied, recoded = SOUND_CODECS[container]
    picture = ffmpeg.input(f"file:{video.resolve()}", protocol_whitelist="file")
    seek = {"ss": f"{float(start):.6f}", "seek_timestamp": 1} if cut else {}
    sound = ffmpeg.input(INPUT, itsoffset=-float(start), **seek, **CONFINED)
    codecs = {f"c:a:{k}": "copy" if codec in copied else recoded for k, codec in enumerate(sounds)}
    command: list[str] = (
        ffmpeg.output(
            picture["v:0"], sound["a"], f"file:{target.resolve()}",
            format=container, vcodec="copy", t=f"{float(length):.6f}", **codecs,
            **({} if container == "webm" else {"movflags": "+faststart"}),
        )
        .global_args("-hide_banner", "-nostdin", "-loglevel", "error", "-y")
        .global_args("-copyts", "-bitexact")
        .compile(cmd=ffmpeg_path())
    )  # fmt: skip
    return command
