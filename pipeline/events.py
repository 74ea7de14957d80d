"""What happened during a run, as it happens; progress and `run.json` are made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pipeline.plan import Node


@dataclass(frozen=True)
class Event:
    """One thing that happened to a node, or to a clip as a whole (`node` is None).

    `known` says how many nodes a clip has left, `again` why one is done once more.
    """

    kind: Literal["known", "started", "hit", "done", "again", "failed", "finished"]
    clip: str
    node: Node | None = None
    seconds: float = 0.0
    stored_bytes: int = 0
    nodes: int = 0
    text: str = ""
    error: str = ""  # its class
    attempts: int = 0
    quarantined: bool = False
    log: str = ""


Listener = Callable[[Event], None]
