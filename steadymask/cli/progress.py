"""Progress on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

import rich.progress
from rich.console import Console

from pipeline.events import (
    ClipFailed,
    ClipFinished,
    Event,
    Notice,
    TaskEnded,
    TaskRetried,
    TasksCounted,
)
from steadymask.cli.terminal import line


class Progress:
    """Shows the events of a run of `clips` clips."""

    def __init__(self, clips: int) -> None:
        self._console = Console(stderr=True)
        self._clips, self._ended, self._began = clips, 0, time.monotonic()
        self._bar: rich.progress.Progress | None = None
        self._steps: dict[str, rich.progress.TaskID] = {}
        if sys.stderr.isatty():
            self._bar = rich.progress.Progress(
                rich.progress.TextColumn("{task.description}", markup=False),
                rich.progress.BarColumn(),
                rich.progress.MofNCompleteColumn(),
                rich.progress.TimeRemainingColumn(),
                console=self._console,
            )

    def __enter__(self) -> Self:
        """Start the bar."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the bar."""
        if self._bar is not None:
            self._bar.stop()

    def take(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, ClipFinished | ClipFailed):
            self._ended += 1
            self._end(event)
        elif isinstance(event, TaskRetried | Notice):
            retry = "once more: " if isinstance(event, TaskRetried) else ""
            text = f"{event.clip}: {retry}{event.text}"
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        elif self._bar is not None and isinstance(event, TasksCounted | TaskEnded):
            self._advance(self._bar, event)

    def _advance(self, bar: rich.progress.Progress, event: TasksCounted | TaskEnded) -> None:
        if event.clip not in self._steps:
            self._steps[event.clip] = bar.add_task(line(event.clip), total=None)
        step = self._steps[event.clip]
        if isinstance(event, TasksCounted):
            bar.update(step, total=bar.tasks[bar.task_ids.index(step)].completed + event.tasks)
        else:
            bar.update(step, advance=1, description=f"{line(event.clip)}  {event.node.stage}")

    def _end(self, event: ClipFinished | ClipFailed) -> None:
        if self._bar is not None and event.clip in self._steps:
            self._bar.remove_task(self._steps.pop(event.clip))
        said = "done"
        if isinstance(event, ClipFailed):
            place = f" ({event.node.stage})" if event.node else ""
            said = f"failed{place}: {event.text}"
        spent = time.monotonic() - self._began
        text = f"[{self._ended}/{self._clips}] {event.clip}: {said}  ({spent:.1f} s)"
        self._console.print(line(text), markup=False, highlight=False, soft_wrap=True)
