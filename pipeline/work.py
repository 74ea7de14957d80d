"""Doing one task: load what it reads, run its step, commit what it makes. Runs in any process."""

from __future__ import annotations

import errno
import faulthandler
import json
import os
import platform
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Draft, Manifest, Piece
from pipeline.errors import DamageError, FullError, LostError, PipelineError, ShapeError
from pipeline.inventory import room_of
from pipeline.plan import Node, Task
from pipeline.stage import Sink, Source, Span, Stage, Window
from pipeline.store import NO_ROOM, Store

open_store = lru_cache(maxsize=8)(partial(Store, create=False))


STORE_ATTEMPTS = 3  # at a task whose store was away for a moment


class StageError(PipelineError):
    """A stage failed on a clip; the text says where and why."""


def perform(task: Task, store_url: str) -> Manifest:
    """Do a task and return the manifest of what it made; found in the store, it is not done again.

    A store that cannot be reached is waited for.

    Raises
    ------
    PipelineError
        Whatever goes wrong, with the stage and the frames.
    """
    store = open_store(store_url)
    for attempt in count(1):
        try:
            return _do(task, store)
        except (DamageError, FullError):
            raise
        except LostError as error:
            raise LostError(f"{task.node}: {error}") from error
        except Exception as error:
            if not store.reachable():
                store.wait()
            elif attempt >= STORE_ATTEMPTS or not store.concerns(error):
                raise _told(task, error) from error
    raise AssertionError


def perform_reported(task: Task, store_url: str) -> Manifest:
    """Do as `perform`; what it raises is written, with its traceback, to the task's log."""
    try:
        return perform(task, store_url)
    except Exception:
        with suppress(OSError), _log(task) as log:
            traceback.print_exc(file=log)
        raise


def perform_logged(task: Task, store_url: str) -> Manifest:
    """Do as `perform` in a process of its own: all it says, also in dying, is in the task's log.

    The log of a task that succeeds is removed.
    """
    try:
        log = _log(task)
    except OSError:  # nowhere to write: the sink will say so
        return perform(task, store_url)
    kept = [os.dup(1), os.dup(2)]
    try:
        for number in (1, 2):
            os.dup2(log.fileno(), number)
        faulthandler.enable(log)
        manifest = perform_reported(task, store_url)
        path = log_file(task.folder, task.node)
        with suppress(OSError):
            path.unlink()
            path.parent.rmdir()  # if it is empty
        return manifest
    finally:
        faulthandler.disable()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for number, copy in enumerate(kept, start=1):
            os.dup2(copy, number)
            os.close(copy)
        log.close()


def log_file(folder: str, node: Node) -> Path:
    """Return where a task's log is: beside the results of its clip."""
    frames = "" if node.whole else f"-{node.start}"
    return Path(folder, "logs", f"{node.stage}{frames}.log")


def _log(task: Task) -> TextIO:
    path = log_file(task.folder, task.node)
    path.parent.mkdir(parents=True, exist_ok=True)
    log = path.open("a", encoding="utf-8", errors="backslashreplace")
    log.write(f"{time.strftime('%F %T')} {task.clip.name}: {task.node} on {socket.gethostname()}\n")
    log.flush()
    return log


def _told(task: Task, error: Exception) -> PipelineError:
    """Return what a user should read of an error: the stage is named, the cause is kept."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return FullError(f"{task.node}: {NO_ROOM}")
    if isinstance(error, MemoryError):
        return StageError(f"{task.node}: out of memory: use a smaller chunk or fewer workers")
    if isinstance(error, PipelineError):
        return StageError(f"{task.node}: {error}")
    return StageError(f"{task.node}: {type(error).__name__}: {error}")


def _do(task: Task, store: Store) -> Manifest:
    if isinstance(task.step, Sink):
        return _write_out(task, store)
    found = store.find(task.key)
    return found if found is not None else _make(task, store)


def _make(task: Task, store: Store) -> Manifest:
    began, spent = time.time(), time.process_time()
    with store.draft(task.key) as draft:
        facts: dict[str, Any] = {}
        if isinstance(task.step, Source):
            part = (task.node.start, task.node.stop)
            facts = dict(task.step.run(task.clip, task.facts, part, draft.append))
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
                "stored_bytes": room_of(store, draft.folder),
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
                yield from store.read(piece.part(start, stop))

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
    stop = piece.start + piece.frames
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
        with os.scandir(path) as entries:
            return sum(entry.stat().st_size + 1 for entry in entries)
    return path.stat().st_size
