"""What became of every clip and stage, kept in the store: state, attempts, error, log."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.events import (
    ClipFailed,
    ClipFinished,
    Event,
    TaskEnded,
    TaskEvent,
    TaskRetried,
    TaskStarted,
)
from pipeline.store.store import Store

State = Literal["open", "done", "failed", "quarantined"]


@dataclass
class StageEntry:
    """What became of one stage of a clip. `frames` are those of the last failure."""

    state: Literal["running", "done", "failed"] = "running"
    done: int = 0  # nodes
    attempts: int = 0  # most for one node
    error: str = ""
    text: str = ""
    frames: tuple[int, int] = (0, -1)


@dataclass
class Entry:
    """What became of one clip."""

    clip: str
    files: dict[str, str]
    state: State = "open"
    updated: float = 0.0
    log: str = ""
    stages: dict[str, StageEntry] = field(default_factory=dict)


class Ledger:
    """The entries of one library in a store. Follows a run; tells what earlier ones left.

    Parameters
    ----------
    store : Store
    out : Path
        Of the run: a clip has one entry for each place that its results go to.
    """

    def __init__(self, store: Store, out: Path) -> None:
        self._store, self._out = store, str(out.resolve())
        self._open: dict[str, Entry] = {}
        self._before: dict[str, State | None] = {}  # what the store says of those

    def entry(self, clip: str) -> Entry | None:
        """Return the entry of a clip; None if it was never begun, or the entry is damaged."""
        text = self._store.note(self._entry_name(clip))
        if text is None:  # before 0.2 a backslash and a zero stood for NUL
            text = self._store.note(_entry_name(f"{self._out}\\0{clip}"))
        try:
            plain: dict[str, Any] = json.loads(text or "")
            stages = {name: StageEntry(**stage) for name, stage in plain.pop("stages").items()}
            return Entry(**plain, stages=stages)
        except (ValueError, TypeError, KeyError):
            return None

    def begin(self, clip: str, files: Mapping[str, Path]) -> Entry | None:
        """Follow a clip from now on; return what was known of it."""
        before = self.entry(clip)
        self._before[clip] = before.state if before is not None else None
        self._open[clip] = Entry(clip, {name: str(path) for name, path in files.items()})
        return before

    def record_event(self, event: Event) -> None:
        """Add one event. Written is what changes: that work begins, is done again, and ends."""
        entry = self._open.get(event.clip)
        if entry is None:
            return
        node = event.node if isinstance(event, TaskEvent | ClipFailed) else None
        if node is not None:
            self._add_event(entry.stages.setdefault(node.stage, StageEntry()), event)
        begun = isinstance(event, TaskStarted) and self._before[event.clip] != "open"
        if isinstance(event, ClipFailed | ClipFinished):
            entry.state = "done"
            if isinstance(event, ClipFailed):
                entry.state = "quarantined" if event.quarantined else "failed"
                entry.log = event.log
            if entry.state != "done" or self._before[event.clip] != "done":
                self._write_entry(event.clip)
            del self._open[event.clip], self._before[event.clip]
        elif begun or isinstance(event, TaskRetried):
            self._before[event.clip] = "open"
            self._write_entry(event.clip)

    def leave(self, clip: str) -> None:
        """Follow a clip no more; what was known of it stays."""
        del self._open[clip], self._before[clip]

    @staticmethod
    def _add_event(stage: StageEntry, event: Event) -> None:
        if isinstance(event, TaskEnded):
            stage.done += 1
            stage.state = "done"
        elif isinstance(event, ClipFailed | TaskRetried) and event.node is not None:
            stage.state = "failed" if isinstance(event, ClipFailed) else "running"
            stage.error, stage.text = event.error, event.text
            stage.frames = (event.node.start, event.node.stop)
        if isinstance(event, TaskEnded | ClipFailed | TaskRetried):
            stage.attempts = max(stage.attempts, event.attempts)

    def _write_entry(self, clip: str) -> None:
        entry = self._open[clip]
        entry.updated = time.time()
        self._store.write_note(self._entry_name(clip), json.dumps(asdict(entry), sort_keys=True))

    def _entry_name(self, clip: str) -> str:
        return _entry_name(f"{self._out}\0{clip}")  # NUL is in no path


def _entry_name(name: str) -> str:
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f"ledger/{digest[:2]}/{digest}.json"
