"""Files of results that a person has changed since a sink wrote them: noticed, and kept."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from blake3 import blake3

Looks = dict[str, dict[str, list[Any]]]
"""Size, time of change in ns, and digest of each file, by folder and name."""


def describe_files(folder: Path, names: Iterable[str]) -> Looks:
    """Return how the files of some folders in `folder` look, to tell changed ones later."""
    looks: Looks = {}
    for name in names:
        if (folder / name).is_dir():
            with os.scandir(folder / name) as entries:
                files = sorted((e.name, e.stat()) for e in entries if e.is_file())
            looks[name] = {
                file: [stat.st_size, stat.st_mtime_ns, _file_digest(folder / name / file)]
                for file, stat in files
            }
    return looks


def find_hand_edits(folder: Path, marker: Path) -> list[str]:
    """Return the files that were changed by hand, as ``masks/00004.png``.

    Parameters
    ----------
    folder : Path
        Of a clip's results.
    marker : Path
        The record that its sink left. Without one nothing is known of changes.
    """
    try:
        looks: Mapping[str, Mapping[str, list[Any]]] = json.loads(marker.read_text())["looks"]
        folders = list(looks.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return [
        f"{name}/{file}"
        for name, files in folders
        for file, fingerprint in files.items()
        if _has_changed(folder / name / file, fingerprint)
    ]


def set_aside(folder: Path, edits: Iterable[str], kept: Path) -> None:
    """Copy changed files to `kept`, out of the way of results that are about to be written."""
    for edit in edits:
        target = kept / edit
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / edit, target)


def put_back(folder: Path, kept: Path) -> None:
    """Put changed files in the place of the new results, those of a run that was killed too."""
    for file in sorted(kept.rglob("*")) if kept.is_dir() else ():
        target = folder / file.relative_to(kept)
        if file.is_file() and target.parent.is_dir():
            target.unlink(missing_ok=True)  # it may be another name of a part's file
            shutil.copy2(file, target)
    shutil.rmtree(kept, ignore_errors=True)


def _has_changed(path: Path, fingerprint: list[Any]) -> bool:
    try:
        stat = path.stat()
    except OSError:
        return False
    if [stat.st_size, stat.st_mtime_ns] == fingerprint[:2]:
        return False
    return _file_digest(path) != str(fingerprint[2])


def _file_digest(path: Path) -> str:
    return blake3(path.read_bytes()).hexdigest()
