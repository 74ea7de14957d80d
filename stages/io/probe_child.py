"""Runs as a program of its own: prints as JSON what a video's container announces.

In a process of its own because a malformed file can crash the demuxer.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import av


def announced(path: str, options: dict[str, str]) -> dict[str, Any]:
    """Return timestamps and properties of the first video stream; one frame is decoded."""
    with av.open(path, options=options) as container:
        if not container.streams.video:
            return {"error": "no video stream in it"}
        stream = container.streams.video[0]
        pts, last = [], 0
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                pts.append(packet.pts)
                last = packet.duration or last
        found = {
            "pts": pts,
            "last_duration": last,
            "time_base": [stream.time_base.numerator, stream.time_base.denominator],
            "rate": float(stream.average_rate or 0),
            "size": [stream.height, stream.width],
            "audio": bool(container.streams.audio),
        }
        container.seek(0)
        found["rotation"] = rotation(container, stream)
        return found


def rotation(container: Any, stream: Any) -> int:
    """Return the counterclockwise turn, in degrees, that the file asks for; 0 if unknown."""
    try:
        return int(next(container.decode(stream)).rotation)
    except (av.FFmpegError, StopIteration):
        return 0


if __name__ == "__main__":
    try:
        answer = announced(sys.argv[1], json.loads(sys.argv[2]))
    except (av.FFmpegError, ValueError) as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)
