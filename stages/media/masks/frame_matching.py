"""Which mask belongs to which frame."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from pipeline.errors import InputError
from stages.media.masks.source import Missing


def place(
    where: Path,
    names: Sequence[str],
    frames: int,
    frame_names: Sequence[str],
    missing: Missing,
) -> tuple[list[int | None], tuple[str, ...]]:
    """Return which of the masks each frame has, and what a user should know of that.

    By name where the footage is a folder and the names agree; in order where there are as many
    masks as frames; else by number, as the footage counts, or else from the first mask's on.

    Parameters
    ----------
    where : Path
        For messages.
    names : sequence of str
        Of the masks, in natural order.
    frames : int
    frame_names : sequence of str
        Of the footage, in natural order; empty for a video.
    missing : {"error", "hold", "empty"}
        What a frame without a mask has: none is an error, the one before it (the first frames: the
        one after), or None.

    Raises
    ------
    InputError
        If there are more masks than frames, frames without a mask, or names that do not tell.
    """
    placed = _assign(where, names, frames, frame_names)
    chosen = [placed.get(frame) for frame in range(frames)]
    absent = [frame for frame in range(frames) if frame not in placed]
    if not absent:
        return chosen, ()
    first = min(placed)
    known = f"{names[placed[first]]} being that of frame {first}"
    if missing == "error":
        some = ", ".join(map(str, absent[:5])) + (", …" if len(absent) > 5 else "")
        raise InputError(
            f"{where}: {len(absent)} of {frames} frames have no mask (frames {some}), {known}: add "
            "them, or set segment.missing to hold or empty"
        )
    if missing == "hold":
        last: int | None = placed[first]
        for frame, mask in enumerate(chosen):
            last = chosen[frame] = last if mask is None else mask
    return chosen, (f"{len(absent)} frames have no mask ({missing}), {known}",)


def _assign(
    where: Path, names: Sequence[str], frames: int, frame_names: Sequence[str]
) -> dict[int, int]:
    """Return {frame: its mask}, counted from 0."""
    stems = [Path(name).stem for name in names]
    frame_stems = [Path(name).stem for name in frame_names]
    stem, times = Counter(stems).most_common(1)[0]
    if times > 1:
        raise InputError(f"{where}: expected one mask a frame, got {times} named {stem!r}")
    if set(stems) <= set(frame_stems):
        position = {stem: k for k, stem in enumerate(frame_stems)}
        return {position[stem]: k for k, stem in enumerate(stems)}
    if len(names) == frames:
        return {k: k for k in range(frames)}
    if len(names) > frames:
        raise InputError(f"{where}: expected {frames} masks, one a frame, got {len(names)}")
    numbers, footage = _numbers(stems), _numbers(frame_stems)
    if numbers and set(numbers) <= set(footage):
        return {footage.index(number): k for k, number in enumerate(numbers)}
    if numbers and numbers[-1] - numbers[0] < frames:
        return {number - numbers[0]: k for k, number in enumerate(numbers)}
    raise InputError(
        f"{where}: expected {frames} masks, one a frame, got {len(names)}, and their names "
        f"({names[0]} …) do not tell which frames they belong to"
    )


def _numbers(stems: Sequence[str]) -> tuple[int, ...]:
    """Return the number in each name: the last that grows from name to name; () if none does."""
    found = (reversed(re.findall(r"[0-9]+", stem)) for stem in stems)
    for texts in zip(*found, strict=False):
        column = tuple(map(int, texts))
        if all(a < b for a, b in pairwise(column)):
            return column
    return ()
