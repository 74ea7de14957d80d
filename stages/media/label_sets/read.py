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
from stages.media.label_sets.layouts import Voc
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
    pictures, labels : dict of int to Path
        By number of frame.
    """

    name: str
    held_out: bool = False
    pictures: dict[int, Path] = field(default_factory=dict)
    labels: dict[int, Path] = field(default_factory=dict)

    def latest_picture(self, frame: int) -> Path:
        """Return the picture of a frame; where it has none, of the last before it, or the first."""
        earlier = [number for number in self.pictures if number <= frame]
        return self.pictures[max(earlier, default=min(self.pictures))]


def read_label_set(root: Path) -> list[LabelledClip]:
    """Return the clips of a set in one of the layouts davis, voc and cityscapes.

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
            f"{root}: expected a label set of layout davis, voc or cityscapes, with one of the "
            f"folders {', '.join(_READERS)}, got none of them: write one with run_pipeline.py "
            "labels OUT --layout davis --to SET"
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


def read_label_picture(path: Path, size: tuple[int, int]) -> NDArray[np.uint16]:
    """Return the labels of a frame of `size` (H, W).

    Raises
    ------
    InputError
        If they cannot be read or are of another size.
    """
    try:
        labels = read_labels(path)
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{path}: expected labels as a PNG: {error}") from error
    if labels.shape != size:
        raise InputError(
            f"{path}: expected labels (H, W) = {size} as the picture's, got {labels.shape}: "
            "make both of one size"
        )
    return labels


def _davis_clips(root: Path) -> Iterator[LabelledClip]:
    held_out = _listed_names(root / "ImageSets/2017/val.txt")
    for folder in _folders(root / "Annotations/480p"):
        clip = LabelledClip(folder.name, folder.name in held_out)
        clip.labels = _numbered_files(folder, (".png",))
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
            for source, paths in ((folder, clip.labels), (pictures, clip.pictures)):
                for path in _files(source, (".png",)):
                    if match := pattern.search(path.name):
                        paths[int(match[1])] = path
            yield clip


_READERS: dict[str, Callable[[Path], Iterator[LabelledClip]]] = {
    "Annotations/480p": _davis_clips,
    f"{Voc.BASE}/SegmentationClass": _voc_clips,
    "gtFine": _cityscapes_clips,
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
