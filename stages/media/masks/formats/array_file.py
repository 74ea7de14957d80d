"""Masks of a clip in one NumPy file."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import InputError
from stages.media.masks.arrays import ArrayMasks, list_members
from stages.media.masks.class_arrays import ClassArrays
from stages.media.masks.contract import (
    BY_NAME,
    NOT_MINE,
    Confidence,
    FootageFacts,
    MaskReader,
    ReadingChoices,
)
from stages.media.masks.folder import FolderMasks
from stages.media.masks.mask_pictures import MaskFile
from stages.media.masks.sizes import same_shape
from stages.media.masks.source import Known, MaskSource


class ArrayFile(MaskReader):
    """See `stages.media.masks.arrays`."""

    name = "array"
    format = (
        "one .npy or .npz for the clip: labels (T, H, W), soft masks (T, H, W) or (T, C, H, W), "
        "objects (T, N, H, W); or a .npz with one array a frame, frames or their numbers as keys, "
        "or one array a class"
    )
    recognised_by = "the ending"
    ambiguity = (
        "8-bit integers as in grey pictures: `segment.kind`; as many objects as frames is "
        "refused; of several arrays `segment.video` names one"
    )
    suffixes = frozenset({".npy", ".npz"})

    def recognise(self, path: Path) -> Confidence:
        """Return whether the ending fits."""
        return BY_NAME if path.suffix.lower() in self.suffixes and path.is_file() else NOT_MINE

    def open(
        self,
        path: Path,
        footage: FootageFacts,
        choices: ReadingChoices,
        known: Known | None = None,
    ) -> MaskSource:
        """Return the masks of a clip."""
        if path.suffix.lower() != ".npz":
            return ArrayMasks(path, footage, choices, known)
        shapes = list_members(path)
        if len(shapes) < 2:
            return ArrayMasks(path, footage, choices, known)
        clips = [name for name, shape in shapes.items() if _is_clip(shape, footage)]
        wanted = [name for name in shapes if choices.video in (name, Path(name).stem)]
        if len(clips) == 1 or (wanted and choices.video):
            return ArrayMasks(path, footage, choices, known, member=(wanted or clips)[0])
        if clips and all(len(shapes[name]) == 3 for name in clips):
            return ClassArrays(path, clips, footage, choices, known)
        frames = [name for name, shape in shapes.items() if _is_frame(shape, footage)]
        if clips or not frames:
            listed = ", ".join(f"{Path(n).stem} {shape}" for n, shape in list(shapes.items())[:5])
            raise InputError(
                f"{path}: expected one array of all {footage.frames} frames, or one a frame, got "
                f"{len(shapes)} arrays ({listed}): set segment.video to the name of the one to read"
            )
        files = [MaskFile(path, name) for name in frames]
        return FolderMasks(path, files, footage, choices, known)


def _is_clip(shape: tuple[int, ...], footage: FootageFacts) -> bool:
    """Return whether an array has as many pictures as the footage frames."""
    pictures = len(shape) in (3, 4) and footage.frames in shape[:2]
    sides = (shape[-2:], shape[1:3]) if len(shape) == 4 else (shape[-2:],)
    return pictures and any(same_shape((s[0], s[1]), footage.size) for s in sides)


def _is_frame(shape: tuple[int, ...], footage: FootageFacts) -> bool:
    if len(shape) == 4 and 1 in shape[:2]:  # SAM 2 has (N, 1, H, W)
        shape = shape[2:]
    sides = (shape[-2:], shape[:2]) if len(shape) == 3 else (shape[-2:],)
    return len(shape) in (2, 3) and any(same_shape((s[0], s[1]), footage.size) for s in sides)


READERS = (ArrayFile(),)
