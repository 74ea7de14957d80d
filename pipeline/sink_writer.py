"""Writing results where the user wants them: in parts that are joined, once a clip."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pipeline.hand_edits import describe_files, find_hand_edits, put_back, set_aside
from pipeline.plan import Node, Task, record_for
from pipeline.stage import ArrayHandle, PartedSink, Reader, Sink
from pipeline.store.artifact import Manifest, Piece
from pipeline.store.keys import digest_json
from pipeline.store.store import Store
from pipeline.whole_files import creating, remove_path, write_whole

READ = 8  # frames read at a time


def write_out(task: Task, store: Store) -> Manifest:
    """Run a sink, or write a part for it, unless what it wrote for this very key is still there."""
    manifest = written_before(task)
    if manifest is not None:
        return manifest
    began = time.time()
    if not isinstance(task.step, Sink):
        raise TypeError(f"{task.step.name} is not a sink")
    if not task.node.whole:
        _write_part(task, store)
        return _sink_manifest(task, (), time.time() - began)
    folder, marker = Path(task.folder), _marker_path(task)
    kept = folder / f".{task.step.name}.kept"  # of this sink: others write beside it
    set_aside(folder, find_hand_edits(folder, marker), kept)
    marker.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    left: dict[str, Any] = {"key": task.key, "record": task.record}
    if isinstance(task.step, PartedSink):
        names, left["parts"] = _join_parts(task, task.step, store)
    else:
        names = task.step.run(task.clip, task.facts, _piece_reader(task, store), folder)
    left["files"] = {name: _size_on_disk(folder / name) for name in names}
    left["looks"] = describe_files(folder, (name for name in names if name in task.step.editable))
    put_back(folder, kept)
    write_whole(marker, json.dumps(left, sort_keys=True))
    shutil.rmtree(_parts_folder(task), ignore_errors=True)
    return _sink_manifest(task, names, time.time() - began)


def written_before(task: Task) -> Manifest | None:
    """Return the manifest of a sink's files if its key and every file's size are the same.

    A part counts as there, too, if it is in what was joined.
    """
    folder = Path(task.folder)
    if not task.node.whole and _has_part(task):
        return _sink_manifest(task, ())
    try:
        left = json.loads(_marker_path(task).read_text())
    except (FileNotFoundError, ValueError):
        return None
    files = left["files"]
    if not task.node.whole:
        same = left.get("parts", {}).get(_part_label(task.node)) == task.key
        return (
            _sink_manifest(task, ()) if same and all((folder / f).exists() for f in files) else None
        )
    if left["key"] != task.key:
        return None
    edited = {Path(edit).parts[0] for edit in find_hand_edits(folder, _marker_path(task))}
    for name, size in files.items():
        if not (folder / name).exists():
            return None
        if _size_on_disk(folder / name) != size and not (
            name in edited and _is_complete(folder / name, left["looks"][name])
        ):
            return None
    return _sink_manifest(task, files)


def _is_complete(folder: Path, looks: Mapping[str, object]) -> bool:
    """Return whether a folder holds all files that were written; some may have been changed."""
    return looks.keys() <= {entry.name for entry in os.scandir(folder)}


def clear_parts(task: Task) -> None:
    """Remove the parts of what is joined already: a run was killed before it could."""
    if _parts_folder(task).exists():
        shutil.rmtree(_parts_folder(task), ignore_errors=True)


def _join_parts(task: Task, step: PartedSink, store: Store) -> tuple[list[str], dict[str, str]]:
    """Join the parts, those made anew that are missing; return files, and the keys of the parts."""
    folders, keys = [], {}
    for start, stop in step.parts(task.facts):
        part = _part_of(task, start, stop)
        if not _has_part(part):
            _write_part(part, store)
        keys[_part_label(part.node)] = part.key
        folders.append(_part_folder(part))
    return step.join(task.clip, task.facts, folders, Path(task.folder)), keys


def _part_of(task: Task, start: int, stop: int) -> Task:
    """Return the task that writes a part of what `task` joins."""
    pieces = {
        name: tuple(
            piece.part(max(piece.start, start), min(piece.start + piece.frames, stop))
            for piece in pieces
            if piece.start < stop and piece.start + piece.frames > start
        )
        for name, pieces in task.pieces.items()
    }
    record = record_for(task.step, (start, stop), task.facts, pieces)
    node = Node(task.node.clip, task.node.stage, start, stop)
    return replace(task, node=node, key=digest_json(record), record=record, pieces=pieces)


def _write_part(task: Task, store: Store) -> None:
    if not isinstance(task.step, PartedSink):
        raise TypeError(f"{task.step.name} has no parts")
    folder = _part_folder(task)
    remove_path(folder)
    with creating(folder) as draft:
        draft.mkdir(parents=True)
        span = task.node.start, task.node.stop
        task.step.write(task.clip, task.facts, span, _piece_reader(task, store), draft)
        (draft / "key").write_text(task.key)


def _has_part(task: Task) -> bool:
    try:
        return (_part_folder(task) / "key").read_text() == task.key
    except FileNotFoundError:
        return False


def _piece_reader(task: Task, store: Store) -> Reader:
    def read(array: ArrayHandle, only: Sequence[int] | None = None) -> Iterator[NDArray[Any]]:
        for piece in task.pieces[str(array)]:
            for start, stop in _frame_runs(piece, only):
                yield from store.read(piece.part(start, stop))

    return read


def _frame_runs(piece: Piece, only: Sequence[int] | None) -> Iterator[tuple[int, int]]:
    """Yield the runs of a piece's frames to be read at a time: start and stop."""
    stop = piece.start + piece.frames
    if only is None:
        for start in range(piece.start, stop, READ):
            yield start, min(start + READ, stop)
    else:
        yield from ((frame, frame + 1) for frame in only if piece.start <= frame < stop)


def _sink_manifest(
    task: Task, files: Sequence[str] | dict[str, int], seconds: float = 0.0
) -> Manifest:
    provenance = {"seconds": round(seconds, 3)} if seconds else {}
    return Manifest(
        task.key, task.node.start, {}, {"files": sorted(files)}, task.record, dict(provenance)
    )


def _marker_path(task: Task) -> Path:
    return Path(task.folder, f".{task.step.name}.json")


def _parts_folder(task: Task) -> Path:
    return Path(task.folder, f".{task.step.name}.parts")


def _part_folder(task: Task) -> Path:
    return _parts_folder(task) / _part_label(task.node)


def _part_label(node: Node) -> str:
    return f"{node.start}-{node.stop}"


def _size_on_disk(path: Path) -> int:
    """Return a file's size, or the number of files in a folder and their size, as one figure."""
    if path.is_dir():
        with os.scandir(path) as entries:
            return sum(entry.stat().st_size + 1 for entry in entries)
    return path.stat().st_size
