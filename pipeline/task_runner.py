"""Doing one task: load what it reads, run its step, commit what it makes. Runs in any process."""

from __future__ import annotations

import errno
import faulthandler
import importlib
import os
import platform
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any, TextIO

from pipeline.errors import (
    NO_ROOM,
    DamageError,
    FullError,
    LostError,
    PipelineError,
    ShapeError,
)
from pipeline.plan import Node, Task
from pipeline.sink_writer import write_out
from pipeline.stage import Arrays, Sink, Source, Span, Stage, Window, check_arrays
from pipeline.store.artifact import Manifest, Piece
from pipeline.store.inventory import room_of
from pipeline.store.store import Store
from pipeline.terminal_access import leave_terminal

open_store = lru_cache(maxsize=8)(partial(Store, create=False))


STORE_ATTEMPTS = 3  # at a task whose store was away for a moment


class StageError(PipelineError):
    """A stage failed on a clip; the text says where and why."""


def produce_manifest(task: Task, store: Store) -> Manifest:
    """Return the manifest of what a task makes; found in the store, it is not made again.

    A store that cannot be reached is waited for.

    Raises
    ------
    PipelineError
        Whatever goes wrong, with the stage and the frames.
    """
    for attempt in count(1):
        try:
            return _do_task(task, store)
        except (DamageError, FullError):
            raise
        except LostError as error:
            raise LostError(f"{task.node}: {error}") from error
        except Exception as error:
            if not store.is_reachable():
                store.wait_until_reachable()
            elif attempt >= STORE_ATTEMPTS or not store.is_store_error(error):
                raise _explained_error(task, error) from error
    raise AssertionError


def produce_logging_errors(task: Task, find_store: Callable[[], Store]) -> Manifest:
    """Return as `produce_manifest`; the traceback of what it raises goes to the task's log."""
    try:
        return produce_manifest(task, find_store())
    except Exception:
        with suppress(OSError), _task_log(task) as log:
            traceback.print_exc(file=log)
        raise


def produce_capturing_output(task: Task, store_url: str, recent: int = 0) -> Manifest:
    """Return as `produce_manifest`; all that the process prints goes to the task's log.

    What it prints in dying is there too; the log of a task that succeeds is removed. The process
    keeps its store open, and in memory `recent` bytes of what it made or read.
    """
    leave_terminal()
    find_store = partial(open_store, store_url, recent=recent)
    try:
        log = _task_log(task)
    except OSError:  # nowhere to write: the sink will say so
        return produce_manifest(task, find_store())
    kept = [os.dup(1), os.dup(2)]
    try:
        for number in (1, 2):
            os.dup2(log.fileno(), number)
        faulthandler.enable(log)
        manifest = produce_logging_errors(task, find_store)
        remove_log(task.folder, task.node)
        return manifest
    finally:
        faulthandler.disable()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for number, copy in enumerate(kept, start=1):
            os.dup2(copy, number)
            os.close(copy)
        log.close()


def import_modules(names: Sequence[str]) -> None:
    """Import modules ahead of the tasks that need them."""
    leave_terminal()
    for name in names:
        importlib.import_module(name)


def log_file(folder: str, node: Node) -> Path:
    """Return where a task's log is: beside the results of its clip."""
    frames = "" if node.whole else f"-{node.start}"
    return Path(folder, "logs", f"{node.stage}{frames}.log")


def remove_log(folder: str, node: Node) -> None:
    """Remove a task's log if there is one, and the folder of logs if that was the last."""
    path = log_file(folder, node)
    with suppress(OSError):
        path.unlink()
        path.parent.rmdir()


def _task_log(task: Task) -> TextIO:
    path = log_file(task.folder, task.node)
    path.parent.mkdir(parents=True, exist_ok=True)
    log = path.open("a", encoding="utf-8", errors="backslashreplace")
    log.write(f"{time.strftime('%F %T')} {task.clip.name}: {task.node} on {socket.gethostname()}\n")
    log.flush()
    return log


def _explained_error(task: Task, error: Exception) -> PipelineError:
    """Return an error for the user's eyes: the stage is named, the cause is kept."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return FullError(f"{task.node}: {NO_ROOM}")
    if isinstance(error, MemoryError):
        return StageError(f"{task.node}: out of memory: use a smaller chunk or fewer workers")
    if isinstance(error, PipelineError):
        return StageError(f"{task.node}: {error}")
    return StageError(f"{task.node}: {type(error).__name__}: {error}")


def _do_task(task: Task, store: Store) -> Manifest:
    if isinstance(task.step, Sink):
        return write_out(task, store)
    manifest = store.find(task.key)
    return manifest if manifest is not None else _make_artifact(task, store)


def _make_artifact(task: Task, store: Store) -> Manifest:
    began, spent = time.time(), time.process_time()
    with store.draft(task.key) as draft:
        facts: dict[str, Any] = {}
        arrays: Arrays = {}
        if isinstance(task.step, Source):
            part = (task.node.start, task.node.stop)
            facts = dict(
                task.step.run(task.clip, task.facts, part, _checked_emit(task, draft.append))
            )
        elif isinstance(task.step, Stage):
            arrays = _run_stage(task, task.step, store)
            draft.append(arrays)
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
    for name, values in arrays.items():
        store.remember(manifest.piece(name, task.node.start, task.node.stop), values)
    return manifest


def _run_stage(task: Task, step: Stage, store: Store) -> Arrays:
    window = Window(task.node.start, task.node.stop, task.facts, _WantedSpans(task, store))
    arrays = step.run(window)
    for name, values in arrays.items():
        if len(values) != len(window.frames):
            raise ShapeError(
                f"{name}: expected {len(window.frames)} frames, got an array {values.shape}"
            )
    check_arrays(step.writes, arrays)
    return arrays


class _WantedSpans(Mapping[str, Span]):
    """The inputs of a task, each read from the store when it is first asked for.

    A step that finds nothing to do in one array need not wait for the others.
    """

    def __init__(self, task: Task, store: Store) -> None:
        self._pieces, self._store = task.pieces, store
        self._loaded: dict[str, Span] = {}

    def __getitem__(self, name: str) -> Span:
        if name not in self._loaded:
            self._loaded[name] = _load_span(self._store, self._pieces[name])
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pieces)

    def __len__(self) -> int:
        return len(self._pieces)


def _checked_emit(task: Task, append: Callable[[Arrays], None]) -> Callable[[Arrays], None]:
    """Return the callable that a source emits to: arrays are checked before they are appended."""

    def emit(arrays: Arrays) -> None:
        check_arrays(task.step.writes, arrays)
        append(arrays)

    return emit


def _load_span(store: Store, pieces: tuple[Piece, ...]) -> Span:
    names = [name for piece in pieces for name in piece.names()]
    return Span(pieces[0].start, store.read(*pieces, remember=True), names)
