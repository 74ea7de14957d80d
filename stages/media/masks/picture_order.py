"""Which picture of an annotation file belongs to which frame of the footage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import InputError
from stages.media.footage.timeline import natural_key
from stages.media.masks.frame_matching import FrameMatch, complete_match, match_frames
from stages.media.masks.mask_names import file_stem, numbers_in, some_names

if TYPE_CHECKING:
    from stages.media.masks.contract import AnnotatedFrame, FootageFacts, ReadingChoices

ID_NAME = "image_id {}"


def match_pictures(
    path: Path,
    frames: Sequence[AnnotatedFrame],
    footage: FootageFacts,
    choices: ReadingChoices,
    *,
    named_by_id: bool = False,
) -> FrameMatch:
    """Return which of a video's pictures each frame of the footage has.

    The numbers that a format gives its frames decide; then names, as those of masks in a folder.
    Ids in place of names are numbers that may count from 1 where frames count from 0, and need
    not follow time.

    Parameters
    ----------
    path : Path
        For messages.
    frames : sequence of AnnotatedFrame
        In the file's order.
    footage : FootageFacts
    choices : ReadingChoices
    named_by_id : bool
        Whether names are ids.

    Raises
    ------
    InputError
        If frames have no picture, or names and ids leave several readings.
    """
    names = [frame.name for frame in frames]
    numbers = [frame.number for frame in frames]
    if not any(names) and len(frames) != footage.frames and set(numbers) == {None}:
        raise InputError(
            f"{path}: expected {footage.frames} annotated frames, as many as the footage has, got "
            f"{len(frames)}: no names or numbers of frames say which"
        )
    if not any(names):
        numbers = list(range(len(frames))) if set(numbers) == {None} else numbers
    if any(number is not None for number in numbers):
        return _match_by_number(path, names, numbers, footage, choices)
    order = sorted(range(len(names)), key=lambda k: natural_key(names[k]))
    sorted_names = [names[k] for k in order]
    if choices.first is None and len(names) == footage.frames and order != sorted(order):
        _check_order(path, names, sorted_names, footage, named_by_id=named_by_id)
    frame_names = footage.frame_names
    if named_by_id:
        sorted_names = [ID_NAME.format(name) for name in sorted_names]
        counted = numbers_in([file_stem(name) for name in frame_names])
        if counted[:1] == (0,):
            frame_names = ()  # equal numbers say nothing: ids usually count from 1
    match = match_frames(
        path, sorted_names, footage.frames, frame_names, choices.missing, first=choices.first
    )
    chosen = tuple(None if k is None else order[k] for k in match.chosen)
    return FrameMatch(chosen, match.left_out, match.notes, match.words)


def _check_order(
    path: Path,
    names: Sequence[str],
    sorted_names: Sequence[str],
    footage: FootageFacts,
    *,
    named_by_id: bool,
) -> None:
    """Refuse pictures whose order in the file and order of names differ, and no name says which."""
    stems = [file_stem(name) for name in sorted_names]
    frame_stems = [file_stem(name) for name in footage.frame_names]
    numbers = numbers_in(stems)
    if set(stems) & set(frame_stems) or (numbers and not named_by_id):
        return
    follow = bool(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1
    if follow or (numbers and set(numbers) <= set(numbers_in(frame_stems))):
        return
    kind = "image ids" if named_by_id else "names without numbers"
    raise InputError(
        f"{path}: {len(names)} pictures with {kind} for as many frames, in the file as "
        f"{some_names(names)}, sorted as {some_names(sorted_names)}: either may be the order of "
        "time: number the ids by frames from 0, or give the pictures the names of the frames"
    )


def _match_by_number(
    path: Path,
    names: Sequence[str],
    numbers: Sequence[int | None],
    footage: FootageFacts,
    choices: ReadingChoices,
) -> FrameMatch:
    """Return the match of pictures whose format says the numbers of frames."""
    inside: dict[int, int] = {}
    left_out = []
    for k, number in enumerate(numbers):
        if number is not None and 0 <= number < footage.frames and number not in inside:
            inside[number] = k
        else:
            left_out.append(names[k] or f"frame {number}")
    if not inside:
        raise InputError(f"{path}: expected frames 0 to {footage.frames - 1}, got {left_out[:3]}")
    shown = [name or f"frame {number}" for name, number in zip(names, numbers, strict=True)]
    return complete_match(
        path, shown, inside, footage.frames, choices.missing, left_out=tuple(left_out),
        reading="numbers in the file",
    )  # fmt: skip
