"""Steps that sleep for a millisecond instead of working; workers import them from here."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np

from pipeline.stage import (
    ArrayHandle,
    Arrays,
    Clip,
    Facts,
    Input,
    Reader,
    Sink,
    Source,
    Stage,
    Step,
    Window,
)

SLEEP_S = 0.001
FRAMES = 2


class OneLook(Source):
    """Says how long the clip is."""

    name: ClassVar[str] = "look"
    version: ClassVar[int] = 1
    reads: ClassVar[str] = "footage"

    def identity(self, clip: Clip) -> str:
        """Return the digest of nothing: the file is never opened."""
        return clip.name

    def run(
        self, clip: Clip, facts: Facts, part: tuple[int, int], emit: Callable[[Arrays], None]
    ) -> Facts:
        """Sleep."""
        time.sleep(SLEEP_S)
        emit({"x": np.zeros((FRAMES, 1), np.uint8)})
        return {"frames": FRAMES, "shots": [[0, FRAMES]]}


class Work(Stage):
    """Sleeps."""

    name: ClassVar[str] = "work"
    version: ClassVar[int] = 1

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read all."""
        return (Input("look", "x"),)

    def run(self, window: Window) -> Arrays:
        """Sleep."""
        time.sleep(SLEEP_S)
        return {"y": window["look.x"].array + 1}


class More(Work):
    """Sleeps again."""

    name: ClassVar[str] = "more"

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read all."""
        return (Input("work", "y"),)

    def run(self, window: Window) -> Arrays:
        """Sleep."""
        time.sleep(SLEEP_S)
        return {"z": window["work.y"].array + 1}


class Note(Sink):
    """Writes a small file."""

    name: ClassVar[str] = "note"
    version: ClassVar[int] = 1

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read all."""
        return (Input("more", "z"),)

    def run(self, clip: Clip, facts: Facts, read: Reader, folder: Path) -> list[str]:
        """Sleep, and write."""
        time.sleep(SLEEP_S)
        (folder / "note").write_text(repr([int(z[0]) for z in read(ArrayHandle("more", "z"))]))
        return ["note"]


STEPS: tuple[Step, ...] = (OneLook(), Work(), More(), Note())
