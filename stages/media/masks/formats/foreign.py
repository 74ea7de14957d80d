"""Files of other tools that hold masks in a form that is not read: refused by name, with advice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import InputError
from stages.media.masks.contract import (
    BY_CONTENT,
    BY_NAME,
    NOT_MINE,
    Confidence,
    FootageFacts,
    MaskReader,
    ReadingChoices,
)
from stages.media.masks.folder import list_mask_files
from stages.media.masks.json_files import read_start
from stages.media.masks.source import Known, MaskSource

NUMPY = "save the masks as .npy or .npz of labels (T, H, W), or as indexed PNG a frame"
PICTURES = "save the masks as PNG, TIFF or EXR"


@dataclass(frozen=True)
class ForeignFormat:
    """A format that is recognised, and what to do with it.

    Attributes
    ----------
    title : str
        Its name.
    suffixes : tuple of str
        Endings of its files.
    advice : str
        What to export or save instead.
    mark : pattern, optional
        What its files begin with; None: the ending says it all.
    """

    title: str
    suffixes: tuple[str, ...]
    advice: str
    mark: re.Pattern[bytes] | None = None


FORMATS = (
    ForeignFormat(
        "Darwin JSON of V7",
        (".json",),
        "export the data set as COCO, or as semantic masks",
        re.compile(rb'darwin_json|"version"\s*:\s*"2\.0"\s*,.*"item"\s*:\s*\{', re.S),
    ),
    ForeignFormat(
        "Supervisely JSON",
        (".json",),
        "export the project as COCO, or its masks as PNG (app Export as masks)",
        re.compile(rb'"geometryType"|"framesCount"\s*:.*"figures"|"classTitle"', re.S),
    ),
    ForeignFormat(
        "Scalabel JSON of BDD100K",
        (".json",),
        "convert it with python -m bdd100k.label.to_coco, or take the masks as PNG",
        re.compile(rb'"(videoName|frameIndex)"\s*:.*"labels"\s*:|"poly2d"\s*:', re.S),
    ),
    ForeignFormat(
        "JSON of the VGG Image Annotator",
        (".json",),
        "export the annotations as COCO",
        re.compile(rb'"(shape_attributes|_via_img_metadata)"\s*:'),
    ),
    ForeignFormat(
        "JSON-MIN of Label Studio",
        (".json",),
        "export as JSON, which keeps what each result is",
        re.compile(rb'^\s*\[\s*\{.*"annotation_id"\s*:|^\s*\[\s*\{.*"annotator"\s*:', re.S),
    ),
    ForeignFormat(
        "polygons of Cityscapes",
        (".json",),
        "take the pictures …_gtFine_labelIds.png, or …_instanceIds.png for objects",
        re.compile(rb'"imgHeight"\s*:.*"objects"\s*:', re.S),
    ),
    ForeignFormat(
        "KITTI MOTS text",
        (".txt",),
        "take its pictures of 16 bits (instances/), or convert the lines with mots_tools",
        re.compile(rb"^\d+ \d+ (1|2|10) \d+ \d+ \S+\r?\n"),
    ),
    ForeignFormat("HEIC", (".heic", ".heif"), f"{PICTURES}; mattes: as JPEG or PNG of their own"),
    ForeignFormat("AVIF", (".avif",), PICTURES),
    ForeignFormat("Photoshop documents", (".psd", ".psb"), PICTURES),
    ForeignFormat("DPX", (".dpx",), "DPX keeps no transparency and no labels: " + PICTURES),
    ForeignFormat("MATLAB files", (".mat",), NUMPY),
    ForeignFormat("HDF5", (".h5", ".hdf5"), NUMPY),
    ForeignFormat(
        "pickled Python objects",
        (".pkl", ".pickle", ".pt", ".pth"),
        f"they may run code when they are read: {NUMPY}",
    ),
)
SUFFIXES = frozenset(suffix for entry in FORMATS for suffix in entry.suffixes)
NEVER_READ = frozenset(s for entry in FORMATS if entry.mark is None for s in entry.suffixes)


class ForeignFiles(MaskReader):
    """See `FORMATS`: opening any of them is an `InputError` that says what to do."""

    name = "foreign"
    format = "refused, with what to export instead: " + ", ".join(f.title for f in FORMATS)
    recognised_by = "what the file begins with, or the ending"
    ambiguity = "none: never read"
    suffixes = SUFFIXES - {".txt"}  # texts beside masks are usually something else

    def recognise(self, path: Path) -> Confidence:
        """Return whether a file, or the first in a folder without pictures, is of such a format."""
        file = _first_file(path)
        entry = None if file is None else find_format(file)
        if entry is None:
            return NOT_MINE
        return BY_NAME if entry.mark is None else BY_CONTENT

    def open(
        self,
        path: Path,
        footage: FootageFacts,
        choices: ReadingChoices,
        known: Known | None = None,
    ) -> MaskSource:
        """Refuse the file by the name of its format."""
        file = _first_file(path)
        entry = None if file is None else find_format(file)
        if entry is None:
            raise InputError(f"{path}: expected a file of another tool, got nothing of the kind")
        raise InputError(f"{file}: {entry.title}, which is not read: {entry.advice}")


def find_format(file: Path) -> ForeignFormat | None:
    """Return the format of a file; None if it is of none of `FORMATS`."""
    suffix = file.suffix.lower()
    some = [entry for entry in FORMATS if suffix in entry.suffixes]
    start = read_start(file) if any(entry.mark for entry in some) else b""
    fitting = (entry for entry in some if entry.mark is None or entry.mark.search(start))
    return next(fitting, None)


def _first_file(path: Path) -> Path | None:
    """Return a file itself; of a folder without masks in pictures the first that may be of these.

    In projects of Supervisely it lies in the folder ``ann``, beside the pictures.
    """
    if not path.is_dir():
        return path if path.is_file() else None
    inside = path / "ann"
    if inside.is_dir():
        return min(inside.glob("*.json"), default=None)
    if list_mask_files(path):
        return None
    return min((f for f in path.iterdir() if f.suffix.lower() in SUFFIXES), default=None)


READERS = (ForeignFiles(),)
