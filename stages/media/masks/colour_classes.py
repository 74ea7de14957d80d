"""Classes by colour: exact colours, those of a legend file, or the few that a lossy codec left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from stages.media.masks.blends import (
    WITHIN,
    distance_from_pairs,
    find_pure_colours,
    find_strangers,
    label_blends,
)
from stages.media.masks.census import BLENDED, MOST_COLOURS, Census
from stages.media.masks.json_files import MALFORMED, read_bytes
from stages.media.masks.legend import Legend
from stages.media.masks.legend_files import LEGENDS, Named, find_legend
from stages.media.masks.palette import palette
from stages.media.masks.raw import packed, unpacked

FEW_COLOURS = 256
SHARE = 5e-4  # of the pixels inside of areas, from which a colour of a lossy codec is one
APART = 64  # distance of two colours that a lossy codec can tell apart
BLACK_WITHIN = 60  # distance from black, up to which a lossy codec's colour is the background
VOID = 0xE0E0C0  # number 255 of the palette of PASCAL VOC: borders, which belong to no class
VOID_NOTE = "#e0e0c0 is the void border of PASCAL VOC's palette, and is read as background"
FEW_AREAS = (2, 64)
FEWEST_BLENDS = 4  # fewer colours without an area may be thin classes
FEWEST_FRAMES = 3  # of a clip, to tell that colours do not last


def read_colours(where: Path, census: Census) -> tuple[Legend, tuple[str, ...]]:
    """Return the legend of a clip whose classes are colours, and notes.

    A legend file beside the masks gives labels and names. Else black, or what is transparent, is
    the background; colours of the DAVIS and PASCAL VOC palette have their number there; others are
    counted from 1 in the order of their values.

    Raises
    ------
    InputError
        If there are too many colours for a mask, or none that is the background.
    """
    known = find_legend(where)
    areas = _area_colours(where, census, is_named=bool(known))
    blended = bool(areas) or _blended(census)
    exact = census.exact and len(census.colours) <= FEW_COLOURS and not blended
    colours = list(census.colours) if exact else areas or _main_colours(where, census)
    if known:
        return _of_legend(where, census, known, colours, exact=exact)
    labels, names = _number(where, census, colours, exact=exact, pure=exact or bool(areas))
    void = (VOID_NOTE,) if labels.get(VOID) == 0 else ()
    if exact:
        return _legend(census, labels, names, colours, exact=True), void
    notes = (f"{len(colours)} colours were told apart; others take the nearest", *void)
    legend = _legend(census, labels, names, colours, exact=False)
    if areas:
        blends = label_blends(labels, [c for c in census.colours if c not in labels])
        legend = replace(legend, colours=labels | blends, nearest=False)
    return legend, notes


def _of_legend(
    where: Path, census: Census, known: Named, colours: list[int], *, exact: bool
) -> tuple[Legend, tuple[str, ...]]:
    """Return the legend of colours that a file names; the others are the background."""
    strangers = [c for c in colours if c not in known and exact and c != 0]
    if strangers and len(strangers) > len(colours) // 2:
        raise InputError(
            f"{where}: expected colours of the legend, got {', '.join(map(name_of, strangers))}"
        )
    labels = {c: label for c, (label, _) in known.items()} | dict.fromkeys(strangers, 0)
    names = {label: name for label, name in known.values() if label}
    notes = (
        f"{len(strangers)} colours are not in the legend, and are read as background: "
        + ", ".join(name_of(c) for c in strangers[:5]),
    ) if strangers else ()  # fmt: skip
    return _legend(census, labels, names, colours, exact=exact), notes


def _legend(
    census: Census, labels: Mapping[int, int], names: Mapping[int, str], colours: list[int], *,
    exact: bool,
) -> Legend:  # fmt: skip
    occurring = {labels.get(c, 0) for c in colours} if exact else set(labels.values())
    classes = tuple(sorted(occurring - {0}))
    named = {label: names[label] for label in classes if names.get(label)}
    opacities = census.alpha.values
    return Legend(
        "colours", classes, names=named, colours=dict(labels), nearest=not exact,
        full=opacities[0] if len(opacities) == 1 else 0,
    )  # fmt: skip


def _number(
    where: Path, census: Census, colours: list[int], *, exact: bool, pure: bool
) -> tuple[dict[int, int], dict[int, str]]:
    transparent = census.alpha.frames > 0 and bool(census.alpha.counts[:128].any())
    background = _background(census, colours, exact=exact)
    if background is None and not transparent:
        colours = sorted(colours, key=lambda c: -census.colours[c])
        listed = ", ".join(name_of(c) for c in colours[:6])
        raise InputError(
            f"{where}: colours {listed}, and none of them black: which is the background? put a "
            f"file {LEGENDS[0]} beside the masks that names them, as "
            f'{{"background": "{name_of(colours[0])}", "thing": …}}'
        )
    rest = sorted(c for c in colours if c != background)
    known = {int(c): k for k, c in enumerate(packed(palette()))}
    if pure and all(c in known for c in rest):
        labels = {c: known[c] for c in rest}
        if len(rest) > 1 and VOID in labels:
            labels[VOID] = 0
    else:
        labels = {c: k for k, c in enumerate(rest, start=1)}
    names = {label: name_of(c) for c, label in labels.items() if label}
    return labels | ({} if background is None else {background: 0}), names


def _background(census: Census, colours: list[int], *, exact: bool) -> int | None:
    if exact:
        return 0 if 0 in colours else None
    darkest = min(colours, key=lambda c: sum(v * v for v in unpacked(c)))
    near = sum(v * v for v in unpacked(darkest)) <= BLACK_WITHIN**2
    return darkest if near else None


def _blended(census: Census) -> bool:
    return len(census.colours) > BLENDED and census.shown.slope >= 0.5


def _area_colours(where: Path, census: Census, *, is_named: bool) -> list[int]:
    """Return the colours of areas where all others are blends of them, as along edges.

    Returns nothing where the others are few, or do not lie between areas: lines may be classes.

    Raises
    ------
    InputError
        If edges are blended, some colours are no blends, and no file names the classes.
    """
    if not census.exact or len(census.colours) > MOST_COLOURS:
        return []
    known = {int(c) for c in packed(palette())}
    blends = census.blends.find_blends(census.inner_colours, known)
    areas = [c for c in census.colours if c in census.inner_colours and c not in blends]
    if blends:
        areas = find_pure_colours(census.blends, census.colours, areas)
    others = [c for c in census.colours if c not in set(areas)]
    few = not blends and len(others) < FEWEST_BLENDS
    if not FEW_AREAS[0] <= len(areas) <= FEW_AREAS[1] or few:
        return []
    if known.issuperset(others):
        return []
    strangers = find_strangers(census.blends, areas, others)
    if blends and strangers and not is_named:
        raise InputError(
            f"{where}: {len(areas)} colours fill areas ({_listed(areas)}), the edges between them "
            f"are blended, and {_listed(strangers)} are no blends of these: thin classes, or edges "
            f"too? put a file {LEGENDS[0]} beside the masks that names the colours that are "
            "classes, or save them without blended edges (nearest, no anti-aliasing)"
        )
    return areas if blends or _are_mixed(areas, others) else []


def _are_mixed(areas: list[int], others: list[int]) -> bool:
    """Return whether all of some colours are mixtures of two areas'."""
    return bool((distance_from_pairs(areas, others) <= WITHIN).all())


def _listed(colours: list[int]) -> str:
    more = ", …" if len(colours) > 6 else ""
    return ", ".join(map(name_of, colours[:6])) + more


def check_lasting(where: Path, census: Census, legend: Legend) -> None:
    """Refuse colours that no two frames share: then they number the segments of single pictures.

    Raises
    ------
    InputError
        Naming some of them, and what to do.
    """
    named = {c for c, label in legend.colours.items() if label}
    drawn = [c for c in census.colours if c in named]
    lasting = any(census.colour_frames[c] > 1 for c in drawn)
    if census.frames < FEWEST_FRAMES or len(drawn) < census.frames or lasting:
        return
    raise InputError(
        f"{where}: {len(drawn)} colours in {census.frames} frames, none of them in two frames "
        f"({', '.join(map(name_of, sorted(drawn)[:4]))}, …): they number the segments of each "
        "picture, as in COCO panoptic PNGs, and say nothing of classes: give the JSON that belongs "
        "to them, or set segment.kind=colours (with segment.union=true all are one foreground)"
    )


def _main_colours(where: Path, census: Census) -> list[int]:
    """Return the colours of areas, most frequent first; what lies between them are blends.

    Raises
    ------
    InputError
        If they do not explain the pictures: then these are no masks.
    """
    sums, total = census.flat_bins, int(census.flat_bins[:, 3].sum())
    chosen: list[np.ndarray] = []
    explained = 0
    for k in np.argsort(-sums[:, 3], kind="stable"):
        count = int(sums[k, 3])
        if count == 0:
            break
        colour = sums[k, :3] / count
        if any(((colour - other) ** 2).sum() < APART**2 for other in chosen):
            explained += count
        elif count >= max(SHARE * total, 1) and len(chosen) < FEW_COLOURS:
            chosen.append(colour)
            explained += count
    pixels = sum(census.colours.values())
    is_picture = len(census.colours) > MOST_COLOURS and (
        total < 0.6 * max(pixels, 1) or len(chosen) > 32
    )
    if not chosen or is_picture or explained < 0.97 * total:
        raise InputError(
            f"{where}: expected masks, got pictures of {min(len(census.colours), MOST_COLOURS)} or "
            "more colours: are these the frames, or an overlay? Masks have few colours, without "
            "blended edges, or the mask in transparency"
        )
    return [int(packed(np.round(c).clip(0, 255).astype(np.uint8))) for c in chosen]


def name_indexes(where: Path, census: Census, classes: tuple[int, ...]) -> dict[int, str]:
    """Return names of labels that are indexes: by the colours of a legend file, or of a run.

    Results of an earlier run have their names in the ``metrics.json`` beside the folder ``masks``.
    """
    record = where.parent / "metrics.json"
    if where.name == "masks" and record.is_file():
        try:
            names = json.loads(read_bytes(record)).get("class_names") or {}
            return {label: str(names[str(label)]) for label in classes if str(label) in names}
        except MALFORMED:
            return {}
    known = find_legend(where)
    by_index = {index: known.get(colour) for index, colour in census.index_colours.items()}
    return {label: entry[1] for label in classes if (entry := by_index.get(label)) is not None}


def name_of(colour: int) -> str:
    """Return a packed colour as #rrggbb."""
    return f"#{colour:06x}"
