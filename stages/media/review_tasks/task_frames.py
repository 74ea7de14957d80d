"""The frames of a task: their pictures, their masks as they are, and what a tool calls both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.footage.sequences import frame_files
from stages.media.footage.timeline import Timeline
from stages.media.footage.video import read_frames
from stages.media.masks.frame_matching import source_frame_name
from stages.media.masks.legend import PLAIN_NAME, plain_label
from stages.media.masks.palette import read_labels


@dataclass(frozen=True)
class TaskFrame:
    """A frame to look at.

    Attributes
    ----------
    name : str
        File name of its picture, by which its key frame finds its place again.
    picture : ndarray, shape (H, W, 3), uint8
        RGB, at the source's size.
    labels : ndarray, shape (H, W), uint16
        The masks as they are now.
    reasons : tuple of str
        What is wrong with it, in words.
    """

    name: str
    picture: NDArray[np.uint8]
    labels: NDArray[np.uint16]
    reasons: tuple[str, ...]


def read_task_frames(
    footage: Path, timeline: Timeline, masks: Path, wanted: Mapping[int, Sequence[str]]
) -> Iterator[TaskFrame]:
    """Yield the frames wanted, in order.

    Parameters
    ----------
    footage : Path
    timeline : Timeline
    masks : Path
        Folder with the labels of every frame, as a run writes them.
    wanted : mapping of int to sequence of str
        Reasons by frame, counted from 0.

    Raises
    ------
    InputError
        If there are not as many masks as frames, or a frame that is wanted is beyond the last.
    """
    files = frame_files(masks) if masks.is_dir() else []
    if len(files) != timeline.frames:
        raise InputError(
            f"{masks}: expected the masks of all {timeline.frames} frames, found {len(files)}: "
            "run the clip with format png, and without export.frames"
        )
    if max(wanted) >= timeline.frames:
        raise InputError(
            f"{footage}: expected a frame {max(wanted)}, as the run had, found "
            f"{timeline.frames} frames: is this the footage of that run?"
        )
    for frame in sorted(wanted):
        picture = next(iter(read_frames(footage, timeline, frames=(frame, frame + 1))))
        labels = read_labels(files[frame]).astype(np.uint16)
        if labels.shape != picture.shape[:2]:
            (rows, columns), (high, wide) = picture.shape[:2], labels.shape
            raise InputError(
                f"{files[frame]}: expected {columns} x {rows} as {footage}, got {wide} x {high}: "
                "is this the footage of that run?"
            )
        name = picture_file_name(timeline, frame)
        yield TaskFrame(name, picture, labels, tuple(wanted[frame]))


def picture_file_name(timeline: Timeline, frame: int) -> str:
    """Return the name of a frame's picture: as the source calls it, or by number in a video."""
    if not timeline.names:
        return f"{source_frame_name(frame)}.jpg"
    return f"{Path(timeline.names[frame]).stem}.jpg"


def task_labels(classes: Sequence[int], names: Mapping[int, str]) -> dict[int, str]:
    """Return the name of each class in a tool, by which key frames are read back.

    A class without a name, or with one that another class has too, is called by its number.

    Examples
    --------
    >>> task_labels([1, 2, 5], {1: "dog", 2: "dog", 5: "cat"})
    {1: 'class 1', 2: 'class 2', 5: 'cat'}
    """
    used = [names.get(label, "") for label in classes]
    return {
        label: name
        if name and used.count(name) == 1 and plain_label(name) is None
        else PLAIN_NAME.format(label)
        for label, name in zip(classes, used, strict=True)
    }
