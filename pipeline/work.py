"""Doing one task: load what it reads, run its step, commit what it makes. Runs in any process."""

from __future__ import annotations

import json
import os
import platform
import socket
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import CacheError, PipelineError, ShapeError
from pipeline.plan import Task
from pipeline.stage import Sink, Source, Span, Stage, Window
from pipeline.store import Draft, Manifest, Piece, Store

open_store = lru_cache(maxsize=8)(Store)


class StageError(PipelineError):
    """A stage failed on a clip; the text says where and why."""


def perform(task: Task, store_url: str) -> Manifest:
    """Do a task and return the manifest of what it made; found in the store, it is not done again.

    Raises
    ------
    PipelineError
        Whatever goes wrong, with the stage and the frames.
    """
    try:
        store = open_store(store_url)
        if isinstance(task.step, Sink):
            return _write_out(task, store)
        found = store.find(task.key)
        return found if found is not None else _make(task, store)
    except CacheError:
        raise
    except PipelineError as error:
        raise StageError(f"{task.node}: {error}") from error
    except MemoryError as error:
        raise StageError(
            f"{task.node}: out of memory: use a smaller chunk or fewer workers"
        ) from error
    except Exception as error:
        # The worker boundary: the stage is named, and the cause is kept with its traceback.
        raise StageError(f"{task.node}: {type(error).__name__}: {error}") from error


def _make(task: Task, store: Store) -> Manifest:
    began, spent = time.time(), time.process_time()
    with store.draft(task.key) as draft:
        facts: dict[str, Any] = {}
        if isinstance(task.step, Source):
            facts = dict(task.step.run(task.clip, task.facts, draft.append))
        elif isinstance(task.step, Stage):
            _run_stage(task, task.step, store, draft)
        manifest = Manifest(
            key=task.key,
            start=task.node.start,
            arrays=draft.arrays,
            facts=facts,
            record=task.record,
            provenance={
                "clip": task.clip.name,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "python": platform.python_version(),
                "finished": time.time(),
                "seconds": round(time.time() - began, 3),
                "cpu_seconds": round(time.process_time() - spent, 3),
            },
        )
        store.publish(draft, manifest)
    return manifest


def _run_stage(task: Task, step: Stage, store: Store, draft: Draft) -> None:
    spans = {name: _load(store, pieces) for name, pieces in task.pieces.items()}
    window = Window(task.node.start, task.node.stop, task.facts, spans)
    arrays = step.run(window)
    for name, values in arrays.items():
        if len(values) != len(window.frames):
            raise ShapeError(
                f"{name}: expected {len(window.frames)} frames, got an array {values.shape}"
            )
    draft.append(arrays)


def _load(store: Store, pieces: tuple[Piece, ...]) -> Span:
    parts = [store.read(piece) for piece in pieces]
    return Span(pieces[0].start, parts[0] if len(parts) == 1 else np.concatenate(parts))


def _write_out(task: Task, store: Store) -> Manifest:
    """Run a sink unless what it wrote for this very key is still there."""
    folder = Path(task.folder)
    marker = folder / f".{task.step.name}.json"
    found = written_before(task)
    if found is not None:
        return found
    marker.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.time()

    def read(stage: str, array: str, only: Sequence[int] | None = None) -> Iterator[NDArray[Any]]:
        for piece in task.pieces[f"{stage}.{array}"]:
            for start, stop in _runs(piece, only):
                k = start - piece.start
                part = Piece(
                    piece.key, array, start, piece.offset + k, piece.digests[k : k + stop - start]
                )
                yield from store.read(part)

    if not isinstance(task.step, Sink):
        raise TypeError(f"{task.step.name} is not a sink")
    names = task.step.run(task.clip, task.facts, read, folder)
    sizes = {name: _size(folder / name) for name in names}
    text = {"key": task.key, "record": task.record, "files": sizes}
    draft = folder / f".{task.step.name}.json.draft"
    draft.write_text(json.dumps(text, sort_keys=True))
    draft.replace(marker)
    seconds = {"seconds": round(time.time() - began, 3)}
    return Manifest(task.key, 0, {}, {"files": sorted(sizes)}, task.record, seconds)


def _runs(piece: Piece, only: Sequence[int] | None) -> Iterator[tuple[int, int]]:
    """Yield the runs of a piece's frames to be read at a time: start and stop."""
    stop = piece.start + len(piece.digests)
    if only is None:
        for start in range(piece.start, stop, 8):
            yield start, min(start + 8, stop)
    else:
        yield from ((frame, frame + 1) for frame in only if piece.start <= frame < stop)


def written_before(task: Task) -> Manifest | None:
    """Return what a sink left if its key is the same and every file is still as large."""
    folder = Path(task.folder)
    try:
        left = json.loads((folder / f".{task.step.name}.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    if left["key"] != task.key:
        return None
    for name, size in left["files"].items():
        if not (folder / name).exists() or _size(folder / name) != size:
            return None
    return Manifest(task.key, 0, {}, {"files": sorted(left["files"])}, task.record)


def _size(path: Path) -> int:
    """Return a file's size, or the number of files in a folder and their size, as one figure."""
    if path.is_dir():
        return sum(entry.stat().st_size + 1 for entry in os.scandir(path))
    return path.stat().st_size
