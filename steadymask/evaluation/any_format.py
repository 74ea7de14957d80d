"""Footage and masks of any format that a run reads, as the pictures that are scored.

What is a layout of pictures already is scored where it lies; anything else is written into a folder
for the time of the scoring: videos, arrays, annotations, soft masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from pipeline.errors import ConfigError, InputError
from stages.media.footage.clip_listing import VIDEOS, find_clips
from stages.media.footage.timeline import probe
from stages.media.footage.video import read_frames, read_picture
from stages.media.masks.contract import FootageFacts
from stages.media.masks.folder import read_png
from stages.media.masks.open import open_masks
from stages.media.masks.pairing import find_masks
from stages.media.masks.palette import write_indexed_png
from stages.ops.ignored_label import IGNORE
from stages.ops.soft_masks import winning_classes
from steadymask.evaluation.layouts import Files, find_frames, find_labels

LOOKED_AT = 5  # pictures of a clip, to tell grey levels from labels
MOST_LABELS = 16  # different grey values of label pictures; soft masks have more


def read_library(root: Path, scratch: Path) -> dict[str, Files]:
    """Return the frames of every clip as picture files: those of videos are written to `scratch`.

    Raises
    ------
    ConfigError
        If there is neither a picture nor a video.
    """
    if root.is_dir() and not any(p.suffix.lower() in VIDEOS for p in root.rglob("*")):
        return find_frames(root)
    clips: dict[str, Files] = {}
    for name, path in find_clips(root).clips.items():
        timeline = probe(path)
        folder = scratch / "frames" / name
        folder.mkdir(parents=True)
        clips[name] = {}
        for t, picture in enumerate(read_frames(path, timeline)):
            file = folder / f"{t:05d}.png"
            bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
            if not cv2.imwrite(str(file), bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
                raise ConfigError(f"{file}: cannot be written")
            clips[name][file.stem] = file
    return clips


def read_labels_by_clip(root: Path, clips: Mapping[str, Files], scratch: Path) -> dict[str, Files]:
    """Return label pictures by clip; masks of other formats are written to `scratch`.

    Soft masks become the class that wins. Where there is one clip on either side, they belong to
    each other, whatever they are called.

    Raises
    ------
    ConfigError
        If there are no masks at all.
    InputError
        If masks cannot be read; names the file.
    """
    pictures = _label_pictures(root)
    if len(pictures) == len(clips) == 1:
        pictures = {next(iter(clips)): next(iter(pictures.values()))}
    converted: dict[str, Files] = {}
    for name, frames in clips.items():
        hard = name in pictures and not _is_soft(pictures[name])
        path = None if hard else find_masks(root, name, alone=len(clips) == 1, follow_links=True)
        if path is not None:
            converted[name] = _converted_clip(name, path, frames, scratch / name)
    if not pictures and not converted:
        raise ConfigError(f"{root}: expected masks of {', '.join(list(clips)[:5])}, found none")
    return pictures | converted


def _label_pictures(root: Path) -> dict[str, Files]:
    try:
        return find_labels(root)
    except ConfigError:
        if not root.exists():
            raise
        return {}


def _is_soft(files: Files) -> bool:
    """Return whether label files are grey pictures of many levels: soft masks."""
    paths = list(files.values())
    for path in paths[:: max(len(paths) // LOOKED_AT, 1)]:
        raw = read_png(path)
        grey = raw.palette is None and not raw.labels_only and raw.values.dtype == np.uint8
        if grey and len(np.unique(raw.values)) > MOST_LABELS:
            return True
    return False


def _converted_clip(name: str, path: Path, frames: Files, folder: Path) -> Files:
    """Write a clip's masks as label pictures, named like its frames."""
    size = read_picture(next(iter(frames.values()))).shape[:2]
    names = tuple(file.name for file in frames.values())
    facts = FootageFacts(name, len(frames), (size[0], size[1]), frame_names=names)
    source = open_masks(path, facts)
    folder.mkdir(parents=True)
    files: Files = {}
    for frame, values in zip(frames, islice(source, len(frames)), strict=True):
        labels = values
        if source.legend.kind == "soft":
            labels = winning_classes(np.moveaxis(values, 0, -1).astype(np.float32))
        if labels.max(initial=0) >= IGNORE:
            raise InputError(f"{path}: expected labels up to {IGNORE - 1}, got {labels.max()}")
        files[frame] = folder / f"{frame}.png"
        write_indexed_png(files[frame], labels)
    return files
