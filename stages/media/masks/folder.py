"""Masks in a folder or an archive: one picture, .npy or .npz a frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.footage.limits import USUAL
from stages.media.footage.timeline import natural_key, part_starts
from stages.media.masks.array_axes import raw_of_frame
from stages.media.masks.arrays import frame_bytes, load_array, load_member
from stages.media.masks.frame_matching import match_frames
from stages.media.masks.legend import Legend, count_masks
from stages.media.masks.mask_names import file_stem, some_names
from stages.media.masks.mask_pictures import PICTURES, MaskFile, read_mask_picture
from stages.media.masks.raw import Raw
from stages.media.masks.readings import decide
from stages.media.masks.sizes import fit_labels, fit_note, fit_soft
from stages.media.masks.source import Known, MaskSource

if TYPE_CHECKING:
    from stages.media.masks.contract import FootageFacts, ReadingChoices

ARRAYS = frozenset({".npy", ".npz"})
SUFFIXES = PICTURES | ARRAYS


class FolderMasks(MaskSource):
    """One file a frame; see `stages.media.masks.readings` for what their values mean."""

    def __init__(
        self,
        where: Path,
        files: Sequence[MaskFile],
        footage: FootageFacts,
        choices: ReadingChoices,
        known: Known | None,
    ) -> None:
        super().__init__(footage.frames)
        files = sorted(files, key=lambda file: natural_key(file.name))
        if not files:
            raise InputError(f"{where}: expected masks, found none")
        files, beside = _without_pictures(files)
        names = [file.name for file in files]
        match = match_frames(
            where, names, footage.frames, footage.frame_names, choices.missing, first=choices.first
        )
        self._footage, self._choices, self._notes = footage, choices, dict.fromkeys(beside)
        self._files = [None if mask is None else files[mask] for mask in match.chosen]
        self.names = tuple(file.name for file in self._files if file is not None)
        self.names = self.names if len(set(self.names)) == footage.frames else ()
        self.absent = match.unknown(choices.missing)
        self.declared_empty = match.declared_empty(choices.missing)
        self.starts = part_starts(range(footage.frames), footage.frames)
        if known is not None:
            self.legend = Legend.from_json(known["legend"])
            return
        used = dict.fromkeys(file for file in self._files if file is not None)
        reading = decide(where, count_masks(map(self._load, used)), choices)
        self.legend = reading.legend
        self.warnings = (*match.notes, *self._notes, *reading.notes, *_folders_note(where))
        plural = "" if len(used) == 1 else "s"
        self.reading = (
            f"{len(used)} mask{plural}, {_file_kinds(used)} ({reading.words}), "
            f"{self.legend.describe_classes()}; {match.words}"
        )

    def read(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """Yield the masks of frames `start` to `stop`."""
        legend, size = self.legend, self._footage.size
        hard = legend.kind == "labels"
        for file in self._files[start:stop]:
            if file is None:
                shape = size if hard else (len(legend.classes), *size)
                yield np.zeros(shape, np.uint16 if hard else np.float32)
                continue
            mask = legend.apply(self._load(file))
            yield fit_labels(mask, size) if hard else fit_soft(mask, size)

    def _load(self, file: MaskFile) -> Raw:
        raw = load_mask_file(file, self._footage.size)
        rows, columns = raw.values.shape[-2:] if not raw.is_colour else raw.values.shape[:2]
        note = fit_note(
            file.where, (rows, columns), self._footage.size, self._footage.rotation,
            self._footage.aspect, stretch=self._choices.fit == "stretch",
        )  # fmt: skip
        if note:
            self._notes[note] = None
        return raw


def list_mask_files(folder: Path) -> list[MaskFile]:
    """Return the files of a folder that may be masks; hidden ones and legends apart."""
    return [
        MaskFile(path)
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and path.name[0] != "."
    ]


def load_mask_file(file: MaskFile, size: tuple[int, int]) -> Raw:
    """Return the values of one frame's file; `size` bounds arrays.

    Raises
    ------
    InputError
        If it is unreadable.
    """
    if file.suffix in ARRAYS:
        most = frame_bytes(size)
        array = (
            load_member(file.path, file.member, most_bytes=most)
            if file.member
            else load_array(file.path, most_bytes=most)
        )
        return raw_of_frame(file.where, array, size)
    raw = read_mask_picture(file)
    shape = raw.values.shape[:2] if raw.is_colour else raw.values.shape[-2:]
    USUAL.check_size(file.where, (int(shape[0]), int(shape[1])))
    return raw


def read_png(file: Path) -> Raw:
    """Return a label picture's values: the index where it has a palette.

    Raises
    ------
    InputError
        If it is unreadable, or has colours.
    """
    raw = read_mask_picture(MaskFile(file))
    if raw.is_colour:
        raise InputError(f"{file}: expected an indexed or grey picture, got colours")
    return raw


def _folders_note(where: Path) -> tuple[str, ...]:
    """Return a note on folders beside the masks of a clip that hold pictures or arrays too."""
    if not where.is_dir():
        return ()
    folders = [path for path in where.iterdir() if path.is_dir() and path.name[0] != "."]
    names = sorted(path.name for path in folders if list_mask_files(path))
    return (f"folders beside the masks are left out: {some_names(names)}",) if names else ()


def _without_pictures(files: Sequence[MaskFile]) -> tuple[Sequence[MaskFile], tuple[str, ...]]:
    """Return files without pictures ``NAME`` beside masks ``NAME_mask``, and a note on them."""
    stems = {file_stem(file.name): file for file in files}
    masks = {stem: file for stem, file in stems.items() if stem.endswith("_mask")}
    if len(stems) != len(files) or {stem[: -len("_mask")] for stem in masks} != (
        stems.keys() - masks.keys()
    ):
        return files, ()
    others = some_names([stems[stem].name for stem in stems if stem not in masks])
    return list(masks.values()), (f"pictures beside their masks are left out: {others}",)


def _file_kinds(files: Iterable[MaskFile]) -> str:
    kinds = sorted({file.suffix.removeprefix(".").upper() for file in files})
    return " and ".join(kinds)
