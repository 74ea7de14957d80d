"""Layouts of label sets that training code reads: folders of pictures and labels."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from stages.media.label_sets.clip_folder import LABELS, PICTURES, SOFT, SURE, write_picture
from stages.media.masks.palette import read_labels

SPLITS = ("train", "val")
QUALITY = 95  # of JPEG where a layout wants it and the pictures are PNG


@dataclass(frozen=True)
class Sample:
    """A frame with its labels, as a clip's folder of pseudo-labels holds them.

    Attributes
    ----------
    clip : str
        Name of the clip, made fit for files; see `plain_name`.
    stem : str
        The frame's number, as its files are called.
    split : "train" or "val"
    folder : Path
        Of the clip's pseudo-labels.
    size : (H, W)
    record : dict
        Where it comes from: clip, frame, timestamp; plain JSON values.
    """

    clip: str
    stem: str
    split: str
    folder: Path
    size: tuple[int, int]
    record: dict[str, Any]

    @property
    def picture(self) -> Path:
        """The picture, JPEG or PNG."""
        jpeg = self.folder / PICTURES / f"{self.stem}.jpg"
        return jpeg if jpeg.exists() else jpeg.with_suffix(".png")

    @property
    def labels(self) -> Path:
        """The labels, indexed or 16-bit PNG."""
        return self.folder / LABELS / f"{self.stem}.png"

    @property
    def extras(self) -> dict[str, Path]:
        """Certainty, and the soft mask where there is one, by name of the part."""
        certainty = {SURE: self.folder / SURE / f"{self.stem}.png"}
        soft = self.folder / SOFT / f"{self.stem}.npz"
        return certainty | ({SOFT: soft} if soft.exists() else {})


def plain_name(name: str, *, also_allowed: str = "_-") -> str:
    """Return a clip's name of letters, digits and `also_allowed` alone, unique for every name.

    What had to be changed ends in the first digits of the name's SHA-256.
    """
    plain = re.sub(f"[^A-Za-z0-9{re.escape(also_allowed)}]+", "-", name)[:80]
    if plain == name:
        return name
    return f"{plain.strip('-') or 'clip'}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"


class Layout:
    """Takes sample after sample, clip by clip, and writes them below `root`."""

    name: ClassVar[str]
    suffix: ClassVar[str] = ""  # that pictures must have; empty: as they are
    label_copies: ClassVar[int] = 1

    def __init__(self, root: Path, *, shard: int) -> None:
        self.root, self.shard = root, shard

    def add(self, sample: Sample) -> None:
        """Write a sample."""
        raise NotImplementedError

    def finish(self) -> None:
        """Write what needs all samples."""

    def close(self) -> None:
        """Let go of open files, finished or not."""

    def put_picture(self, sample: Sample, stem: str) -> str:
        """Write the picture; return its path below the root, with its suffix."""
        source = sample.picture
        suffix = self.suffix or source.suffix
        target = self._make_folder(f"{stem}{suffix}")
        if source.suffix == suffix:
            shutil.copyfile(source, target)
        else:
            with Image.open(source) as picture:
                write_picture(target, picture, quality=QUALITY)
        return f"{stem}{suffix}"

    def put_labels(self, sample: Sample, path: str) -> None:
        """Copy the labels."""
        shutil.copyfile(sample.labels, self._make_folder(path))

    def put_extras(self, sample: Sample) -> None:
        """Copy certainty and soft masks to folders of their own, which no reader looks at."""
        for part, source in sample.extras.items():
            target = self._make_folder(f"{part}/{sample.clip}/{sample.stem}{source.suffix}")
            shutil.copyfile(source, target)

    def _make_folder(self, path: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def write_list(self, path: str, lines: list[str]) -> None:
        """Write a list, one entry a line."""
        self._make_folder(path).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


class Voc(Layout):
    """PASCAL VOC 2012, as torchvision and mmsegmentation read it."""

    name = "voc"
    suffix = ".jpg"
    BASE: ClassVar[str] = "VOCdevkit/VOC2012"

    def __init__(self, root: Path, *, shard: int) -> None:
        super().__init__(root, shard=shard)
        self._lists: dict[str, list[str]] = {split: [] for split in SPLITS}

    def add(self, sample: Sample) -> None:
        """Write a sample."""
        stem = f"{sample.clip}_{sample.stem}"
        self.put_picture(sample, f"{self.BASE}/JPEGImages/{stem}")
        self.put_labels(sample, f"{self.BASE}/SegmentationClass/{stem}.png")
        self.put_extras(sample)
        self._lists[sample.split].append(stem)

    def finish(self) -> None:
        """Write the lists of both splits, and of all."""
        everything = sorted(stem for stems in self._lists.values() for stem in stems)
        for split, stems in {**self._lists, "trainval": everything}.items():
            self.write_list(f"{self.BASE}/ImageSets/Segmentation/{split}.txt", stems)


class Cityscapes(Layout):
    """Cityscapes: a clip is a city; labels are grey, the same as ids and as training ids."""

    name = "cityscapes"
    suffix = ".png"
    label_copies = 2

    def add(self, sample: Sample) -> None:
        """Write a sample."""
        city = plain_name(sample.clip, also_allowed="-")
        city_folder, stem = f"{sample.split}/{city}", f"{city}_000000_{int(sample.stem):06d}"
        self.put_picture(sample, f"leftImg8bit/{city_folder}/{stem}_leftImg8bit")
        grey = grey_png(sample.labels)
        for kind in ("labelIds", "labelTrainIds"):
            self._make_folder(f"gtFine/{city_folder}/{stem}_gtFine_{kind}.png").write_bytes(grey)
        self.put_extras(sample)


class Davis(Layout):
    """DAVIS 2017; ``480p`` is the folder's name, whatever the size."""

    name = "davis"
    suffix = ".jpg"

    def __init__(self, root: Path, *, shard: int) -> None:
        super().__init__(root, shard=shard)
        self._clips: dict[str, list[str]] = {split: [] for split in SPLITS}

    def add(self, sample: Sample) -> None:
        """Write a sample."""
        self.put_picture(sample, f"JPEGImages/480p/{sample.clip}/{sample.stem}")
        self.put_labels(sample, f"Annotations/480p/{sample.clip}/{sample.stem}.png")
        self.put_extras(sample)
        if sample.clip not in self._clips[sample.split][-1:]:
            self._clips[sample.split].append(sample.clip)

    def finish(self) -> None:
        """Write the lists of clips."""
        for split, clips in self._clips.items():
            self.write_list(f"ImageSets/2017/{split}.txt", clips)


def grey_png(path: Path) -> bytes:
    """Return labels as a PNG without colours, of 8 bits or, with labels over 255, of 16."""
    labels = read_labels(path)
    small = labels if labels.max(initial=0) > 255 else labels.astype("uint8")
    encoded = io.BytesIO()
    Image.fromarray(small).save(encoded, format="PNG")
    return encoded.getvalue()
