"""What happens during a run, as it happens; progress, ledger and `run.json` are made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from pipeline.plan import Node


@dataclass(frozen=True)
class Event:
    """Something that happened to a clip; `kind` is a word for those who only count."""

    kind: ClassVar[str] = ""

    clip: str


@dataclass(frozen=True)
class TasksCounted(Event):
    """It is known how much a clip has left: after each source, and after a repair.

    `frames` is its length, 0 while it is not known; `left` are those that each stage has to do.
    """

    kind: ClassVar[str] = "known"

    tasks: int
    frames: int = 0
    left: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskEvent(Event):
    """Something that happened to a task of a clip."""

    node: Node


@dataclass(frozen=True)
class TaskStarted(TaskEvent):
    """A task was given to a worker."""

    kind: ClassVar[str] = "started"


@dataclass(frozen=True)
class TaskEnded(TaskEvent):
    """The result of a task is there; `stored_bytes` is its size before compression."""

    seconds: float = 0.0
    stored_bytes: int = 0
    attempts: int = 0


@dataclass(frozen=True)
class TaskCached(TaskEnded):
    """It was there before: nothing was computed."""

    kind: ClassVar[str] = "hit"


@dataclass(frozen=True)
class TaskDone(TaskEnded):
    """It was computed."""

    kind: ClassVar[str] = "done"


@dataclass(frozen=True)
class TaskRetried(TaskEvent):
    """A task is done once more: `text` says why, `error` is the class of what went wrong."""

    kind: ClassVar[str] = "again"

    text: str
    error: str
    attempts: int = 0


@dataclass(frozen=True)
class Notice(Event):
    """Something that the user should know of a clip, which goes on."""

    kind: ClassVar[str] = "notice"

    text: str


@dataclass(frozen=True)
class ClipFinished(Event):
    """All of a clip is done."""

    kind: ClassVar[str] = "finished"


@dataclass(frozen=True)
class ClipFailed(Event):
    """A clip is given up: `text` says why, `node` where, if it was in a task; `log` is a file."""

    kind: ClassVar[str] = "failed"

    text: str
    node: Node | None = None
    error: str = ""
    attempts: int = 0
    quarantined: bool = False
    log: str = ""


Listener = Callable[[Event], None]
