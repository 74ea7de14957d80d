"""Masks drawn from shapes: polygons and run lengths of pictures, as all annotation formats have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.footage.limits import Limits
from stages.media.masks.annotation_videos import parse_annotations, select_video
from stages.media.masks.json_files import MALFORMED
from stages.media.masks.legend import Legend, empty_warning
from stages.media.masks.picture_order import match_pictures
from stages.media.masks.rle import check_polygons, decode_rle
from stages.media.masks.sizes import fit_labels, fit_note
from stages.media.masks.source import Known, MaskSource

if TYPE_CHECKING:
    from stages.media.masks.contract import (
        AnnotatedFrame,
        AnnotationReader,
        AnnotationSet,
        FootageFacts,
        ReadingChoices,
        Shape,
    )

MOST_LABEL = 65535  # labels are 16 bits wide
BACKGROUNDS = frozenset({"background", "_background_", "__background__", "bg", "unlabeled", "void"})

Labelled = dict[Any, int]  # a category, or an object, to its label


class ShapeMasks(MaskSource):
    """The masks of one clip of an `AnnotationSet`, decoded by frame; later shapes are on top."""

    def __init__(
        self,
        reader: AnnotationReader,
        path: Path,
        footage: FootageFacts,
        choices: ReadingChoices,
        known: Known | None,
    ) -> None:
        super().__init__(footage.frames)
        self._path, self._size, self._fit = path, footage.size, choices.fit
        content = parse_annotations(reader, path)
        video, frames = select_video(path, content, footage, choices.video)
        if not frames:
            raise InputError(f"{path}: expected annotated frames of {footage.clip}, got none")
        try:
            match = match_pictures(path, frames, footage, choices, named_by_id=content.named_by_id)
        except InputError as error:
            raise InputError("; ".join([str(error), *content.notes])) from error
        self._frames_of = [None if k is None else frames[k] for k in match.chosen]
        self.absent = match.unknown(choices.missing)
        self.declared_empty = match.declared_empty(choices.missing)
        self._aspect_note = self._check_sizes(frames, footage)
        self._labels, names, note = number_classes(path, content, frames)
        self._by_shape = choices.objects == "match" and not content.by_track
        self.category_names = names if self._by_shape else {}
        if known is not None:
            self.legend = Legend.from_json(known["legend"])
            return
        occurring, empty = self._decode_all()
        self.legend = Legend(
            "labels",
            tuple(sorted(occurring)),
            names={}
            if self._by_shape
            else {label: name for label, name in names.items() if label in occurring and name},
        )
        self.warnings = (
            *(n for n in (self._aspect_note, note) if n), *content.notes, *match.notes,
            *empty_warning(empty),
        )  # fmt: skip
        inside = f", video {video!r} of {len(content.videos)}" if len(content.videos) > 1 else ""
        self.reading = (
            f"{len(frames)} annotated frames, {reader.format}{inside}, "
            f"{self.legend.describe_classes()}; {match.words}"
        )

    def read(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """Yield the masks of frames `start` to `stop`."""
        for frame in self._frames_of[start:stop]:
            if frame is None:
                yield np.zeros(self._size, np.uint16)
                continue
            labels = np.zeros(frame.size or self._size, np.uint16)
            for number, shape in enumerate(frame.shapes, start=1):
                label = self._label_of(shape)
                if self._by_shape and label:
                    label = number
                labels[decode_shape(self._path, shape, labels.shape)] = label
            yield fit_labels(labels, self._size)

    def categories_at(self, frame: int) -> Mapping[int, int]:
        """Return the category of each shape of a frame, by its number; empty for classes."""
        shapes = self._frames_of[frame]
        if not self._by_shape or shapes is None:
            return {}
        return {k: self._label_of(shape) for k, shape in enumerate(shapes.shapes, start=1)}

    def _label_of(self, shape: Shape) -> int:
        key = shape.category if shape.track is None else ("track", shape.track)
        return self._labels.get(key, self._labels.get(shape.category, 0))

    def _decode_all(self) -> tuple[set[int], int]:
        occurring: set[int] = set()
        empty = 0
        for labels in self:
            inside = set(np.flatnonzero(np.bincount(labels.ravel())).tolist()) - {0}
            occurring |= inside
            empty += not inside
        return occurring, empty

    def _check_sizes(self, frames: Sequence[AnnotatedFrame], footage: FootageFacts) -> str:
        limits = Limits.like(footage.frames, footage.size)
        for size in {frame.size for frame in frames if frame.size is not None}:
            limits.check_size(self._path, size)
        notes = {
            fit_note(self._path, frame.size, footage.size, footage.rotation, footage.aspect,
                     stretch=self._fit == "stretch")
            for frame in frames
            if frame.size is not None
        }  # fmt: skip
        return "; ".join(sorted(note for note in notes if note))


def number_classes(
    path: Path, content: AnnotationSet, frames: Sequence[AnnotatedFrame]
) -> tuple[Labelled, dict[int, str], str]:
    """Return the label of each category or object, names by label, and a note where they moved.

    A class is its category's number, where these begin at 1. Where 0 is a category other than the
    background or a heading, all move up by one, since 0 is the background in masks. Names without
    numbers are counted from 1.

    Raises
    ------
    InputError
        If a category is not among those that the file declares, or there are too many objects.
    """
    used = [shape for frame in frames for shape in frame.shapes]
    if content.by_track:
        return _number_tracks(path, content, used)
    if any(isinstance(shape.category, str) for shape in used):
        texts = dict.fromkeys(content.order)
        texts |= dict.fromkeys(sorted({str(shape.category) for shape in used} - texts.keys()))
        kept = [text for text in texts if text.casefold() not in BACKGROUNDS]
        labels: Labelled = {text: k for k, text in enumerate(kept, start=1)}
        return labels, dict(enumerate(kept, start=1)), ""
    return _number_categories(path, content, {int(shape.category) for shape in used})


def _number_categories(
    path: Path, content: AnnotationSet, used: set[int]
) -> tuple[Labelled, dict[int, str], str]:
    known = content.categories
    odd = sorted(used - known.keys()) if known else sorted(k for k in used if k < 0)
    if odd:
        expected = f"one of its categories {sorted(known)[:9]}" if known else "0 or more"
        raise InputError(f"{path}: expected category_id {expected}, got {odd[0]!r}")
    every = sorted(used | known.keys())
    background = known.get(0, "").casefold() in BACKGROUNDS and 0 in known
    if every and every[-1] >= MOST_LABEL:
        if len(every) > MOST_LABEL - 1:
            raise InputError(f"{path}: expected at most {MOST_LABEL} classes, got {len(every)}")
        labels: Labelled = {number: k for k, number in enumerate(every, start=1)}
        note = f"category ids up to {every[-1]}: classes are counted from 1 in their order"
        return labels, {labels[k]: name for k, name in known.items()}, note
    heading = 0 in known and 0 not in used and 0 in content.headings
    shift = int(0 in every and not background and not heading)
    labels = {number: number + shift for number in every}
    note = "category_id 0 is a class: label = category_id + 1" if shift else ""
    names = {labels[k]: name for k, name in known.items() if labels[k] > 0}
    return labels, names, note


def _number_tracks(
    path: Path, content: AnnotationSet, used: Sequence[Shape]
) -> tuple[Labelled, dict[int, str], str]:
    tracks = dict.fromkeys(shape.track for shape in used)
    if len(tracks) > MOST_LABEL:
        raise InputError(f"{path}: expected at most {MOST_LABEL} objects, got {len(tracks)}")
    category = {shape.track: shape.category for shape in used}
    labels: Labelled = {("track", track): k for k, track in enumerate(tracks, start=1)}
    titles = [_video_title(content, category[track]) for track in tracks]
    times, counted = Counter(titles), Counter[str]()
    names = {}
    for k, title in enumerate(titles, start=1):
        counted[title] += 1
        names[k] = f"{title} {counted[title]}" if title and times[title] > 1 else title
    return labels, names, ""


def _video_title(content: AnnotationSet, category: int | str) -> str:
    return category if isinstance(category, str) else content.categories.get(category, "")


def decode_shape(where: Path, shape: Shape, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the mask of a shape, (H, W) bool: of run lengths, polygons, an array, or nothing.

    Raises
    ------
    InputError
        If it is none of these, or of another size.
    """
    rows, columns = size
    content = shape.segmentation
    if isinstance(content, np.ndarray):
        if content.shape != (rows, columns):
            raise InputError(f"{where}: expected a shape of {columns}x{rows}, got {content.shape}")
        return content > 0
    if not content:
        return np.zeros((rows, columns), np.bool_)
    from pycocotools import mask as coco

    try:
        if isinstance(content, list):
            check_polygons(content, (rows, columns))
            content = coco.merge(coco.frPyObjects(content, rows, columns))
        drawn = (int(content["size"][0]), int(content["size"][1]))
        if drawn != (rows, columns):
            raise ValueError(f"expected run lengths of {columns}x{rows}, got {drawn[1]}x{drawn[0]}")
        return decode_rle(content["counts"], (rows, columns))
    except MALFORMED as error:
        raise InputError(f"{where}: not a run-length mask or polygon ({error})") from error
