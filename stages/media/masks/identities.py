"""Masks whose numbers mean nothing from frame to frame, with one number an object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.masks.legend import Legend
from stages.media.masks.source import Known, MaskSource
from stages.ops.identities import ObjectMatcher
from stages.ops.object_views import number_changes

Numbers = dict[int, int]  # of a frame: from the label in the file to the object's number
CHECKED_FRAMES = 24
JUMPING_SHARE = 0.2  # of objects that change their number from frame to frame: they mean nothing
MOST_LISTED = 5


class MatchedMasks(MaskSource):
    """Labels of a clip, renumbered so that an object has the same label in all frames.

    Parameters
    ----------
    own : MaskSource
        With `MaskSource.categories_at` where categories are known.
    frames : int
    pictures : iterable of ndarray, (H, W, 3) uint8
        The footage, a frame a mask; read only where `known` is None.
    known : dict, optional
        `MatchedMasks.known` of the same masks.

    Raises
    ------
    InputError
        If the masks are soft: they have no numbers.
    """

    def __init__(
        self,
        own: MaskSource,
        frames: int,
        pictures: Iterable[NDArray[np.uint8]],
        known: Known | None = None,
    ) -> None:
        super().__init__(frames)
        self._own = own
        self.starts, self.names, self.timeline = own.starts, own.names, own.timeline
        self.absent, self.key_frames = own.absent, own.key_frames
        if own.legend.kind == "soft":
            raise InputError(
                "segment.objects=match: expected labels, one number an object, got soft masks: "
                "use segment.objects=given"
            )
        if known is not None:
            self.legend = Legend.from_json(known["legend"])
            self._numbers = [dict(map(tuple, pairs)) for pairs in known["numbers"]]
            return
        matcher = ObjectMatcher()
        numbers = [
            matcher.add_frame(picture, labels, own.categories_at(t))
            for t, (picture, labels) in enumerate(zip(pictures, own, strict=True))
        ]
        final = matcher.joined_numbers()
        self._numbers = [
            {label: final[number] for label, number in frame.items()} for frame in numbers
        ]
        categories = {final[track.number]: track.category for track in matcher.tracks}
        self.legend = Legend(
            "labels", tuple(sorted(categories)), names=_object_names(categories, own)
        )
        joints = [(t, [final[number] for number in pair]) for t, pair in matcher.joints]
        self.warnings = (*own.warnings, *_joint_notes(joints))
        self.reading = f"{own.reading}; matched through the clip: {len(categories)} objects"

    @property
    def known(self) -> Known:
        """See `MaskSource.known`."""
        from dataclasses import asdict

        return {
            "own": self._own.known,
            "legend": asdict(self.legend),
            "parts": [list(part) for part in pairwise((*self.starts, self._frames))],
            "numbers": [[list(pair) for pair in frame.items()] for frame in self._numbers],
        }

    def adopt_numbers(self, corrections: MaskSource) -> None:
        """Give objects the numbers that the user's own masks have for them, by overlap.

        Other objects get numbers that no mask of the user's has.

        Parameters
        ----------
        corrections : MaskSource
            Labels; all frames but the user's are among its `MaskSource.absent`.
        """
        if corrections.legend.kind == "soft":
            return
        shared: Counter[tuple[int, int]] = Counter()
        absent = set(corrections.absent)
        for t, (ours, theirs) in enumerate(zip(self, corrections, strict=True)):
            if t not in absent:
                both = (ours > 0) & (theirs > 0)
                shared.update(zip(ours[both].tolist(), theirs[both].tolist(), strict=True))
        final = numbers_by_overlap(shared, self.legend.classes, corrections.legend.classes)
        self._numbers = [
            {label: final[number] for label, number in frame.items()} for frame in self._numbers
        ]
        names = {final[number]: name for number, name in self.legend.names.items()}
        self.legend = Legend("labels", tuple(sorted(final.values())), names=names)

    def read(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """Yield the masks of frames `start` to `stop`; `start` is that of a part."""
        for t, labels in enumerate(self._own.read(start, stop), start=start):
            table = np.zeros(int(labels.max(initial=0)) + 1, np.uint16)
            for label, number in self._numbers[t].items():
                if label < len(table):
                    table[label] = number
            yield table[labels]


def numbers_by_overlap(
    shared: Mapping[tuple[int, int], int], ours: Sequence[int], theirs: Sequence[int]
) -> Numbers:
    """Return a new number for each of ours: theirs where they overlap most, else one of no mask.

    Parameters
    ----------
    shared : mapping of (our number, their number) to pixels
    ours, theirs : sequence of int

    Examples
    --------
    >>> numbers_by_overlap({(1, 7): 50, (2, 7): 20}, [1, 2], [3, 7])
    {1: 7, 2: 8}
    """
    if not ours or not theirs:
        return {number: number for number in ours}
    from scipy.optimize import linear_sum_assignment  # slow to import

    pixels = np.array([[shared.get((a, b), 0) for b in theirs] for a in ours])
    rows, columns = linear_sum_assignment(pixels, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    final = {ours[row]: theirs[column] for row, column in pairs if pixels[row, column]}
    unused = count(max(theirs) + 1)
    return {number: final[number] if number in final else next(unused) for number in ours}


def jumping_numbers_note(source: MaskSource, frames: int) -> tuple[str, ...]:
    """Return a note where objects seem to be numbered anew in every frame.

    Only the first frames of the clip are compared: whoever numbers objects anew does it everywhere.
    """
    if source.legend.kind == "soft" or len(source.legend.classes) < 2 or frames < 2:
        return ()
    changed = known = 0
    for before, after in pairwise(source.read(0, min(frames, CHECKED_FRAMES))):
        more, told = number_changes(before, after)
        changed, known = changed + more, known + told
    if changed <= JUMPING_SHARE * known:
        return ()
    return (
        f"{changed} of {known} times an object has another number in the next frame: if the "
        "numbers are objects, set segment.objects=match, or masks of different objects are mixed; "
        "if they are classes, segment.objects=off ends this note",
    )


def _object_names(categories: Mapping[int, int], own: MaskSource) -> dict[int, str]:
    """Return a name for each object of a named category: the category's, counted."""
    counted: Counter[int] = Counter()
    names = {}
    for number, category in sorted(categories.items()):
        counted[category] += 1
        name = own.category_names.get(category, "")
        if name:
            names[number] = f"{name} {counted[category]}"
    return names


def _joint_notes(joints: list[tuple[int, list[int]]]) -> tuple[str, ...]:
    """Return a note that names the frames in which one mask covers two objects."""
    if not joints:
        return ()
    listed = [f"frame {t} (objects {first} and {second})" for t, (first, second) in joints]
    more = f" and {len(listed) - MOST_LISTED} more" if len(listed) > MOST_LISTED else ""
    return (f"one mask covers two objects: {', '.join(listed[:MOST_LISTED])}{more}",)
