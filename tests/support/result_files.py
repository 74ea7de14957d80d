"""Writing results as the export does: in parts, then joined."""

import shutil
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np

from stages.media.results.registry import build_results
from stages.media.results.result import ResultClip, ResultFrame
from stages.media.results.settings import ResultSettings

ALL = ("png", "ffv1", "overlay")


def result_clip(timeline, source=None, classes=None, name="clip"):
    return ResultClip(name, source or Path("none.mp4"), timeline, classes or {1: "class 1"})


def result_frame(clip, t, labels, picture, alpha=None, cover=None):
    """Return the record of a frame; its alpha is hard where none is given."""
    if alpha is None:
        alpha = np.stack([labels == k for k in clip.classes], axis=-1).astype(np.float32)
    line = clip.timeline
    time = (line.pts[t] - line.pts[0]) * Fraction(*line.time_base)
    states = None if cover is None else cover.any(axis=(0, 1)).astype(np.uint8)
    return ResultFrame(t, clip.numbers[t], time, labels, picture, lambda: alpha, cover, states)


def write_all(folder, clip, frames, settings=None, *, length=10**9, covers=None, untrusted=None):
    """Write labels, picture and perhaps alpha of every frame, in parts of `length` frames."""
    results = build_results(clip, settings or ResultSettings())
    parts, stack = [], ExitStack()
    for t, pixels in enumerate(frames):
        if t % length == 0:
            stack.close()
            parts.append(folder / f".part-{t}")
            parts[-1].mkdir()
            writers = [stack.enter_context(result.part(parts[-1])) for result in results]
        cover = None if covers is None else next(covers)
        frame = result_frame(clip, t, *pixels, cover=cover)
        frame.untrusted = None if untrusted is None else untrusted[t]
        for writer in writers:
            writer.write(frame)
    stack.close()
    for result in results:
        result.join(parts, folder)
    for part in parts:
        shutil.rmtree(part)
    return folder
