"""Runs as a program of its own: prints as JSON the tags of the video on its standard input.

In a process of its own because a malformed file can crash the demuxer.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import av

INPUT = "fd:"  # standard input: no protocol that could open another file is allowed
COLOURS = ("color_primaries", "color_trc", "colorspace", "color_range")


def read_tags(options: dict[str, str]) -> dict[str, Any]:
    """Return colour, timecode and the codecs of the sound."""
    with av.open(INPUT, options=options, container_options=options) as container:
        streams = container.streams
        tags: dict[str, Any] = {"sounds": [_codec_name(sound) for sound in streams.audio]}
        moving = next(iter(streams.video), None)
        if moving is not None and moving.codec_context is not None:
            for name in COLOURS:
                tags[name] = int(getattr(moving.codec_context, name) or 0)
        every = [container.metadata, *(stream.metadata for stream in streams)]
        tags["timecode"] = next((m["timecode"] for m in every if "timecode" in m), "")
    return tags


def _codec_name(stream: Any) -> str:
    context = stream.codec_context
    return "" if context is None else str(context.codec.canonical_name)


if __name__ == "__main__":
    av.logging.set_level(av.logging.PANIC)
    answer = os.dup(1)
    os.dup2(2, 1)  # libraries may print
    os.write(answer, json.dumps(read_tags(json.loads(sys.argv[1]))).encode())
