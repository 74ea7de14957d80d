"""Runs as a program of its own: prints as JSON what a video's container announces.

In a process of its own because a malformed file can crash the demuxer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import chain
from typing import Any

import av
from av.stream import Disposition

JOINED_ANYWHERE = {"mpegts", "mpeg"}  # broadcast: may begin with pictures that lack their keyframe


def announced(path: str, options: dict[str, str]) -> dict[str, Any]:
    """Return timestamps and properties of the first video stream, or why there are none."""
    with av.open(path, options=options) as container:
        stream = _moving(container)
        if stream is None:
            return {"error": "no video stream in it"}
        packets, last = [], 0
        for packet in container.demux(stream):
            if packet.size:
                packets.append((packet.pts, packet.is_keyframe, packet.is_discard))
                last = packet.duration or last
        found = {
            "last_duration": last,
            "time_base": [stream.time_base.numerator, stream.time_base.denominator],
            "rate": float(stream.average_rate or 0),
            "size": [stream.height, stream.width],
            "aspect": str(stream.sample_aspect_ratio or 1),
            "start_us": container.start_time,
            "audio": next((_codec(sound) for sound in container.streams.audio), ""),
        }
        reordered = bool(stream.codec_context.has_b_frames)
        joined = container.format.name in JOINED_ANYWHERE
    frames = _decoded(path, options)
    first = next(frames, None)
    found["rotation"] = first.rotation if first else 0
    pts = [p for p, _, discard in packets if not discard]
    if None in pts:  # those that decode are counted
        pts = [frame.pts for frame in chain([first] if first else [], frames)]
    elif joined:
        keys = [p for p, key, _ in packets if key][:1] + [first.pts for first in [first] if first]
        pts = [p for p in pts if p >= min(keys, default=p)]
    # AVI stores pictures out of order but no times for them: those it gives are made up.
    made_up = reordered and len(pts) > 1 and None not in pts and pts == sorted(pts)
    found["pts"] = pts
    found["timed"] = None not in pts and not made_up and len(set(pts)) == len(pts)
    found["entries"] = []  # where decoding may begin: frames shown from a keyframe on need no other
    if found["timed"]:
        number = {p: k for k, p in enumerate(sorted(pts))}
        found["entries"] = sorted(number[p] for p, key, _ in packets if key and p in number)
    return found


def _decoded(path: str, options: dict[str, str]) -> Iterator[Any]:
    """Yield the pictures that can be decoded."""
    with av.open(path, options=options) as container:
        for packet in container.demux(_moving(container)):
            try:
                yield from packet.decode()
            except av.FFmpegError:
                continue


def _moving(container: Any) -> Any:
    """Return the first video stream that is no cover picture."""
    streams = container.streams.video
    return next((s for s in streams if not s.disposition & Disposition.attached_pic), None)


def _codec(stream: Any) -> str:
    codec = stream.codec_context and stream.codec_context.codec
    return codec.canonical_name if codec else "unknown"


if __name__ == "__main__":
    try:
        answer = announced(sys.argv[1], json.loads(sys.argv[2]))
    except av.FFmpegError as error:
        answer = {"error": error.strerror}
    json.dump(answer, sys.stdout)
