"""Names of masks and frames: the numbers in them, and what makes their match doubtful."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pipeline.errors import InputError

ROBOFLOW = re.compile(r"(_(jpe?g|png|bmp|webp|tiff?))?\.rf\.[0-9A-Za-z]+(?=_mask$|$)", re.I)
MOST_NAMED = 5  # names or numbers that a message lists


@dataclass(frozen=True)
class MaskNames:
    """The names of masks and of the footage's frames, and for messages where the masks are."""

    where: Path
    masks: tuple[str, ...]
    frames: tuple[str, ...]
    count: int  # of frames

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the masks without folders and endings."""
        return tuple(file_stem(name) for name in self.masks)


def check_offset(known: MaskNames, matched: Mapping[int, int]) -> None:
    """Refuse names that go on beyond the frames' where there are as many masks as frames.

    Then masks may count from another number than frames, and all but one agree by accident.
    """
    spare = sorted(set(range(len(known.masks))) - set(matched.values()))
    if not spare or len(known.masks) != known.count:
        return
    if spare not in (list(range(len(spare))), list(range(known.count - len(spare), known.count))):
        return  # strangers amid the row are no sign of another count
    numbers = numbers_in([known.stems[k] for k in range(known.count)])
    if len(numbers) < 2 or numbers[-1] - numbers[0] != known.count - 1:
        return
    raise InputError(
        f"{known.where}: as many masks as frames, {known.masks[0]} to {known.masks[-1]} for "
        f"{known.frames[0]} to {known.frames[-1]}: they may count from different numbers (set "
        f"segment.first={numbers[0]}), or {some_names([known.masks[k] for k in spare])} may "
        f"belong to no frame: then remove {'them' if len(spare) > 1 else 'it'}"
    )


def check_objects(known: MaskNames) -> None:
    """Refuse several masks a frame, whose names end in the object's number or name.

    Raises
    ------
    InputError
        That says how to lay them out.
    """
    counts = Counter(re.sub(r"[._\- ]+[^._\- ]+$", "", stem) for stem in known.stems)
    each = set(counts.values())
    if len(counts) != known.count or len(each) != 1 or each == {1}:
        return
    first = next(iter(counts))
    names = [name for name in known.masks if name.startswith(first)][: each.pop()]
    raise InputError(
        f"{known.where}: {len(names)} masks a frame ({some_names(names)}): put those of each "
        "object or class into a folder of its own, named after it, or keep one a frame"
    )


def stride_hint(matched: Mapping[int, int], frames: int) -> str:
    """Return a hint that masks in a row may be of every 2nd, 3rd … frame, where that fits."""
    count, stride = len(matched), -(-frames // len(matched))
    if stride < 2 or -(-frames // stride) != count or sorted(matched) != list(range(count)):
        return ""
    return (
        f"; {count} masks would also fit every {ordinal(stride)} frame: if they are of those, "
        "name them by the frames' numbers"
    )


def gap_note(known: MaskNames, matched: Mapping[int, int]) -> str:
    """Return a note where numbers of masks that were taken in order have gaps in a row of ones."""
    stems = [known.stems[k] for _, k in sorted(matched.items())]
    steps = [b - a for a, b in pairwise(numbers_in(stems))]
    gaps = [stems[k] for k, step in enumerate(steps) if step > 1]
    if not gaps or steps.count(1) * 2 < len(steps) or set(steps) == {1}:
        return ""
    return (
        f"the numbers in names jump after {some_names(gaps)}, and there are as many masks as "
        "frames: they are taken in order"
    )


def check_names_differ(known: MaskNames) -> None:
    """Refuse two masks of one name, and none at all."""
    if not known.masks:
        raise InputError(f"{known.where}: expected masks, found none")
    stem, times = Counter(known.stems).most_common(1)[0]
    if times > 1:
        raise InputError(f"{known.where}: expected one mask a frame, got {times} named {stem!r}")


def numbers_in(stems: Sequence[str]) -> tuple[int, ...]:
    """Return the number in each name: the last that grows from name to name; () if none does."""
    columns = (reversed(re.findall(r"[0-9]+", stem)) for stem in stems)
    for texts in zip(*columns, strict=False):
        column = tuple(map(int, texts))
        if all(a < b for a, b in pairwise(column)):
            return column
    return ()


def file_stem(name: str) -> str:
    r"""Return a file's name without folders and ending, and without what Roboflow puts after it.

    Separators of Windows count too.

    >>> file_stem("day2\\\\00007_jpg.rf.45c48cce2e2d7fbdea1afc51c7c6ad26.jpg")
    '00007'
    """
    return ROBOFLOW.sub("", Path(name.replace("\\", "/")).stem)


def ordinal(number: int) -> str:
    """Return a number as 2nd, 3rd, 4th."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"


def some_names(items: Sequence[object]) -> str:
    """Return the first few of some names or numbers as a text."""
    return ", ".join(map(str, items[:MOST_NAMED])) + (", …" if len(items) > MOST_NAMED else "")
