"""A label set once more, its labels refined: whole or absent."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import InputError
from pipeline.whole_files import creating
from stages.media.label_sets.read import (
    LabelledClip,
    read_label_picture,
    read_label_set,
    read_picture,
)
from stages.media.masks.palette import write_indexed_png

RECORD = "refined.json"
IGNORED = 255

Labels = NDArray[np.uint16]
Refiner = Callable[[NDArray[np.uint8], NDArray[np.bool_]], NDArray[np.float32]]


def refined_labels(picture: NDArray[np.uint8], labels: Labels, refiner: Refiner) -> Labels:
    """Return labels whose outlines follow the picture.

    With one class and the background the class's mask is refined; of several, each against all
    others, the background too, and a pixel gets the label that is likeliest there. Pixels of 255,
    which count for nothing, stay as they are.

    Parameters
    ----------
    picture : ndarray, shape (H, W, 3), uint8
        RGB.
    labels : ndarray, shape (H, W), uint16
    refiner : callable
        See `stages.models.refiners.load.load_refiner`.
    """
    present = [int(label) for label in np.unique(labels) if label != IGNORED]
    if len(present) < 2:
        return labels.copy()
    shares = [refiner(picture, labels == label) for label in present[-1:]]
    if len(present) == 2:
        shares.insert(0, np.float32(1) - shares[0])
    else:
        shares = [*(refiner(picture, labels == label) for label in present[:-1]), *shares]
    likeliest = np.array(present, np.uint16)[np.argmax(np.stack(shares), axis=0)]
    return np.where(labels == IGNORED, labels, likeliest)


def write_refined_set(source: Path, target: Path, refiner: Refiner, spec: str) -> dict[str, float]:
    """Write a copy of a set with refined labels; return the share of pixels changed, by clip.

    Parameters
    ----------
    source : Path
        Of layout davis, voc or cityscapes.
    target : Path
        New, or an empty folder.
    refiner : callable
    spec : str
        What the refiner is called, for ``refined.json``.

    Raises
    ------
    InputError
        If the set cannot be read, or nothing can be written there.
    """
    clips, changed = read_label_set(source), {}
    try:
        with creating(target) as draft:
            shutil.copytree(source, draft)
            for clip in clips:
                counts = [0, 0]
                for number, path in sorted(_label_files(source, clip).items()):
                    picture = read_picture(clip.pictures[number])
                    labels = read_label_picture(path, (picture.shape[0], picture.shape[1]))
                    better = refined_labels(picture, labels, refiner)
                    counts[0] += int(np.count_nonzero(better != labels))
                    counts[1] += labels.size
                    _write_alike(path, draft / path.relative_to(source), better)
                changed[clip.name] = round(counts[0] / counts[1], 6)
            record = {"refiner": spec or "shipped", "changed": changed}
            (draft / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error}") from error
    return changed


def _label_files(source: Path, clip: LabelledClip) -> dict[int, Path]:
    """Return the label pictures of a clip; labels of another form are refused."""
    files = {number: path for number, path in clip.labels.items() if isinstance(path, Path)}
    if len(files) < len(clip.labels):
        raise InputError(
            f"{source}: expected labels as PNG files, of layout davis, voc or cityscapes, got "
            "run lengths: write the set with run_pipeline.py labels OUT --layout davis --to SET"
        )
    return files


def _write_alike(original: Path, target: Path, labels: Labels) -> None:
    """Write labels as the original has them: by a palette, or grey of 8 or 16 bits."""
    with Image.open(original) as picture:
        mode = picture.mode
    target.unlink()  # its mode may forbid writing, and it may be a link
    if mode == "P":
        write_indexed_png(target, labels)
    else:
        values = labels.astype(np.uint8) if mode == "L" else labels
        Image.fromarray(values).save(target, format="PNG", compress_level=1)
