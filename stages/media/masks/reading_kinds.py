"""Readings of values: labels, soft masks, black and white; and the refusal where several fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import InputError
from stages.media.masks.census import Census, Levels
from stages.media.masks.colour_classes import FEWEST_FRAMES
from stages.media.masks.contract import ReadingChoices
from stages.media.masks.legend import Legend, View, empty_warning
from stages.ops.ignored_label import IGNORE

PLATEAU = 0.2  # of the foreground, from which one value is the top of a soft mask
SET_KIND = "set segment.kind to {}"


class Reading(NamedTuple):
    """The decision: the legend, notes for the user, and the reading in words."""

    legend: Legend
    notes: tuple[str, ...] = ()
    words: str = ""


@dataclass(frozen=True)
class Case:
    """A clip to decide on."""

    where: Path
    census: Census
    choices: ReadingChoices


def read_soft(case: Case, levels: Levels, view: View) -> Reading:
    """Return soft masks, whose top is the type's, or a smaller one that many pixels have."""
    values, full = levels.values, 0
    foreground = int(levels.counts[1:].sum())
    for scale in (100,) if levels.top == 255 else (1023, 4095, 16383):
        if values[-1] == scale and levels.counts[scale] >= PLATEAU * foreground:
            full = scale
    half = (full or levels.top) // 2
    if values[-1] <= half:
        raise undecided(case, levels, "as soft masks nothing would pass one half", "labels or soft")
    legend = Legend("soft", (1,), view=view, full=full)
    empty = levels.empty if full else levels.empty_at_half
    return Reading(legend, empty_warning(empty), f"soft masks, {full or levels.top} is certain")


def read_as_labels(levels: Levels, view: View, words: str) -> Reading:
    """Return labels: every value but 0 and, in 8 bits, `IGNORE` is a class."""
    ignores = levels.narrow
    kept = tuple(v for v in levels.values if not (ignores and v == IGNORE and levels.top == 255))
    empty = levels.empty_but_ignored if ignores else levels.empty
    full = ("no pixel of the clip is 0, the background",) if kept and not levels.counts[0] else ()
    notes = empty_warning(empty) + full + _passing_ids(levels, kept)
    notes += _inversion_note(levels, 0) if len(kept) == 1 and IGNORE not in levels.values else ()
    ignored_words = f", {IGNORE} is ignored" if ignores and IGNORE in levels.values else ""
    if ignored_words and levels.void_areas:
        notes += (
            f"{IGNORE} covers areas, as void of train ids does: if 0 is a class there and not the "
            "background, save the masks with 1 added to all but 255",
        )
    return Reading(Legend("labels", kept, view=view), notes, words + ignored_words)


def _passing_ids(levels: Levels, labels: tuple[int, ...]) -> tuple[str, ...]:
    """Return a note on labels that no two frames share: then they number single pictures."""
    lasting = any(levels.appearances[label] > 1 for label in labels)
    if levels.frames < FEWEST_FRAMES or len(labels) < levels.frames or lasting:
        return ()
    return (
        f"{len(labels)} labels in {levels.frames} frames, none of them in two frames: ids of "
        "single pictures are no classes of a video (segment.union=true makes all one foreground)",
    )


def read_binary(levels: Levels, view: View, words: str, full: int = 0) -> Reading:
    """Return one class, cut at half of `full`; 0 is the largest value of the type."""
    classes = () if levels.empty_at_half == levels.frames else (1,)
    legend = Legend("binary", classes, view=view, full=full)
    notes = empty_warning(levels.empty_at_half) + _inversion_note(levels, (full or levels.top) // 2)
    return Reading(legend, notes, f"black and white ({words})")


def _inversion_note(levels: Levels, cut: int) -> tuple[str, ...]:
    """Return a note on foreground all around the pictures: masks may be inverted."""
    if not levels.is_inverted(cut):
        return ()
    share = levels.counts[cut + 1 :].sum() / levels.counts.sum()
    return (
        f"the foreground covers {share:.0%} of the pictures and their whole border: if the object "
        "is what is left free, the masks are inverted: save them as 255 - value, or 1 - value",
    )


def undecided(case: Case, levels: Levels, why: str, kinds: str) -> InputError:
    """Return the error for values that leave several readings, with the setting that chooses."""
    values = levels.values
    shown = ", ".join(map(str, values[:6])) + (f", … {values[-1]}" if len(values) > 6 else "")
    return InputError(
        f"{case.where}: {len(values)} values over 0 ({shown}) leave several readings: {why}: "
        + SET_KIND.format(kinds)
    )
