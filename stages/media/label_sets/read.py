"""Label sets read back: clips of pictures, some with labels, in frame order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pipeline.errors import InputError
from stages.media.label_sets.run_lengths import RunLengthLabels, read_run_lengths
from stages.media.label_sets.set_layouts import Voc
from stages.media.masks.palette import read_labels

PICTURES = (".jpg", ".jpeg", ".png")
TRAIN, VAL = "train", "val"


@dataclass
class LabelledClip:
    """A clip of a label set.

    Attributes
    ----------
    name : str
    held_out : bool
        Whether the set has it among those to validate on.
    pictures : dict of int to Path
        By number of frame.
    labels : dict of int to Path or RunLengthLabels
        By number of frame.
    """

    name: str
    held_out: bool = False
    pictures: dict[int, Path] = field(default_factory=dict)
    labels: dict[int, Path | RunLengthLabels] = field(default_factory=dict)

    def latest_picture(self, frame: int) -> Path:
        """Return the picture of a frame; where it has none, of the last before it, or the first."""
        earlier = [number for number in self.pictures if number <= frame]
        return self.pictures[max(earlier, default=min(self.pictures))]


def read_label_set(root: Path) -> list[LabelledClip]:
    """Return the clips of a set in one of the layouts davis, voc, cityscapes and coco.

    Raises
    ------
    InputError
        If there is none of them, it has no labels, or a label's picture is missing.
    """
    for marker, clips_of in _READERS.items():
        if (root / marker).is_dir():
            clips = [clip for clip in clips_of(root) if clip.labels]
            break
    else:
        raise InputError(
            f"{root}: expected a label set of layout davis, voc, cityscapes or coco, with one "
            f"of the folders {', '.join(_READERS)}, got none of them: write one with "
            "run_pipeline.py labels OUT --layout davis --to SET"
        )
    if not clips:
        raise InputError(f"{root}: expected label pictures, found none: see run_pipeline.py labels")
    for clip in clips:
        for number, path in clip.labels.items():
            if number not in clip.pictures:
                raise InputError(
                    f"{path}: expected the picture of frame {number} of {clip.name} beside it in "
                    "the set, found none: add it, or take the label away"
                )
    return clips


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return a picture as RGB (H, W, 3).

    Raises
    ------
    InputError
    """
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{path}: expected a picture that can be read: {error}") from error


def read_label_picture(path: Path | RunLengthLabels, size: tuple[int, int]) -> NDArray[np.uint16]:
    """Return the labels of a frame of `size` (H, W), from a picture or from run lengths.

    Raises
    ------
    InputError
        If they cannot be read or are of another size.
    """
    if isinstance(path, RunLengthLabels):
        _check_size(path, path.size, size)  # before anything of this size is made
        return path.decode()
    try:
        labels = read_labels(path)
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{path}: expected labels as a PNG: {error}") from error
    _check_size(path, labels.shape, size)
    return labels


def _check_size(
    path: Path | RunLengthLabels, shape: tuple[int, ...], size: tuple[int, int]
) -> None:
    if shape != size:
        raise InputError(
            f"{path}: expected labels (H, W) = {size} as the picture's, got {shape}: "
            "make both of one size"
        )


def _davis_clips(root: Path) -> Iterator[LabelledClip]:
    held_out = _listed_names(root / "ImageSets/2017/val.txt")
    for folder in _folders(root / "Annotations/480p"):
        clip = LabelledClip(folder.name, folder.name in held_out)
        clip.labels |= _numbered_files(folder, (".png",))
        clip.pictures = _numbered_files(root / "JPEGImages/480p" / folder.name, PICTURES)
        yield clip


def _voc_clips(root: Path) -> Iterator[LabelledClip]:
    base = root / Voc.BASE
    held_out = _listed_names(base / "ImageSets/Segmentation/val.txt")
    clips: dict[str, LabelledClip] = {}
    for part in ("labels", "pictures"):
        folder = base / ("SegmentationClass" if part == "labels" else "JPEGImages")
        for path in _files(folder, (".png",) if part == "labels" else PICTURES):
            name, _, number = path.stem.rpartition("_")
            if number.isdecimal():
                clip = clips.setdefault(name, LabelledClip(name, path.stem in held_out))
                getattr(clip, part)[int(number)] = path
    yield from clips.values()


def _cityscapes_clips(root: Path) -> Iterator[LabelledClip]:
    pattern = re.compile(r"_(\d+)_(?:leftImg8bit|gtFine_labelIds)\.png$")
    for split in (TRAIN, VAL):
        for folder in _folders(root / "gtFine" / split):
            clip = LabelledClip(folder.name, split == VAL)
            pictures = root / "leftImg8bit" / split / folder.name
            clip.labels |= _matching_files(folder, pattern)
            clip.pictures |= _matching_files(pictures, pattern)
            yield clip


def _matching_files(folder: Path, pattern: re.Pattern[str]) -> dict[int, Path]:
    matches = ((pattern.search(path.name), path) for path in _files(folder, (".png",)))
    return {int(match[1]): path for match, path in matches if match}


def _coco_clips(root: Path) -> Iterator[LabelledClip]:
    clips: dict[tuple[bool, str], LabelledClip] = {}
    for held_out, labels in read_run_lengths(root):
        name, _, number = labels.picture.stem.rpartition("_")
        if number.isdecimal():
            clip = clips.setdefault((held_out, name), LabelledClip(name, held_out))
            clip.labels[int(number)] = labels
            if labels.picture.exists():
                clip.pictures[int(number)] = labels.picture
    yield from clips.values()


_READERS: dict[str, Callable[[Path], Iterator[LabelledClip]]] = {
    "Annotations/480p": _davis_clips,
    f"{Voc.BASE}/SegmentationClass": _voc_clips,
    "gtFine": _cityscapes_clips,
    "annotations": _coco_clips,
}


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)


def _numbered_files(folder: Path, suffixes: tuple[str, ...]) -> dict[int, Path]:
    return {int(p.stem): p for p in _files(folder, suffixes) if p.stem.isdecimal()}


def _listed_names(path: Path) -> set[str]:
    return set(path.read_text(encoding="utf-8").split()) if path.exists() else set()
