"""Decides what the values in a clip's masks mean; where two readings differ, stops with both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import InputError
from stages.media.masks.census import IGNORE, Census, FloatCensus, Levels
from stages.media.masks.colour_classes import name_indexes, read_colours
from stages.media.masks.contract import ReadingChoices
from stages.media.masks.legend import Legend, View, empty_warning

MOST_LABELS = 63  # 8-bit values up to this are labels: soft masks would have no foreground
SLOPE_OF_LABELS, SLOPE_OF_SOFT = 0.25, 0.5  # share of ramps between the ends
FEW = 16  # more values than this are needed for a soft edge
EVEN = 0.02  # of the range, up to which grey levels count as evenly spaced
PLATEAU = 0.2  # of the foreground, from which one value is the top of a soft mask
FLAT_SHARE = 0.05  # of the foreground, from which greys of a lossy codec are areas, no edges
MOTS_IGNORED = 10000
SET_KIND = "set segment.kind to {}"


class Reading(NamedTuple):
    """The decision: the legend, notes for the user, and the reading in words."""

    legend: Legend
    notes: tuple[str, ...] = ()
    words: str = ""


@dataclass(frozen=True)
class _Case:
    """A clip to decide on."""

    where: Path
    census: Census
    choices: ReadingChoices


def decide(where: Path, census: Census | FloatCensus, choices: ReadingChoices) -> Reading:
    """Return the one reading that a clip's values leave.

    Parameters
    ----------
    where : Path
        The clip's masks, for messages, and where a legend of colours may lie.
    census : Census or FloatCensus
        Of all frames.
    choices : ReadingChoices

    Raises
    ------
    InputError
        If several readings are possible and differ: with each, what speaks for it, and the setting.
    """
    if isinstance(census, FloatCensus):
        return _floats(census)
    case = _Case(where, census, choices)
    with_alpha = _alpha(case) if census.alpha.frames and choices.kind != "colours" else None
    if with_alpha is not None:
        return with_alpha
    if choices.kind == "colours" or not (census.exact or census.all_grey):
        return _of_colours(case, "colours")
    if census.has_palette and not census.has_colours:
        return _indexed(case)
    if census.has_colours and not census.all_grey:
        return _of_colours(case, "colours")
    if not census.exact and choices.kind == "auto":
        return _lossy_grey(case)
    view: View = "shown" if census.has_palette else "stored"
    return _grey(case, census.shown if census.has_palette else census.stored, view)


def _floats(census: FloatCensus) -> Reading:
    background = census.background
    channels = census.shape[0] - background if census.shape else 0
    legend = Legend("soft", tuple(range(1, channels + 1)), background)
    notes = empty_warning(census.empty_with if background else census.empty_without)
    lost = census.half_with if background else census.half_without
    empty = census.empty_with if background else census.empty_without
    if lost > empty:
        notes += (
            f"in {lost - empty} of {census.frames} frames no value passes the background's: "
            "their masks come out empty",
        )
    return Reading(legend, notes, "soft masks" + (", background first" if background else ""))


def _grey(case: _Case, levels: Levels, view: View, words: str = "grey") -> Reading:
    kind, values = case.choices.kind, levels.values
    if kind != "auto":
        return _chosen(case, levels, view, words)
    if not values:
        return _labels(levels, view, words)
    if levels.top == 65535 and not levels.narrow:
        return _sixteen_bits(case, levels, view)
    if case.census.labels_only or levels.top == 65535:
        return _labels(levels, view, words)
    if set(values) == {IGNORE}:
        return _binary(levels, view, "0/255")
    if set(values) == {16, 235} and not levels.counts[0]:
        return _binary(levels, view, "16/235, the limited range of video")
    return _eight_bits(case, levels, view, words)


def _eight_bits(case: _Case, levels: Levels, view: View, words: str) -> Reading:
    """Decide between labels and soft masks by the edges: soft ones rise over several pixels."""
    inner = [v for v in levels.values if v != IGNORE]
    slope = f"{levels.slope:.0%} of the pixels between the ends lie on a slope"
    if inner[-1] <= MOST_LABELS:
        if len(inner) > FEW and levels.slope > SLOPE_OF_SOFT:
            raise _undecided(case, levels, f"but {slope}, as in dim soft masks", "labels or soft")
        return _labels(levels, view, words)
    if levels.slope >= SLOPE_OF_SOFT and len(inner) > 1:
        return _soft(case, levels, view)
    if levels.slope > SLOPE_OF_LABELS:
        raise _undecided(case, levels, slope, "labels, soft or binary")
    if (IGNORE in levels.values and len(inner) <= 2) or _evenly_spaced(levels):
        raise _undecided(
            case, levels,
            f"{IGNORE} may be a class, certain foreground, or the value that labels ignore",
            "labels (255 is ignored), levels (255 is a class), soft or binary",
        )  # fmt: skip
    return _labels(levels, view, words)


def _sixteen_bits(case: _Case, levels: Levels, view: View) -> Reading:
    values = levels.values
    if set(values) <= {65535} or set(values) <= {65280}:
        return _binary(levels, view, f"0/{values[-1]}, 16 bits")
    if values[-1] <= IGNORE or case.census.labels_only:
        return _labels(levels, view, "16 bits")
    if MOTS_IGNORED in values and all(v == MOTS_IGNORED or 1000 <= v < 3000 for v in values):
        ignored = (IGNORE, MOTS_IGNORED)
        kept = tuple(v for v in values if v != MOTS_IGNORED)
        legend = Legend("labels", kept, view=view, ignored=ignored, names=_mots_names(kept))
        return Reading(legend, _empty(levels.empty), "16 bits as KITTI MOTS, 10000 is ignored")
    if levels.slope >= SLOPE_OF_SOFT and len(values) > 1:
        return _soft(case, levels, view)
    if levels.slope > SLOPE_OF_LABELS or _evenly_spaced(levels):
        raise _undecided(case, levels, "16 bits", "labels, soft or binary")
    if len(values) > 1 and all(v % 257 == 0 for v in values):
        labels = tuple(v // 257 for v in values if v != 65535)
        legend = Legend("labels", labels, view=view, divisor=257, ignored=(IGNORE, 65535))
        return Reading(legend, _empty(levels.empty), "8-bit labels spread to 16 bits")
    return _labels(levels, view, "16 bits")


def _soft(case: _Case, levels: Levels, view: View) -> Reading:
    values, full = levels.values, 0
    foreground = int(levels.counts[1:].sum())
    for scale in (100,) if levels.top == 255 else (1023, 4095, 16383):
        if values[-1] == scale and levels.counts[scale] >= PLATEAU * foreground:
            full = scale
    half = (full or levels.top) // 2
    if values[-1] <= half:
        raise _undecided(
            case, levels, "as soft masks nothing would pass one half", "labels or soft"
        )
    legend = Legend("soft", (1,), view=view, full=full)
    empty = levels.empty if full else levels.empty_at_half
    return Reading(legend, _empty(empty), f"soft masks, {full or levels.top} is certain")


def _labels(levels: Levels, view: View, words: str) -> Reading:
    ignores = levels.narrow
    kept = tuple(v for v in levels.values if not (ignores and v == IGNORE and levels.top == 255))
    empty = levels.empty_but_ignored if ignores else levels.empty
    full = ("no pixel of the clip is 0, the background",) if kept and not levels.counts[0] else ()
    ignored_words = f", {IGNORE} is ignored" if ignores and IGNORE in levels.values else ""
    return Reading(Legend("labels", kept, view=view), _empty(empty) + full, words + ignored_words)


def _binary(levels: Levels, view: View, words: str, full: int = 0) -> Reading:
    classes = () if levels.empty_at_half == levels.frames else (1,)
    legend = Legend("binary", classes, view=view, full=full)
    return Reading(legend, _empty(levels.empty_at_half), f"black and white ({words})")


def _chosen(case: _Case, levels: Levels, view: View, words: str) -> Reading:
    """Return the reading that the user chose."""
    kind = case.choices.kind
    if kind == "binary":
        if levels.values and levels.values[-1] == 1:
            return _labels(levels, view, words)
        return _binary(levels, view, "segment.kind")
    if kind == "soft":
        legend = Legend("soft", (1,), view=view)
        return Reading(legend, _empty(levels.empty), "soft masks (segment.kind)")
    if kind == "levels":
        legend = Legend("labels", levels.values, view=view, ignored=())
        return Reading(legend, _empty(levels.empty), "every level is a class (segment.kind)")
    return _labels(levels, view, f"{words} (segment.kind)")


def _indexed(case: _Case) -> Reading:
    """Decide on pictures with palettes: labels are indexes, unless the palettes contradict."""
    census, kind = case.census, case.choices.kind
    if kind in ("labels", "levels"):
        return _chosen(case, census.stored, "stored", "indexed")
    if kind in ("soft", "binary") and census.all_grey:
        return _chosen(case, census.shown, "shown", "indexed")
    used = set(census.index_colours)
    if set(census.colours) == {0, 0xFFFFFF} or used <= {0, IGNORE}:
        view: View = "shown" if set(census.colours) == {0, 0xFFFFFF} else "stored"
        return _binary(census.shown if view == "shown" else census.stored, view, "indexed")
    blended = census.shown.slope >= SLOPE_OF_SOFT and len(census.colours) > FEW
    if census.all_grey and census.shown.slope >= SLOPE_OF_SOFT and len(census.colours) > 2:
        return _soft(case, census.shown, "shown")
    if blended and len(used) > MOST_LABELS:
        return _of_colours(case, "indexed picture with blended edges")
    black = [index for index, colour in census.index_colours.items() if colour == 0]
    if census.palettes_differ:
        return _of_colours(case, "indexed, by colour since palettes differ")
    if black and 0 not in black and black != [IGNORE]:
        return _of_colours(case, "indexed, by colour since black is not index 0")
    reading = _labels(census.stored, "stored", "indexed")
    names = name_indexes(case.where, census, reading.legend.classes)
    return reading._replace(legend=replace(reading.legend, names=names))


def _alpha(case: _Case) -> Reading | None:
    """Return the reading of transparency; None where the colours decide."""
    census, channel = case.census, case.choices.channel
    solid = int((census.alpha.counts > 0).sum()) == 1
    if channel == "colour" or (solid and channel == "auto"):
        return None
    levels = census.alpha
    exact = set(levels.values) <= {IGNORE}
    reading = (
        _binary(levels, "alpha", "transparency")
        if exact
        else Reading(
            Legend("soft", (1,), view="alpha"), _empty(levels.empty), "soft, in transparency"
        )
    )
    opaque = census.opaque_colours
    if channel == "alpha" or not census.alpha_differs or len(census.colours) == 1:
        return reading
    if census.all_grey and set(census.colours) <= {0, 0xFFFFFF}:
        raise InputError(
            f"{case.where}: black and white in the colours, and another mask in transparency: set "
            "segment.channel to colour or alpha"
        )
    if len(opaque) == 1:
        return reading
    few = len(opaque) <= FEW and census.shown.slope <= SLOPE_OF_LABELS
    return None if few else reading


def _lossy_grey(case: _Case) -> Reading:
    """Decide on grey pictures of a lossy codec: black and white, unless greys cover areas."""
    levels = case.census.stored
    if levels.top == 65535 and levels.slope >= SLOPE_OF_SOFT:  # codecs of more than 8 bits: mattes
        return _soft(case, levels, "stored")
    foreground = int(levels.counts[levels.top // 8 :].sum())
    if foreground and not levels.counts[levels.top // 2 + 1 :].any():
        raise InputError(
            f"{case.where}: expected black and white masks in a lossy codec, got nothing over half "
            "height: use a lossless format for labels (PNG, FFV1), or set segment.kind"
        )
    if levels.flats > FLAT_SHARE * max(foreground, 1):
        raise _undecided(
            case, levels,
            f"a lossy codec changes values, and {levels.flats / foreground:.0%} of the foreground "
            "are areas between black and white",
            "binary (cut at half height), soft or labels",
        )  # fmt: skip
    reading = _binary(levels, "stored", "lossy")
    between = levels.counts[1 : levels.top].any()
    note = ("greys that a lossy codec left are cut at half height",) if between else ()
    return reading._replace(notes=note + reading.notes)


def _of_colours(case: _Case, words: str) -> Reading:
    legend, notes = read_colours(case.where, case.census)
    reading_words = f"{words}, classes by colour"
    return Reading(legend, (*notes, *_empty(case.census.black_frames)), reading_words)


def _undecided(case: _Case, levels: Levels, why: str, kinds: str) -> InputError:
    values = levels.values
    shown = ", ".join(map(str, values[:6])) + (f", … {values[-1]}" if len(values) > 6 else "")
    return InputError(
        f"{case.where}: {len(values)} values over 0 ({shown}) leave several readings: {why}: "
        + SET_KIND.format(kinds)
    )


def _evenly_spaced(levels: Levels) -> bool:
    """Return whether a few levels divide the range up to the top, as drawn for the eye."""
    values, top = levels.values, levels.top
    if values[-1] != top or not 2 <= len(values) <= 5:
        return False
    steps = [(k + 1) * top / len(values) for k in range(len(values))]
    return all(abs(v - s) <= EVEN * top for v, s in zip(values, steps, strict=True))


def _mots_names(values: tuple[int, ...]) -> dict[int, str]:
    kinds = {1: "car", 2: "pedestrian"}
    return {v: f"{kinds[v // 1000]} {v % 1000}" for v in values}


def _empty(frames: int) -> tuple[str, ...]:
    return empty_warning(frames)
