"""A clip's pseudo-labels as files: pictures, labels, certainty, soft masks. Whole or absent."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.media.masks.palette import write_indexed_png

FOLDER = "pseudo_labels"
RECORD = "clip.json"
PICTURES, LABELS, SURE, SOFT = "images", "labels", "confidence", "soft"
LARGEST = 65535  # label


class PseudoLabelFolder:
    """Takes sample after sample; on leaving, ``FOLDER`` appears below `folder` with all of them.

    ``images/<name>.png`` or ``.jpg``, ``labels/<name>.png`` (indexed, 255 is not trusted),
    ``confidence/<name>.png`` (grey, 255ths) and, where asked for, ``soft/<name>.npz`` with `soft`
    (H, W, C) in 255ths and `classes` (C,); and ``clip.json``.

    Parameters
    ----------
    folder : Path
        Of the clip.
    suffix : ".png" or ".jpg"
        Of the pictures.
    quality : int, 1 to 100
        Of JPEG.
    """

    def __init__(self, folder: Path, *, suffix: str, quality: int) -> None:
        self._target, self._draft = folder / FOLDER, folder / f".draft-{FOLDER}"
        self._old = folder / f".old-{FOLDER}"
        self._suffix, self._quality = suffix, quality
        self._text: dict[str, Any] = {}

    def write(
        self,
        name: str,
        picture: NDArray[np.uint8],
        labels: NDArray[np.integer[Any]],
        sure: NDArray[np.uint8],
    ) -> None:
        """Write picture (H, W, 3), labels (H, W) and certainty (H, W) of a sample."""
        write_picture(
            self._folder_path(PICTURES) / f"{name}{self._suffix}",
            Image.fromarray(picture),
            quality=self._quality,
        )
        write_indexed_png(self._folder_path(LABELS) / f"{name}.png", labels)
        Image.fromarray(sure).save(self._folder_path(SURE) / f"{name}.png", compress_level=1)

    def write_soft(
        self, name: str, mask: NDArray[np.uint8], classes: NDArray[np.integer[Any]]
    ) -> None:
        """Write the soft mask (H, W, C) of a sample, in 255ths."""
        np.savez_compressed(self._folder_path(SOFT) / f"{name}.npz", soft=mask, classes=classes)

    def describe(self, text: dict[str, Any]) -> None:
        """Set what ``clip.json`` says."""
        self._text = text

    def _folder_path(self, part: str) -> Path:
        part_folder = self._draft / part
        part_folder.mkdir(exist_ok=True)
        return part_folder

    def __enter__(self) -> Self:
        """Clear away what an interrupted run left."""
        for left in (self._draft, self._old):
            shutil.rmtree(left, ignore_errors=True)
        self._draft.mkdir()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the folder in its place, or drop it after an error."""
        if kind is not None:
            shutil.rmtree(self._draft, ignore_errors=True)
            return
        write_json(self._draft / RECORD, self._text)
        if self._target.exists():
            self._target.rename(self._old)  # to delete it here could leave a part of it
        self._draft.rename(self._target)
        shutil.rmtree(self._old, ignore_errors=True)

    def names(self) -> list[str]:
        """Return the parts that were written, relative to the clip's folder."""
        return sorted(f"{FOLDER}/{entry.name}" for entry in self._target.iterdir())


def write_picture(path: Path, picture: Image.Image, *, quality: int) -> None:
    """Write a picture as its name's suffix says; JPEG keeps colours at full size."""
    if path.suffix == ".jpg":
        picture.save(path, format="JPEG", quality=quality, subsampling=0)
    else:
        picture.save(path, format="PNG", compress_level=1)


def write_json(path: Path, text: Any) -> None:
    """Write JSON, the same bytes for the same values."""
    path.write_text(json.dumps(text, indent=1, allow_nan=False) + "\n", encoding="utf-8")
