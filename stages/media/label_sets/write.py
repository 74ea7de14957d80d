"""A label set: the pseudo-labels of all clips in one layout, split by clip. Whole or absent."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.errors import FullError, InputError
from pipeline.whole_files import creating
from stages.media.label_sets.clip_folder import FOLDER, RECORD, write_json
from stages.media.label_sets.registry import layout_type
from stages.media.label_sets.set_layouts import SPLITS, Layout, Sample, plain_name

MANIFEST = "manifest.json"
BLOCK_BYTES = 4096  # that a file takes beyond its own, at most; a tar entry takes less
SAMPLE_BYTES = 2048  # of manifest and JSON, a sample
OF_CLIP = ("source", "size", "classes", "settings", "statistics", "warnings")
OF_SAMPLE = ("name", "frame", "time_s", "trusted")
Json = dict[str, Any]


@dataclass
class GatheredLabels:
    """What the pipeline left of the clips of a library.

    Attributes
    ----------
    clips : dict of name to what ``clip.json`` says
        Those of which pixels are trusted, in order of their names.
    folders : dict of name to Path
        Of the pseudo-labels.
    left_out : dict of name to reason
    warnings : list of str
    """

    clips: dict[str, Json] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def find_labels(folders: Mapping[str, Path]) -> GatheredLabels:
    """Return the pseudo-labels in the results of clips.

    Parameters
    ----------
    folders : mapping of name to Path
        Of the clips' results.

    Raises
    ------
    InputError
        If what a clip has is not whole.
    """
    gathered = GatheredLabels()
    for name, folder in sorted(folders.items()):
        text = _read_description(folder)
        if text is None:
            gathered.left_out[name] = (
                "no pseudo-labels: run it with --set pseudo_labels.enabled=true"
            )
        elif not any(sample["trusted"] for sample in text["samples"]):
            gathered.left_out[name] = " ".join(text["warnings"])
        else:
            gathered.clips[name], gathered.folders[name] = text, folder / FOLDER
            gathered.warnings += [f"{name}: {warning}" for warning in text["warnings"]]
    gathered.warnings += _unknown_classes(gathered.clips)
    settings = {json.dumps(text["settings"], sort_keys=True) for text in gathered.clips.values()}
    if len(settings) > 1:
        gathered.warnings.append(
            f"the clips were labelled with {len(settings)} different settings: run them again"
        )
    return gathered


def _unknown_classes(clips: Mapping[str, Json]) -> list[str]:
    """Return warnings of classes that settings name and no clip has."""
    known = {0, *(label for text in clips.values() for label in text["classes"])}
    named = {
        (field, int(label))
        for text in clips.values()
        for field in ("sure_of", "keep_of")
        for label in text["settings"].get(field, {})
    }
    return [
        f"pseudo_labels.{field}: no clip has a class {label}"
        for field, label in sorted(named)
        if label not in known
    ]


def _read_description(folder: Path) -> Json | None:
    """Return the content of ``clip.json``, with the key of the engine's artifact; None without."""
    try:
        description = json.loads((folder / FOLDER / RECORD).read_text(encoding="utf-8"))
        marker = json.loads((folder / f".{FOLDER}.json").read_text(encoding="utf-8"))
        text: Json = {part: description[part] for part in OF_CLIP}
        text["samples"] = [
            {part: sample[part] for part in OF_SAMPLE} for sample in description["samples"]
        ]
        text["artifacts"] = {"key": marker["key"], "inputs": marker["record"]["inputs"]}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder / FOLDER}: expected whole pseudo-labels, got {type(error).__name__}: "
            f"{error}: delete the folder and give the run again"
        ) from error
    return text


def split_of(name: str, val: float) -> str:
    """Return the split of a clip: by the SHA-256 of its name, whatever other clips there are."""
    fraction = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big") / 2**64
    return "val" if fraction < val else "train"


def write_set(
    gathered: GatheredLabels, target: Path, layout: str, *, val: float, shard: int
) -> Json:
    """Write a label set and return its manifest.

    It is written beside `target` and put in its place when it is whole.

    Parameters
    ----------
    gathered : GatheredLabels
    target : Path
        New, or an empty folder.
    layout : str
        See `stages.media.label_sets.registry.layout_type`.
    val : float, in [0, 1]
        Share of the clips that are held out.
    shard : int
        Samples of a WebDataset shard at most.

    Raises
    ------
    ConfigError
        If there is no such layout.
    FullError
        Before anything is written, if the disk has too little room; later, if it fills up.
    InputError
        If a file of a sample is missing, or nothing can be written there.
    """
    kind, samples = layout_type(layout), _trusted_samples(gathered, val)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _check_room(samples, target.parent, kind)
        manifest = _set_manifest(gathered, samples, layout, val)
        _write_samples(samples, manifest, target, partial(kind, shard=shard))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FullError(f"{target}: no room left: free some, or write elsewhere") from error
        raise InputError(f"{target}: cannot be written: {error}") from error
    return manifest


def _write_samples(
    samples: list[Sample], manifest: Json, target: Path, start: Callable[[Path], Layout]
) -> None:
    with creating(target) as draft:
        draft.mkdir()
        with closing(start(draft)) as writer:
            for sample in samples:
                writer.add(sample)
            writer.finish()
        write_json(draft / MANIFEST, manifest)


def _trusted_samples(gathered: GatheredLabels, val: float) -> list[Sample]:
    """Return the frames of which a pixel is trusted, clip by clip."""
    return [
        Sample(
            plain_name(name), sample["name"], split_of(name, val), gathered.folders[name],
            (text["size"][0], text["size"][1]),
            {"clip": name, "frame": sample["frame"], "time_s": sample["time_s"]},
        )
        for name, text in gathered.clips.items()
        for sample in text["samples"]
        if sample["trusted"]
    ]  # fmt: skip


def _check_room(samples: list[Sample], target: Path, layout: type[Layout]) -> None:
    needed = sum(_sample_bytes(sample, layout) for sample in samples)
    free = shutil.disk_usage(target).free
    if needed > free:
        raise FullError(
            f"{target}: expected room for about {needed / 1e9:.3g} GB, {free / 1e9:.3g} GB are "
            "free: free some, write to another disk, or take fewer frames (pseudo_labels.every)"
        )


def _sample_bytes(sample: Sample, layout: type[Layout]) -> int:
    """Return how much a sample takes, rather too much than too little."""
    try:
        picture, labels = sample.picture.stat().st_size, sample.labels.stat().st_size
        others = [path.stat().st_size for path in sample.extras.values()]
    except FileNotFoundError as error:
        raise InputError(
            f"{error.filename}: expected a file of the pseudo-labels, found none: delete their "
            "folder and give the run again"
        ) from error
    if layout.suffix == ".png" and sample.picture.suffix != ".png":
        picture = 3 * sample.size[0] * sample.size[1]
    files = 1 + layout.label_copies + len(others)
    size = picture + layout.label_copies * labels + sum(others)
    return size + files * BLOCK_BYTES + SAMPLE_BYTES


def _set_manifest(gathered: GatheredLabels, samples: list[Sample], layout: str, val: float) -> Json:
    splits = {name: split_of(name, val) for name in gathered.clips}
    warnings = list(gathered.warnings)
    for split, share in (("train", 1 - val), ("val", val)):
        if share > 0 and split not in splits.values():
            warnings.append(f"no clip falls into {split}: a clip's name decides; change --val")
    classes = _class_statistics(gathered, splits)
    for label, parts in classes.items():
        called = f"class {label}" if label != "0" else "the background"
        for split in SPLITS:
            if split in splits.values() and not parts[split]["trusted"]:
                how = "is nowhere trusted" if parts[split]["pixels"] else "never occurs"
                warnings.append(f"{called} {how} in {split}")
    return {
        "format": 1,
        "layout": layout,
        "val": val,
        "samples": {split: sum(sample.split == split for sample in samples) for split in SPLITS},
        "classes": classes,
        "clips": {
            name: {"split": splits[name], "called": plain_name(name)} | text
            for name, text in gathered.clips.items()
        },
        "left_out": gathered.left_out,
        "warnings": warnings,
    }


def _class_statistics(gathered: GatheredLabels, splits: Mapping[str, str]) -> dict[str, Json]:
    """Return pixels, trusted pixels and frames of each class in each split."""
    counted = ("pixels", "trusted", "frames")
    labels = {label for text in gathered.clips.values() for label in text["statistics"]}
    total: dict[str, Json] = {
        label: {split: dict.fromkeys(counted, 0) for split in SPLITS}
        for label in sorted(labels, key=int)
    }
    for name, text in gathered.clips.items():
        for label, entry in text["statistics"].items():
            for what in counted:
                total[label][splits[name]][what] += entry[what]
    return total
