"""Decides what the values in a clip's masks mean; where two readings differ, stops with both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.errors import InputError
from stages.media.masks.census import Census, FloatCensus, Levels
from stages.media.masks.colour_classes import (
    check_lasting,
    name_indexes,
    read_colours,
)
from stages.media.masks.contract import ReadingChoices
from stages.media.masks.legend import Legend, View, empty_warning
from stages.media.masks.reading_kinds import (
    Case,
    Reading,
    read_as_labels,
    read_binary,
    read_soft,
    undecided,
)
from stages.ops.ignored_label import IGNORE

MOST_LABELS = 63  # 8-bit values up to this are labels: soft masks would have no foreground
SLOPE_OF_LABELS, SLOPE_OF_SOFT = 0.25, 0.5  # share of ramps between the ends
FEW = 16  # more values than this are needed for a soft edge
EVEN = 0.02  # of the range, up to which grey levels count as evenly spaced
FLAT_SHARE = 0.05  # of the foreground, from which greys of a lossy codec are areas, no edges
MOTS_IGNORED = 10000


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
    case = Case(where, census, choices)
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
    names = dict(enumerate(census.names[background:], start=1))
    legend = Legend("soft", tuple(range(1, channels + 1)), background, names=names)
    notes = empty_warning(census.empty_with if background else census.empty_without)
    lost = census.half_with if background else census.half_without
    empty = census.empty_with if background else census.empty_without
    if lost > empty:
        notes += (
            f"in {lost - empty} of {census.frames} frames no value passes the background's: "
            "their masks come out empty",
        )
    return Reading(legend, notes, "soft masks" + (", background first" if background else ""))


def _grey(case: Case, levels: Levels, view: View, words: str = "grey") -> Reading:
    kind, values = case.choices.kind, levels.values
    if kind != "auto":
        return _chosen(case, levels, view, words)
    if not values:
        return read_as_labels(levels, view, words)
    if levels.top == 65535 and not levels.narrow:
        if values[-1] > IGNORE or case.census.labels_only:
            return _sixteen_bits(case, levels, view)
        return _eight_of_sixteen(case, levels, view)
    if case.census.labels_only or levels.top == 65535:
        return read_as_labels(levels, view, words)
    if set(values) == {IGNORE}:
        return read_binary(levels, view, "0/255")
    if set(values) == {16, 235} and not levels.counts[0]:
        return read_binary(levels, view, "16/235, the limited range of video")
    return _eight_bits(case, levels, view, words)


def _eight_bits(case: Case, levels: Levels, view: View, words: str) -> Reading:
    """Decide between labels and soft masks by the edges: soft ones rise over several pixels."""
    inner = [v for v in levels.values if v != IGNORE]
    slope = f"{levels.slope:.0%} of the pixels between the ends lie on a slope"
    if inner[-1] <= MOST_LABELS:
        if len(inner) > FEW and levels.slope > SLOPE_OF_SOFT:
            raise undecided(case, levels, f"but {slope}, as in dim soft masks", "labels or soft")
        return read_as_labels(levels, view, words)
    if levels.slope >= SLOPE_OF_SOFT and len(inner) > 1:
        return read_soft(case, levels, view)
    if levels.slope > SLOPE_OF_LABELS:
        raise undecided(case, levels, slope, "labels, soft or binary")
    if (IGNORE in levels.values and len(inner) <= 2) or _evenly_spaced(levels):
        raise undecided(
            case, levels,
            f"{IGNORE} may be a class, certain foreground, or the value that labels ignore",
            "labels (255 is ignored), levels (255 is a class), soft or binary",
        )  # fmt: skip
    return read_as_labels(levels, view, words)


def _eight_of_sixteen(case: Case, levels: Levels, view: View) -> Reading:
    """Decide on values of 8 bits in files of 16: read as in files of 8, but nothing is ignored."""
    levels = replace(levels, top=IGNORE, empty_at_half=levels.empty_at_127)
    if set(levels.values) == {IGNORE}:
        return read_binary(levels, view, "0/255 in 16 bits", full=IGNORE)
    reading = _eight_bits(case, levels, view, "8 bits in files of 16")
    if reading.legend.meaning == "soft" and not reading.legend.full:
        return reading._replace(legend=replace(reading.legend, full=IGNORE))
    return reading


def _sixteen_bits(case: Case, levels: Levels, view: View) -> Reading:
    values = levels.values
    if set(values) <= {65535} or set(values) <= {65280}:
        return read_binary(levels, view, f"0/{values[-1]}, 16 bits")
    if case.census.labels_only:
        return read_as_labels(levels, view, "whole numbers")
    if MOTS_IGNORED in values and all(v == MOTS_IGNORED or 1000 <= v < 3000 for v in values):
        ignored = (IGNORE, MOTS_IGNORED)
        kept = tuple(v for v in values if v != MOTS_IGNORED)
        legend = Legend("labels", kept, view=view, ignored=ignored, names=_mots_names(kept))
        return Reading(
            legend, empty_warning(levels.empty), "16 bits as KITTI MOTS, 10000 is ignored"
        )
    if levels.slope >= SLOPE_OF_SOFT and len(values) > 1:
        return read_soft(case, levels, view)
    if levels.slope > SLOPE_OF_LABELS or _evenly_spaced(levels):
        raise undecided(case, levels, "16 bits", "labels, soft or binary")
    if len(values) > 1 and all(v % 257 == 0 for v in values):
        labels = tuple(v // 257 for v in values if v != 65535)
        legend = Legend("labels", labels, view=view, divisor=257, ignored=(IGNORE, 65535))
        return Reading(legend, empty_warning(levels.empty), "8-bit labels spread to 16 bits")
    return read_as_labels(levels, view, "16 bits")


def _chosen(case: Case, levels: Levels, view: View, words: str) -> Reading:
    """Return the reading that the user chose."""
    kind = case.choices.kind
    full = IGNORE if not levels.narrow and levels.values[-1:] <= (IGNORE,) else 0
    if kind == "binary":
        if levels.values and levels.values[-1] == 1:
            return read_as_labels(levels, view, words)
        return read_binary(levels, view, "segment.kind", full=full)
    if kind == "soft":
        legend = Legend("soft", (1,), view=view, full=full)
        return Reading(legend, empty_warning(levels.empty), "soft masks (segment.kind)")
    if kind == "levels":
        legend = Legend("labels", levels.values, view=view, ignored=())
        return Reading(legend, empty_warning(levels.empty), "every level is a class (segment.kind)")
    return read_as_labels(levels, view, f"{words} (segment.kind)")


def _indexed(case: Case) -> Reading:
    """Decide on pictures with palettes: labels are indexes, unless the palettes contradict."""
    census, kind = case.census, case.choices.kind
    if kind in ("labels", "levels"):
        return _chosen(case, census.stored, "stored", "indexed")
    if kind in ("soft", "binary") and census.all_grey:
        return _chosen(case, census.shown, "shown", "indexed")
    used = set(census.index_colours)
    if set(census.colours) == {0, 0xFFFFFF} or used <= {0, IGNORE}:
        view: View = "shown" if set(census.colours) == {0, 0xFFFFFF} else "stored"
        return read_binary(census.shown if view == "shown" else census.stored, view, "indexed")
    blended = census.shown.slope >= SLOPE_OF_SOFT and len(census.colours) > FEW
    if census.all_grey and census.shown.slope >= SLOPE_OF_SOFT and len(census.colours) > 2:
        return read_soft(case, census.shown, "shown")
    if blended and len(used) > MOST_LABELS:
        return _of_colours(case, "indexed picture with blended edges")
    black = [index for index, colour in census.index_colours.items() if colour == 0]
    if census.palettes_differ:
        return _by_colour(case, "palettes differ")
    if black and 0 not in black and black != [IGNORE]:
        return _by_colour(case, "black is not index 0")
    reading = read_as_labels(census.stored, "stored", "indexed")
    names = name_indexes(case.where, census, reading.legend.classes)
    return reading._replace(legend=replace(reading.legend, names=names))


def _by_colour(case: Case, why: str) -> Reading:
    """Return pictures with palettes by colour, naming the setting for those whose indexes count."""
    try:
        return _of_colours(case, f"indexed, by colour since {why}")
    except InputError as error:
        raise InputError(
            f"{error}; they are pictures with palettes, by colour since {why}: if the indexes are "
            "the classes, set segment.kind=labels"
        ) from error


def _alpha(case: Case) -> Reading | None:
    """Return the reading of transparency; None where the colours decide."""
    census, channel = case.census, case.choices.channel
    solid = int((census.alpha.counts > 0).sum()) == 1
    if channel == "colour" or (solid and channel == "auto"):
        return None
    levels = census.alpha
    if channel == "auto" and _holds_numbers(levels):
        raise InputError(
            f"{case.where}: transparency has the values {levels.values[0]} to {levels.values[-1]} "
            "of 255, all below one half: numbers of objects and no transparency, as in bitmasks of "
            "BDD100K, whose red is the category? set segment.channel=colour for classes by colour, "
            "or alpha for soft masks; for objects save the numbers as grey PNG"
        )
    reading = _transparency(levels)
    opaque = census.opaque_colours
    few = len(opaque) <= FEW and census.shown.slope <= SLOPE_OF_LABELS
    if channel == "auto" and few and len(opaque) > 1 and not census.all_grey:
        return None  # classes by colour on a transparent background
    if channel == "alpha" or not census.alpha_differs or len(census.colours) == 1:
        return reading
    if census.all_grey and set(census.colours) <= {0, 0xFFFFFF}:
        raise InputError(
            f"{case.where}: black and white in the colours, and another mask in transparency: set "
            "segment.channel to colour or alpha"
        )
    if len(opaque) == 1:
        return reading
    return None if few else reading


def _holds_numbers(levels: Levels) -> bool:
    """Return whether transparency never passes one half, with several values."""
    return len(levels.values) > 1 and levels.values[-1] <= IGNORE // 2


def _transparency(levels: Levels) -> Reading:
    """Return the reading of transparency by itself: one value, or soft."""
    if len(levels.values) > 1:
        legend = Legend("soft", (1,), view="alpha")
        return Reading(legend, empty_warning(levels.empty), "soft, in transparency")
    full = levels.values[0] if levels.values else 0
    legend = Legend("binary", (1,) if full else (), view="alpha", full=full)
    words = "black and white (transparency)" if full in (0, IGNORE) else f"transparency 0/{full}"
    return Reading(legend, empty_warning(levels.empty), words)


def _lossy_grey(case: Case) -> Reading:
    """Decide on grey pictures of a lossy codec: black and white, unless greys cover areas."""
    levels = case.census.stored
    if levels.top == 65535 and levels.slope >= SLOPE_OF_SOFT:  # codecs of more than 8 bits: mattes
        return read_soft(case, levels, "stored")
    foreground = int(levels.counts[levels.top // 8 :].sum())
    if foreground and not levels.counts[levels.top // 2 + 1 :].any():
        raise InputError(
            f"{case.where}: expected black and white, since a lossy codec blurs labels, got no "
            f"value over {levels.top // 2} of {levels.top}: save labels as PNG or FFV1, which keep "
            "values, or set segment.kind"
        )
    if levels.flats > FLAT_SHARE * max(foreground, 1):
        raise undecided(
            case, levels,
            f"a lossy codec changes values, and {levels.flats / foreground:.0%} of the foreground "
            "are areas between black and white",
            "binary (cut at half height), soft or labels",
        )  # fmt: skip
    reading = read_binary(levels, "stored", "lossy")
    between = levels.counts[1 : levels.top].any()
    note = ("greys that a lossy codec left are cut at half height",) if between else ()
    return reading._replace(notes=note + reading.notes)


def _of_colours(case: Case, words: str) -> Reading:
    legend, notes = read_colours(case.where, case.census)
    if _holds_numbers(case.census.alpha):  # segment.channel=colour: whatever is not transparent
        legend = replace(legend, full=1)
    if case.choices.kind == "auto":
        check_lasting(case.where, case.census, legend)
    reading_words = f"{words}, classes by colour"
    return Reading(legend, (*notes, *empty_warning(case.census.black_frames)), reading_words)


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
