"""Classes by colour: exact colours, those of a legend file, or the few that a lossy codec left."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import InputError
from stages.media.masks.census import BLENDED, MOST_COLOURS, Census
from stages.media.masks.json_files import MALFORMED, read_bytes
from stages.media.masks.legend import Legend
from stages.media.masks.palette import palette
from stages.media.masks.raw import packed, unpacked

LEGENDS = (
    *("legend.json", "legend.csv", "legend.txt", "labelmap.txt", "label_colors.txt"),
    *("class_dict.csv", "labels.csv", "colormap.json"),
)
FEW_COLOURS = 256
SHARE = 5e-4  # of the pixels inside of areas, from which a colour of a lossy codec is one
APART = 64  # distance of two colours that a lossy codec can tell apart
BLACK_WITHIN = 60  # distance from black, up to which a lossy codec's colour is the background
BACKGROUND_NAMES = frozenset(
    {"background", "_background_", "bg", "void", "unlabeled", "unlabelled"}
)

Named = dict[int, tuple[int, str]]
"""Label and name of each packed colour."""


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
    exact = census.exact and len(census.colours) <= FEW_COLOURS and not _blended(census)
    colours = list(census.colours) if exact else _main_colours(where, census)
    if known:
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
    labels, names = _number(where, census, colours, exact=exact)
    notes = () if exact else (f"{len(colours)} colours were told apart; others take the nearest",)
    return _legend(census, labels, names, colours, exact=exact), notes


def _legend(
    census: Census, labels: Mapping[int, int], names: Mapping[int, str], colours: list[int], *,
    exact: bool,
) -> Legend:  # fmt: skip
    occurring = {labels.get(c, 0) for c in colours} if exact else set(labels.values())
    classes = tuple(sorted(occurring - {0}))
    named = {label: names[label] for label in classes if names.get(label)}
    return Legend("colours", classes, names=named, colours=dict(labels), nearest=not exact)


def _number(
    where: Path, census: Census, colours: list[int], *, exact: bool
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
    if exact and all(c in known for c in rest):
        labels = {c: known[c] for c in rest}
    else:
        labels = {c: k for k, c in enumerate(rest, start=1)}
    names = {label: name_of(c) for c, label in labels.items()}
    return labels | ({} if background is None else {background: 0}), names


def _background(census: Census, colours: list[int], *, exact: bool) -> int | None:
    if exact:
        return 0 if 0 in colours else None
    darkest = min(colours, key=lambda c: sum(v * v for v in unpacked(c)))
    near = sum(v * v for v in unpacked(darkest)) <= BLACK_WITHIN**2
    return darkest if near else None


def _blended(census: Census) -> bool:
    return len(census.colours) > BLENDED and census.shown.slope >= 0.5


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


def find_legend(where: Path) -> Named:
    """Return labels and names by colour, of a legend file beside the masks; empty if there is none.

    It lies in the masks' folder, in the one above, or above that.

    Raises
    ------
    InputError
        If it is malformed.
    """
    for folder in (where, where.parent, where.parent.parent):
        for name in LEGENDS:
            path = folder / name
            if folder.is_dir() and path.is_file():
                try:
                    return _numbered(parse_legend(path))
                except MALFORMED as error:
                    raise InputError(
                        f"{path}: expected names and colours, got something malformed ({error})"
                    ) from error
    return {}


def parse_legend(path: Path) -> list[tuple[str, int]]:
    """Return names and packed colours of a legend, in its order.

    JSON ``{"name": "#rrggbb" or [r, g, b]}`` or a list of objects with name and color; CVAT's
    ``labelmap.txt``; CSV ``name,r,g,b``; text ``r g b name`` as CamVid's.
    """
    text = read_bytes(path).decode("utf-8-sig")
    if path.suffix == ".json":
        return _of_json(json.loads(text))
    entries = []
    for row in csv.reader(text.splitlines()) if path.suffix == ".csv" else _rows(text):
        parts = [part.strip() for part in row if part.strip()]
        numbers = [int(part) for part in parts if re.fullmatch(r"[0-9]{1,3}", part)][:3]
        words = [part for part in parts if not re.fullmatch(r"[0-9]+", part)]
        if len(numbers) == 3 and words:
            entries.append((words[0], _pack(numbers)))
    if not entries:
        raise ValueError("no line with a name and red, green, blue")
    return entries


def _rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [re.split(r"[:,;\s]+", line) for line in lines]


def _of_json(content: Any) -> list[tuple[str, int]]:
    if isinstance(content, Mapping):
        return [(str(name), _pack(colour)) for name, colour in content.items()]
    return [
        (str(entry.get("name", "")), _pack(entry.get("color", entry.get("colour"))))
        for entry in content
    ]


def _pack(colour: Any) -> int:
    if isinstance(colour, str):
        if not re.fullmatch(r"#?[0-9a-fA-F]{6}", colour):
            raise ValueError(f"expected a colour as #rrggbb, got {colour!r}")
        return int(colour.removeprefix("#"), 16)
    red, green, blue = (int(v) for v in colour)
    if not all(0 <= v <= 255 for v in (red, green, blue)):
        raise ValueError(f"expected red, green and blue in 0-255, got {colour!r}")
    return red << 16 | green << 8 | blue


def _numbered(entries: list[tuple[str, int]]) -> Named:
    """Return labels by colour: in the legend's order from 1, the background 0."""
    named: Named = {}
    label = 0
    has_name = any(name.casefold() in BACKGROUND_NAMES for name, _ in entries)
    for name, colour in entries:
        is_background = name.casefold() in BACKGROUND_NAMES if has_name else colour == 0
        if is_background:
            named[colour] = (0, name)
        else:
            label += 1
            named[colour] = (label, name)
    return named


def name_of(colour: int) -> str:
    """Return a packed colour as #rrggbb."""
    return f"#{colour:06x}"
