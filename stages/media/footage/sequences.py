"""Which pictures of a folder are the frames of a clip, and in which order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from stages.media.footage.pictures import SUFFIXES

DIGITS = re.compile(r"[0-9]+")
PLACEHOLDER = re.compile(r"#+|%0?[0-9]*d")  # shot.####.exr, shot.%04d.exr


@dataclass
class Grouping:
    """A folder's pictures, sorted into sequences.

    Attributes
    ----------
    sequences : dict of str to list of str
        By pattern, such as ``shot.#.exr``; in natural order. One without a pattern, under "", is
        the folder itself.
    strays : list of str
        That belong to none.
    problem : str
        Why the folder cannot be read as sequences; empty if it can.
    """

    sequences: dict[str, list[str]] = field(default_factory=dict)
    strays: list[str] = field(default_factory=list)
    problem: str = ""


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts frame9 before frame10."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def is_picture(name: str) -> bool:
    """Return whether a file is a picture by its name; hidden ones are not."""
    return _split_suffix(name)[1].lower() in SUFFIXES and not name.startswith(".")


def _split_suffix(name: str) -> tuple[str, str]:
    """Return stem and suffix of a file name; a path object for each of many files costs more."""
    dot = name.rfind(".")
    return (name[:dot], name[dot:]) if dot > 0 else (name, "")


def is_pictures(path: Path) -> bool:
    """Return whether a clip's path stands for pictures: a folder, a pattern, or one picture."""
    return path.suffix.lower() in SUFFIXES or path.is_dir()


def frame_files(path: Path) -> list[Path]:
    """Return the frames of a clip of pictures, in natural order.

    Parameters
    ----------
    path : Path
        A folder, of whose pictures those that belong to no sequence are left out; a pattern such
        as ``folder/shot.####.exr``, whose ``#`` stand for any number of digits; or one picture.
    """
    if path.is_dir():
        names = [entry.name for entry in path.iterdir() if is_picture(entry.name)]
        chosen = group_pictures(names).sequences.get("", names)
        return [path / name for name in sorted(chosen, key=natural_key)]
    if path.exists() or not PLACEHOLDER.search(path.name) or not path.parent.is_dir():
        return [path] if path.exists() else []
    fits = pattern_of(path)
    files = [file for file in path.parent.iterdir() if fits.fullmatch(file.name)]
    return sorted(files, key=lambda file: natural_key(file.name))


def pattern_of(path: Path) -> re.Pattern[str]:
    """Return the names that a pattern such as ``shot.####.exr`` or ``shot.%04d.exr`` stands for."""
    texts = map(re.escape, PLACEHOLDER.split(path.name))
    return re.compile("[0-9]+".join(texts), re.IGNORECASE)


def is_pattern(path: Path) -> bool:
    """Return whether a path that does not exist is a pattern of pictures."""
    return bool(PLACEHOLDER.search(path.name)) and is_picture(path.name) and not path.exists()


def group_pictures(names: Iterable[str]) -> Grouping:
    """Return the sequences in a folder's pictures.

    Names belong together where they differ in one number only. A folder of one sequence is that
    clip, and single pictures of other names in it are strays. Where names differ in the rest too,
    as in ``shotA.0001.exr`` and ``shotB.0001.exr``, each such name is a sequence. Without any
    number that tells, or with more single names than numbered ones, all are one sequence.
    """
    every = sorted(names, key=natural_key)
    if not every:
        return Grouping()
    groups = _fewest_groups(every)
    single = [name for members in groups.values() if len(members) == 1 for name in members]
    large = {pattern: members for pattern, members in groups.items() if len(members) > 1}
    if not large or len(single) > len(every) / 2 or _only_digits_differ(large):
        return Grouping({"": every})
    clash = _same_names(large)
    if clash:
        return Grouping({}, single, clash)
    if len({Path(pattern).stem for pattern in large}) == 1:  # of several kinds, perhaps
        chosen = sorted((name for members in large.values() for name in members), key=natural_key)
        return Grouping({"": chosen}, single)
    return Grouping(large, single)


def _fewest_groups(names: Sequence[str]) -> dict[str, list[str]]:
    """Return names by pattern, the number that is left open being that with fewest patterns."""
    runs = max(len(DIGITS.findall(_split_suffix(name)[0])) for name in names)
    choices = []
    for position in range(1, max(runs, 1) + 1):
        groups: dict[str, list[str]] = defaultdict(list)
        for name in names:
            groups[_name_pattern(name, position)].append(name)
        choices.append(groups)
        if len(groups) == 1:
            break
    return min(choices, key=len)


def _name_pattern(name: str, position: int) -> str:
    """Return a name with its number at `position`, counted from the end, left open."""
    stem, suffix = _split_suffix(name)
    numbers = list(DIGITS.finditer(stem))
    if len(numbers) < position:
        return name
    number = numbers[-position]
    return f"{stem[: number.start()]}#{stem[number.end() :]}{suffix.lower()}"


def _only_digits_differ(groups: dict[str, list[str]]) -> bool:
    """Return whether many short sequences are rather one: 1_1, 1_2, 2_1, 2_2, …."""
    if len(groups) == 1:
        return False
    rest = {DIGITS.sub("", pattern) for pattern in groups}
    return len(rest) == 1 and len(groups) >= min(map(len, groups.values()))


def _same_names(groups: dict[str, list[str]]) -> str:
    """Return the problem where one name stands for two pictures: 0001.jpg and 0001.png."""
    times: dict[str, str] = {}
    for members in groups.values():
        for name in members:
            other = times.setdefault(Path(name).stem, name)
            if other != name:
                return (
                    f"{other} and {name} would be the same frame: move one kind away, or name one "
                    "as FOOTAGE, such as FOLDER/####.jpg"
                )
    return ""


def sequence_name(pattern: str) -> str:
    """Return the name of a clip from its pattern: ``shot`` for ``shot.#.exr``."""
    return PLACEHOLDER.sub("", Path(pattern).stem).strip(" ._-") or "frames"


def is_gapless(names: Sequence[str]) -> bool:
    """Return whether the number that differs from name to name grows by one."""
    columns = zip(*(map(int, DIGITS.findall(Path(name).stem)) for name in names), strict=False)
    return any(all(b - a == 1 for a, b in pairwise(column)) for column in columns)
