"""Which mask belongs to which frame."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from pipeline.errors import InputError
from stages.media.masks.mask_names import (
    MOST_NAMED,
    MaskNames,
    check_names_differ,
    check_objects,
    check_offset,
    file_stem,
    gap_note,
    numbers_in,
    ordinal,
    some_names,
    stride_hint,
)
from stages.media.masks.source import Missing

IN_ORDER = "in order"
CARRIED = "carried from those"
SOURCE_FRAME = "source-frame-"  # before a number that counts the frames of a video from 0
RATE_HINT = (
    "frames extracted with plain `ffmpeg -i` are repeated or dropped to a constant rate: extract "
    "with -fps_mode passthrough"
)


@dataclass(frozen=True)
class FrameMatch:
    """The masks of a clip's frames.

    Attributes
    ----------
    chosen : tuple of int or None
        For each frame the mask's place in the list of names; None where it has none.
    left_out : tuple of str
        Names of masks that belong to no frame.
    notes : tuple of str
        What a user should know.
    words : str
        The match in words: "frames 5–16 of 240; the others: none given".
    """

    chosen: tuple[int | None, ...]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    words: str = ""

    def unknown(self, missing: Missing) -> tuple[int, ...]:
        """Return the frames without a mask that are to be filled from others."""
        return self._without_mask() if missing == "carry" else ()

    def declared_empty(self, missing: Missing) -> tuple[int, ...]:
        """Return the frames without a mask that show nothing, as the user says."""
        return self._without_mask() if missing == "empty" else ()

    def _without_mask(self) -> tuple[int, ...]:
        return tuple(frame for frame, mask in enumerate(self.chosen) if mask is None)


def match_frames(
    where: Path,
    names: Sequence[str],
    frames: int,
    frame_names: Sequence[str] = (),
    missing: Missing = "error",
    *,
    first: int | None = None,
) -> FrameMatch:
    """Return which of the masks each frame has.

    Names equal to those of the footage's frames decide; then the same numbers; then the order,
    where there are as many masks as frames; then numbers that count from 0 or from 1, where only
    one of the two is possible or reaches the first or last frame. Masks whose names do not belong
    to the row are left out where the others decide.

    Parameters
    ----------
    where : Path
        For messages.
    names : sequence of str
        Of the masks, in natural order.
    frames : int
    frame_names : sequence of str
        Of the footage, in natural order; empty for a video.
    missing : {"error", "hold", "empty", "carry"}
        What a frame without a mask has: none is an error, the one before it (the first frames: the
        one after), or None.
    first : int, optional
        The number in the names that is the first frame's.

    Raises
    ------
    InputError
        If frames have no mask, or names leave several readings: with each of them and the setting
        that chooses.
    """
    known = MaskNames(where, tuple(names), tuple(frame_names), frames)
    check_names_differ(known)
    if all(stem.startswith(SOURCE_FRAME) for stem in known.stems):
        first = 0
    matched, reading = _assign_masks(known, first, missing)
    left_out = tuple(name for k, name in enumerate(names) if k not in set(matched.values()))
    match = complete_match(
        where, names, matched, frames, missing, left_out=left_out, reading=reading
    )
    gaps = gap_note(known, matched) if reading == IN_ORDER else ""
    return replace(match, notes=(*match.notes, gaps)) if gaps else match


def complete_match(
    where: Path,
    names: Sequence[str],
    matched: dict[int, int],
    frames: int,
    missing: Missing,
    *,
    left_out: tuple[str, ...] = (),
    reading: str = "",
) -> FrameMatch:
    """Return the match of frames {frame: mask}, with frames that lack one as `missing` says.

    Raises
    ------
    InputError
        If frames lack a mask and `missing` is "error".
    """
    chosen = [matched.get(frame) for frame in range(frames)]
    absent = [frame for frame in range(frames) if frame not in matched]
    notes: list[str] = []
    if left_out:
        notes.append(f"{some_names(left_out)}: left out, no frame has that name or number")
    words = _frames_in_words(sorted(matched), frames)
    if not absent:
        return FrameMatch(tuple(chosen), left_out, tuple(notes), words)
    plural, lack = ("", "has no mask") if len(absent) == 1 else ("s", "have no mask")
    start = min(matched)
    anchor = f"{names[matched[start]]} being that of frame {start}"
    anchor += f" ({reading})" if reading else ""
    if missing == "error":
        spare = ""
        if left_out:
            spare = (
                f"; {some_names(left_out)} belong to no frame (if masks and frames count from "
                "different numbers, set segment.first)"
            )
        raise InputError(
            f"{where}: {len(absent)} of {frames} frames {lack} (frame{plural} "
            f"{some_names(absent)}), "
            f"{anchor}{spare}{stride_hint(matched, frames)}: add them, or set segment.missing to "
            "carry, hold or empty"
        )
    if missing == "hold":
        last: int | None = matched[start]
        for frame, mask in enumerate(chosen):
            last = chosen[frame] = last if mask is None else mask
    hint = stride_hint(matched, frames)
    notes.append(f"{len(absent)} frame{plural} {lack} ({missing}), {anchor}{hint}")
    others = {"hold": "the mask before", "carry": CARRIED}.get(missing, "none given")
    return FrameMatch(tuple(chosen), left_out, tuple(notes), f"{words}; the others: {others}")


def source_frame_name(frame: int) -> str:
    """Return a name for a frame of a video, counted from 0, that no other can be taken for.

    Examples
    --------
    >>> source_frame_name(12)
    'source-frame-00012'
    """
    return f"{SOURCE_FRAME}{frame:05d}"


def _assign_masks(
    known: MaskNames, first: int | None, missing: Missing
) -> tuple[dict[int, int], str]:
    """Return {frame: its mask}, and how the names were understood."""
    if first is not None:
        return _count_from(known, first)
    by_name = _match_names(known)
    if by_name:
        check_offset(known, by_name)
        return by_name, "by name"
    row = _main_row(known)
    numbers = numbers_in([known.stems[k] for k in row])
    by_number = _match_numbers(known, row, numbers)
    if by_number:
        return by_number, "by number"
    if not numbers and len(known.masks) == known.count:
        row = list(range(known.count))
    if len(row) == known.count:
        return dict(enumerate(row)), IN_ORDER
    if len(row) > known.count:
        return _more_than_frames(known, row, numbers, missing)
    if not numbers:
        raise InputError(
            f"{known.where}: expected {known.count} masks, one a frame, got {len(known.masks)}, "
            f"and their names ({known.masks[0]} …) do not tell which frames they belong to"
        )
    start, reading = _first_number(known, numbers)
    return {number - start: k for number, k in zip(numbers, row, strict=True)}, reading


def _match_names(known: MaskNames) -> dict[int, int]:
    """Return {frame: mask} of equal names; nothing if they do not decide."""
    position = {file_stem(name): k for k, name in enumerate(known.frames)}
    matched = {position[stem]: k for k, stem in enumerate(known.stems) if stem in position}
    covers = len(matched) == known.count
    decides = covers or len(matched) * 2 > len(known.masks)
    return matched if decides else {}


def _match_numbers(known: MaskNames, row: Sequence[int], numbers: Sequence[int]) -> dict[int, int]:
    """Return {frame: mask} of equal numbers; nothing if they do not decide."""
    position = {n: k for k, n in enumerate(numbers_in([file_stem(name) for name in known.frames]))}
    inside = {position[n]: k for n, k in zip(numbers, row, strict=False) if n in position}
    # Masks of all frames of which some were chosen, or of some of the frames.
    decides = len(inside) in (known.count, len(row))
    return inside if decides else {}


def _main_row(known: MaskNames) -> list[int]:
    """Return the masks that are numbered alike, if they are most; else all."""
    patterns = [re.sub(r"[0-9]+", "#", stem) for stem in known.stems]
    pattern, times = Counter(patterns).most_common(1)[0]
    if "#" not in pattern or times * 2 <= len(patterns):
        return list(range(len(patterns)))
    return [k for k, other in enumerate(patterns) if other == pattern]


def _count_from(known: MaskNames, first: int) -> tuple[dict[int, int], str]:
    row = _main_row(known)
    numbers = numbers_in([known.stems[k] for k in row])
    reading = f"segment.first={first}"
    if not numbers:
        raise InputError(f"{known.where}: expected numbered names for {reading}, got others")
    matched = {
        number - first: k
        for number, k in zip(numbers, row, strict=True)
        if 0 <= number - first < known.count
    }
    if not matched:
        raise InputError(
            f"{known.where}: expected numbers from {first} to {first + known.count - 1} with "
            f"{reading}, got {numbers[0]} to {numbers[-1]}"
        )
    return matched, reading


def _first_number(known: MaskNames, numbers: Sequence[int]) -> tuple[int, str]:
    """Return the number of the clip's first frame, where the numbers leave one reading."""
    low, high, count = numbers[0], numbers[-1], known.count
    if high - low >= count:
        raise InputError(
            f"{known.where}: expected {count} masks, one a frame, got {len(numbers)}, and their "
            f"names ({known.masks[0]} …) do not tell which frames they belong to: their numbers, "
            f"{low} to {high}, span more than the {count} frames"
        )
    if high - low == count - 1:
        return low, f"numbers from {low} to {high} span the clip"
    possible = [start for start in (0, 1) if start <= low and high - start < count]
    reaching = [start for start in possible if low == start or high - start == count - 1]
    if 0 in possible and low == 0:
        return 0, "the numbers count from 0"
    if len(possible) == 1 or len(reaching) == 1:
        start = (possible if len(possible) == 1 else reaching)[0]
        return start, f"the numbers count from {start}"
    candidates = possible or [low]
    readings = " or ".join(
        f"frames {low - start} to {high - start} (segment.first={start}: the numbers count from "
        f"{start})"
        for start in candidates
    )
    raise InputError(
        f"{known.where}: {len(numbers)} masks numbered {low} to {high} for {count} frames may be "
        f"{readings}: set segment.first to the number of the clip's first frame, and "
        "segment.missing to hold or empty for frames without a mask"
    )


def _more_than_frames(
    known: MaskNames, row: Sequence[int], numbers: Sequence[int], missing: Missing
) -> tuple[dict[int, int], str]:
    """Refuse more masks than frames, naming those too many; with `hold` one more is left out."""
    count = known.count
    spare = [known.masks[k] for k in row[count:]]
    consecutive = bool(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1
    if missing != "error" and consecutive and len(spare) == 1 and numbers[0] in (0, 1):
        return dict(enumerate(row[:count])), f"the numbers count from {numbers[0]}"
    hint = f": {RATE_HINT}" if consecutive else ""
    patterns = dict.fromkeys(re.sub(r"[0-9]+", "#", name) for name in known.masks)
    if 1 < len(patterns) <= MOST_NAMED:
        raise InputError(
            f"{known.where}: expected {count} masks, one a frame, got {len(row)}, named in "
            f"{len(patterns)} ways: {some_names(list(patterns))}: keep those of one way, "
            "or put those of each object or class into a folder of its own, named after it"
        )
    check_objects(known)
    raise InputError(
        f"{known.where}: expected {count} masks, one a frame, got {len(row)}: {some_names(spare)} "
        f"{'are' if len(spare) > 1 else 'is'} beyond the last frame in order{hint}"
    )


def _frames_in_words(frames: Sequence[int], count: int) -> str:
    """Return the frames that have a mask, in words."""
    if len(frames) == count:
        return f"all {count} frames"
    steps = {b - a for a, b in pairwise(frames)}
    if steps == {1} or len(frames) == 1:
        span = f"{frames[0]}–{frames[-1]}" if len(frames) > 1 else f"{frames[0]}"
        return f"frame{'s' if len(frames) > 1 else ''} {span} of {count}"
    if len(steps) == 1:
        return f"frames {frames[0]}–{frames[-1]} of {count}, every {ordinal(steps.pop())}"
    return f"{len(frames)} of {count} frames ({some_names(frames)})"
