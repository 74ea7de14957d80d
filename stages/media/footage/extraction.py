"""How many pictures programs take out of a video whose frames last differently long."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from stages.media.footage.timeline import Timeline


def extracted_count(timeline: Timeline) -> int | None:
    """Return how many pictures ``ffmpeg -i VIDEO %05d.png`` writes, give or take one.

    It repeats and drops frames until they come at a constant rate, that which the container
    announces. None where that changes nothing: for pictures, and where all frames last equally.
    """
    steps = [b - a for a, b in pairwise(timeline.pts)]
    if timeline.names or not timeline.timed or not timeline.nominal_rate or not steps:
        return None
    base = Fraction(*timeline.time_base)
    if max(steps) - min(steps) <= 1:  # rounded to whole ticks
        return None
    length = (timeline.pts[-1] - timeline.pts[0] + timeline.last_duration) * base
    count = round(float(length) * timeline.nominal_rate)
    return count if count != timeline.frames else None


def extraction_note(timeline: Timeline) -> str:
    """Return why there may be more or fewer masks than frames, and what to do; or nothing.

    >>> line = Timeline(3, (0, 1, 4), (1, 10), 1, 6.0, (4, 4), nominal_rate=10.0)
    >>> extraction_note(line)[:65]
    'the frames of this video last differently long: it has 3, and pla'
    """
    count = extracted_count(timeline)
    if count is None:
        return ""
    return (
        f"the frames of this video last differently long: it has {timeline.frames}, and plain "
        f"`ffmpeg -i` repeats and drops some to write about {count}, {timeline.nominal_rate:g} a "
        "second: take them out with `ffmpeg -i VIDEO -fps_mode passthrough %05d.png` and make the "
        "masks of these"
    )
