"""Content digests of outside files, remembered so that a library is not read again for each run."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.stage import Clip, Source
from pipeline.store.keys import digest_json
from pipeline.store.store import Store


def remembered_identity(store: Store, step: Source, clip: Clip) -> str:
    """Return ``step.identity(clip)``, from the store if the files look as they did then.

    A store that is not there is not made for it. Files look the same if their paths, sizes and
    times of change are.
    """
    paths = [clip.files[name] for name in (step.reads, *step.also_reads) if name in clip.files]
    asked = step.identified_as or step.name
    appearance = [part for path in paths for part in (str(path.resolve()), _file_stamps(path))]
    note_name = f"digests/{digest_json([asked, *appearance])}"
    known = store.note(note_name)
    if known is not None:
        return known
    digest = step.identity(clip)
    if store.is_reachable():
        store.write_note(note_name, digest)
    return digest


def _file_stamps(path: Path) -> list[tuple[str, int, int]]:
    """Return name, size and time of change of a file, or of the files in a folder, at any depth.

    A path that is not there is a pattern: it stands for files of its folder.
    """
    if not path.exists():
        path = path.parent
    if not path.is_dir():
        stat = path.stat()
        return [("", stat.st_size, stat.st_mtime_ns)]
    looks: list[tuple[str, int, int]] = []
    folders = [(path, "")]
    while folders:
        folder, prefix = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append((folder / entry.name, f"{prefix}{entry.name}/"))
                elif entry.is_file():
                    stat = entry.stat()
                    looks.append((prefix + entry.name, stat.st_size, stat.st_mtime_ns))
    return sorted(looks)
