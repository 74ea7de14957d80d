"""Runs as a program of its own: prints as JSON what the video on its standard input announces.

In a process of its own because a malformed file can crash the demuxer.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from itertools import chain
from typing import Any

import av
from av.stream import Disposition

INPUT = "fd:"  # standard input: no protocol that could open another file is allowed
JOINED_ANYWHERE = {"mpegts", "mpeg"}  # broadcast: may begin with pictures that lack their keyframe


def announced(options: dict[str, str], most_frames: int) -> dict[str, Any]:
    """Return timestamps and properties of the first video stream, or why there are none.

    After `most_frames` + 1 frames it stops, so that the caller sees that there are too many.
    """
    with _open_container(options) as container:
        stream = _moving_stream(container)
        if stream is None:
            return {"error": "no video stream in it"}
        if stream.codec_context is None:
            return {"error": "its codec is not known"}
        properties = _stream_properties(container, stream)
        if stream.height * stream.width > int(options["max_pixels"]):
            return properties | {"pts": [], "size": [stream.height, stream.width]}
        packets, last = _read_packets(container, stream, most_frames + 1)
        if len(packets) > most_frames:
            return properties | {"pts": [pts for pts, _, _ in packets]}
        reordered = bool(stream.codec_context.has_b_frames)
        joined = container.format.name in JOINED_ANYWHERE
    frames = _decoded_pictures(options)
    first = next(frames, None)
    pts = [p for p, _, discard in packets if not discard]
    if None in pts:  # those that decode are counted
        pts = [frame.pts for frame in chain([first] if first else [], frames)]
    elif joined:
        keys = [p for p, key, _ in packets if key][:1] + [first.pts for first in [first] if first]
        pts = [p for p in pts if p >= min(keys, default=p)]
    # AVI stores pictures out of order but no times for them: those it gives are made up.
    made_up = reordered and len(pts) > 1 and None not in pts and pts == sorted(pts)
    timed = None not in pts and not made_up and len(set(pts)) == len(pts)
    number = {p: k for k, p in enumerate(sorted(pts))} if timed else {}
    return properties | {
        "alpha": properties["alpha"]
        or bool(first and any(p.is_alpha for p in first.format.components)),
        "last_duration": last,
        "rotation": first.rotation if first else 0,
        "interlaced": bool(first and first.interlaced_frame),
        "pts": pts,
        "timed": timed,
        # Where decoding may begin: frames shown from a keyframe on need none before it.
        "entries": sorted(number[p] for p, key, _ in packets if key and p in number),
    }


def _stream_properties(container: Any, stream: Any) -> dict[str, Any]:
    codec, layout = stream.codec_context.codec, stream.format
    return {
        "time_base": [stream.time_base.numerator, stream.time_base.denominator],
        "rate": float(stream.average_rate or 0),
        "size": [stream.height, stream.width],
        "aspect": str(stream.sample_aspect_ratio or 1),
        "start_us": container.start_time,
        "audio": next((_codec_name(sound) for sound in container.streams.audio), ""),
        "codec": codec.canonical_name,
        "exact": not codec.lossy,
        # VP8 and VP9 keep alpha in a stream of its own, which only libvpx decodes
        "alpha": stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE")) == "1",
        "bits": layout.components[0].bits if layout is not None else 8,
        "layout": layout.name if layout is not None else "",
        "nominal": float(stream.guessed_rate or stream.average_rate or 0),
        "notes": _other_streams(container, stream),
    }


def _other_streams(container: Any, chosen: Any) -> list[str]:
    """Return which video stream is read, if there are several."""
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if len(moving) < 2:
        return []
    every = ", ".join(f"{s.width}x{s.height} {_codec_name(s)}" for s in moving)
    number = moving.index(chosen) + 1
    return [f"{len(moving)} video streams in it ({every}): number {number} is read, no other"]


def _read_packets(container: Any, stream: Any, most: int) -> tuple[list[tuple[Any, ...]], int]:
    """Return time, keyframe and discard of at most `most` packets, and how long the last lasts."""
    packets, last = [], 0
    for packet in container.demux(stream):
        if packet.size:
            packets.append((packet.pts, packet.is_keyframe, packet.is_discard))
            last = packet.duration or last
        if len(packets) == most:
            break
    return packets, last


def _open_container(options: dict[str, str]) -> Any:
    os.lseek(sys.stdin.fileno(), 0, os.SEEK_SET)
    return av.open(INPUT, options=options)


def _decoded_pictures(options: dict[str, str]) -> Iterator[Any]:
    """Yield the pictures that can be decoded."""
    with _open_container(options) as container:
        stream = _moving_stream(container)
        stream.codec_context.options = {"max_pixels": options["max_pixels"]}
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.FFmpegError:
                continue


def _moving_stream(container: Any) -> Any:
    """Return the first video stream that is no cover picture."""
    streams = container.streams.video
    return next((s for s in streams if not s.disposition & Disposition.attached_pic), None)


def _codec_name(stream: Any) -> str:
    codec = stream.codec_context and stream.codec_context.codec
    return codec.canonical_name if codec else "unknown"


def _ffmpeg_reason(error: av.FFmpegError) -> str:
    """Return FFmpeg's last message; its numbers of errors say less."""
    return str(error.log[2]).strip() if error.log else str(error.strerror)


if __name__ == "__main__":
    av.logging.set_level(av.logging.ERROR)
    try:
        answer = announced(json.loads(sys.argv[1]), int(sys.argv[2]))
    except av.FFmpegError as error:
        answer = {"error": _ffmpeg_reason(error)}
    except MemoryError:
        answer = {"error": "it asks for more memory than a probe may take"}
    json.dump(answer, sys.stdout)
