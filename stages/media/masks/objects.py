"""Masks in a folder an object: one label each, the last on top."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.footage.timeline import natural_key, part_starts
from stages.media.masks.folder import list_mask_files, load_mask_file
from stages.media.masks.frame_matching import match_frames
from stages.media.masks.legend import Legend, count_masks, empty_warning
from stages.media.masks.mask_pictures import MaskFile
from stages.media.masks.readings import decide
from stages.media.masks.sizes import fit_labels, fit_note
from stages.media.masks.source import Known, MaskSource

if TYPE_CHECKING:
    from stages.media.masks.contract import FootageFacts, ReadingChoices

MOST_OBJECTS = 65535


class ObjectMasks(MaskSource):
    """Objects by folder: the folder's number is the label, else they are counted from 1."""

    def __init__(
        self, path: Path, footage: FootageFacts, choices: ReadingChoices, known: Known | None
    ) -> None:
        super().__init__(footage.frames)
        self._size = footage.size
        folders = list_object_folders(path)
        numbers = number_objects(folders)
        files = {
            label: {Path(file.name).stem: file for file in list_mask_files(folder)}
            for label, folder in zip(numbers, folders, strict=True)
        }
        stems = sorted({stem for by_stem in files.values() for stem in by_stem}, key=natural_key)
        match = match_frames(
            path, stems, footage.frames, footage.frame_names, choices.missing, first=choices.first
        )
        self._stems = [None if k is None else stems[k] for k in match.chosen]
        self._files = dict(sorted(files.items()))
        self.absent = match.unknown(choices.missing)
        self.declared_empty = match.declared_empty(choices.missing)
        self.starts = part_starts(range(footage.frames), footage.frames)
        if known is not None:
            self.legend = Legend.from_json(known["legend"])
            self._legends = {int(k): Legend.from_json(v) for k, v in known["objects"].items()}
            return
        self._legends = {}
        notes: dict[str, None] = {}
        for label, by_stem in self._files.items():
            reading = decide(path, count_masks(map(self._load, by_stem.values())), choices)
            self._legends[label] = reading.legend
            for file in by_stem.values():
                shape = self._load(file).values.shape[:2]
                note = fit_note(file.where, (int(shape[0]), int(shape[1])), footage.size)
                notes |= {note: None} if note else {}
        named = not all(folder.name.isdigit() for folder in folders)
        names = dict(zip(numbers, (f.name for f in folders), strict=True)) if named else {}
        occurring, empty = self._decode_all()
        self.legend = Legend("labels", occurring, names=names)
        shifted = (
            "objects are numbered from 0: label = number + 1" if _shift_labels(folders) else ""
        )
        self.warnings = (
            *([shifted] if shifted else []), *match.notes, *notes, *empty_warning(empty),
        )  # fmt: skip
        self.reading = (
            f"{len(stems)} masks of {len(folders)} objects, a folder an object, "
            f"{self.legend.describe_classes()}; {match.words}"
        )

    @property
    def known(self) -> Known:
        """See `MaskSource.known`."""
        from dataclasses import asdict

        objects = {label: asdict(legend) for label, legend in self._legends.items()}
        return {**super().known, "objects": objects}

    def read(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """Yield the masks of frames `start` to `stop`."""
        for stem in self._stems[start:stop]:
            labels = np.zeros(self._size, np.uint16)
            for label, by_stem in self._files.items():
                file = by_stem.get(stem) if stem is not None else None
                if file is not None:
                    labels[self._object_region(label, file)] = label
            yield labels

    def _load(self, file: MaskFile) -> Any:
        return load_mask_file(file, self._size)

    def _object_region(self, label: int, file: MaskFile) -> NDArray[np.bool_]:
        """Return where an object is, (H, W) bool: any label, or more than half of a soft mask."""
        legend = self._legends[label]
        mask = legend.apply(self._load(file))
        if legend.kind == "soft":
            mask = (mask.max(axis=0) > 0.5).astype(np.uint16) if len(mask) else mask.sum(axis=0)
        drawn: NDArray[np.bool_] = fit_labels(mask, self._size) > 0
        return drawn

    def _decode_all(self) -> tuple[tuple[int, ...], int]:
        occurring: set[int] = set()
        empty = 0
        for labels in self:
            inside = set(np.flatnonzero(np.bincount(labels.ravel())).tolist()) - {0}
            occurring |= inside
            empty += not inside
        return tuple(sorted(occurring)), empty


def list_object_folders(path: Path) -> list[Path]:
    """Return the folders inside of a folder that hold masks, in natural order."""
    folders = [p for p in path.iterdir() if p.is_dir() and p.name[0] != "."]
    return sorted((p for p in folders if list_mask_files(p)), key=lambda p: natural_key(p.name))


def number_objects(folders: list[Path]) -> list[int]:
    """Return the labels of objects: their folders' numbers, or counted from 1.

    Raises
    ------
    InputError
        If a number is no label.
    """
    if not all(folder.name.isdigit() for folder in folders):
        return list(range(1, len(folders) + 1))
    numbers = [int(folder.name) + _shift_labels(folders) for folder in folders]
    if max(numbers) > MOST_OBJECTS or len(set(numbers)) < len(numbers):
        raise InputError(
            f"{folders[-1]}: expected objects of different numbers up to {MOST_OBJECTS}, got "
            f"{max(numbers)}"
        )
    return numbers


def _shift_labels(folders: list[Path]) -> int:
    return int(any(folder.name.isdigit() and int(folder.name) == 0 for folder in folders))
