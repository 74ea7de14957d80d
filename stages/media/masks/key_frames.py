"""Masks of a clip together with the user's key frames: what each frame has, and from whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.masks.contract import FootageFacts, ReadingChoices
from stages.media.masks.frame_matching import CARRIED
from stages.media.masks.identities import MatchedMasks
from stages.media.masks.legend import Legend, Meaning, plain_label
from stages.media.masks.open import open_masks
from stages.media.masks.source import Known, MaskSource

KEY_FRAME_CHOICES = ReadingChoices(missing="carry")


class MasksWithKeyFrames(MaskSource):
    """The masks of a clip, those of key frames in place of the others.

    Parameters
    ----------
    own : MaskSource or None
        Masks of all frames, or nothing where key frames are the only evidence.
    keys : MaskSource
        The key frames; all other frames are among its `MaskSource.absent`.
    frames : int
    size : (H, W)
    """

    def __init__(
        self, own: MaskSource | None, keys: MaskSource, frames: int, size: tuple[int, int]
    ) -> None:
        super().__init__(frames)
        self._own, self._keys, self._size = own, keys, size
        self._key_labels = _labels_by_name(own.legend if own else None, keys.legend)
        key_legend = _renamed_legend(keys.legend, self._key_labels)
        self.legend = _joined_legend(own.legend if own else None, key_legend)
        self.starts = own.starts if own else (0,)
        without_key = set(keys.absent)
        self.key_frames = tuple(t for t in range(frames) if t not in without_key)
        missing = set(own.absent) if own else set(range(frames))
        self.absent = tuple(sorted(missing - set(self.key_frames)))
        empty = own.declared_empty if own else ()
        self.declared_empty = tuple(t for t in empty if t in without_key)
        self.warnings = (
            *(own.warnings if own else ()), *_notes_on_keys(keys), *_new_classes(own, key_legend),
        )  # fmt: skip
        of_keys = keys.reading.replace(CARRIED, "their own masks") if own else keys.reading
        self.reading = "; ".join(
            [*([own.reading] if own and own.reading else []), f"key frames: {of_keys}"]
        )

    def read(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """Yield the masks of frames `start` to `stop`; `start` is that of a part."""
        keyed = self._read_keys(start, stop)
        own = self._own.read(start, stop) if self._own else None
        for t in range(start, stop):
            mask = next(own) if own is not None else None
            if t in keyed:
                yield self._fitted_mask(keyed[t], self._keys.legend, self._key_labels)
            elif mask is not None and self._own is not None:
                yield self._fitted_mask(mask, self._own.legend, {})
            else:
                yield self._empty_mask()

    @property
    def known(self) -> Known:
        """What `open_evidence` takes so as not to look through the masks again."""
        return {
            "own": self._own.known if self._own else None,
            "keys": self._keys.known,
            "parts": [list(part) for part in pairwise((*self.starts, self._frames))],
        }

    def _read_keys(self, start: int, stop: int) -> dict[int, NDArray[Any]]:
        """Return the masks of the key frames from `start` to `stop`, by frame."""
        wanted = {t for t in self.key_frames if start <= t < stop}
        if not wanted:
            return {}
        first = max(part for part in self._keys.starts if part <= min(wanted))
        masks = self._keys.read(first, max(wanted) + 1)
        return {t: mask for t, mask in enumerate(masks, start=first) if t in wanted}

    def _fitted_mask(
        self, mask: NDArray[Any], legend: Legend, renamed: Mapping[int, int]
    ) -> NDArray[Any]:
        """Return a mask in the classes and the kind of all masks together."""
        if self.legend.kind == "labels":
            if not renamed:
                return mask
            table = np.arange(int(mask.max(initial=0)) + 1, dtype=np.uint16)
            for label, other in renamed.items():
                table[label : label + 1] = other
            return np.asarray(table[mask])
        out = np.zeros((len(self.legend.classes), *self._size), np.float32)
        for k, label in enumerate(legend.classes):
            channel = mask[k] if legend.kind == "soft" else mask == label
            out[self.legend.classes.index(renamed.get(label, label))] = channel
        return out

    def _empty_mask(self) -> NDArray[Any]:
        if self.legend.kind == "labels":
            return np.zeros(self._size, np.uint16)
        return np.zeros((len(self.legend.classes), *self._size), np.float32)


def open_evidence(
    files: Mapping[str, Path],
    footage: FootageFacts,
    choices: ReadingChoices,
    *,
    pictures: Iterable[NDArray[np.uint8]] = (),
    known: Known | None = None,
) -> MaskSource:
    """Return a clip's masks, objects matched where that is asked for, key frames in their places.

    Parameters
    ----------
    files : mapping of str to Path
        ``masks``, ``keyframes`` or both.
    footage : FootageFacts
    choices : ReadingChoices
        For the masks; key frames are read by their own content, but ``first`` and ``fit`` count
        for both.
    pictures : iterable of ndarray, (H, W, 3) uint8
        The footage, to match objects by; read only where `choices` ask for it and `known` is None.
    known : dict, optional
        `MaskSource.known` of the same files, opened before with the same arguments.

    Raises
    ------
    InputError
        As `stages.media.masks.open.open_masks`, and if key frames belong to no frame of the clip.
    """
    if "keyframes" not in files:
        return _open_own(files["masks"], footage, choices, pictures, known)
    own = None
    if "masks" in files:
        own = _open_own(files["masks"], footage, choices, pictures, known and known["own"])
    if own is not None and not footage.frame_names:
        # Key frames named like the masks are of the same frames, whatever the names count from.
        footage = replace(footage, frame_names=own.names)
    adapted = {"first": choices.first, "fit": choices.fit}
    numbered = KEY_FRAME_CHOICES.model_copy(update=adapted)
    try:
        keys = open_masks(files["keyframes"], footage, numbered, known=known and known["keys"])
    except InputError as error:
        raise InputError(f"key frames: {error}") from error
    if isinstance(own, MatchedMasks) and known is None:
        own.adopt_numbers(keys)
    return MasksWithKeyFrames(own, keys, footage.frames, footage.size)


def _open_own(
    path: Path,
    footage: FootageFacts,
    choices: ReadingChoices,
    pictures: Iterable[NDArray[np.uint8]],
    known: Known | None,
) -> MaskSource:
    """Return the masks of all frames, their objects matched where `choices` say so."""
    if choices.objects != "match":
        return open_masks(path, footage, choices, known=known)
    own = open_masks(path, footage, choices, known=known and known["own"])
    return MatchedMasks(own, footage.frames, pictures, known)


def _labels_by_name(own: Legend | None, keys: Legend) -> dict[int, int]:
    """Return the labels of the masks for those of key frames that have the name of another.

    Labelling tools number classes anew and keep their names; "class 7" is what label 7 is called
    where it has no name of its own.
    """
    by_name = {name: label for label, name in own.names.items()} if own else {}
    matched = {}
    for label, name in keys.names.items():
        other = by_name.get(name, plain_label(name))
        if other is not None:
            matched[label] = other
    used = {*(own.classes if own else ()), *keys.classes, *matched.values()}
    fresh = count(max(used, default=0) + 1)
    for label in keys.classes:
        # A class of another name must not fall together with one that was renamed to its number.
        if label not in matched and label in matched.values():
            matched[label] = next(fresh)
    return {label: other for label, other in matched.items() if label != other}


def _renamed_legend(keys: Legend, renamed: Mapping[int, int]) -> Legend:
    """Return the legend of key frames with the labels that the masks have for the same names."""
    if not renamed:
        return keys
    classes = {renamed.get(label, label) for label in keys.classes}
    names = {renamed.get(label, label): name for label, name in keys.names.items()}
    spoken = {label: name for label, name in names.items() if plain_label(name) is None}
    return replace(keys, classes=tuple(sorted(classes)), names=spoken)


def _joined_legend(own: Legend | None, keys: Legend) -> Legend:
    """Return a legend with the classes of both."""
    if own is None:
        return keys
    meaning: Meaning = "labels" if own.kind == keys.kind == "labels" else "soft"
    classes = tuple(sorted({*own.classes, *keys.classes}))
    return Legend(meaning, classes, names={**keys.names, **own.names})


def _notes_on_keys(keys: MaskSource) -> tuple[str, ...]:
    """Return the notes on key frames, but for those on frames that have none: most are meant to."""
    return tuple(
        f"key frames: {n}" for n in keys.warnings if f"({KEY_FRAME_CHOICES.missing})" not in n
    )


def _new_classes(own: MaskSource | None, keys: Legend) -> Sequence[str]:
    """Return a warning where key frames have classes that no mask has."""
    if own is None or not own.legend.classes:
        return ()
    new = sorted({*keys.classes} - {*own.legend.classes})
    if not new:
        return ()
    known = ", ".join(map(str, own.legend.classes))
    return (
        f"key frames have classes {', '.join(map(str, new))}, which no mask has (masks: {known}): "
        "they are added as new ones; use the labels of the masks if they are the same objects",
    )
