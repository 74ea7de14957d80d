"""Progress on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

import rich.progress
from rich.console import Console

from pipeline.events import Event
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
        if event.kind in ("finished", "failed"):
            self._ended += 1
            self._end(event)
        elif event.kind == "again":
            line = f"{event.clip}: once more: {event.text}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        elif self._bar is not None and event.kind != "started":
            self._advance(self._bar, event)

    def _advance(self, bar: rich.progress.Progress, event: Event) -> None:
        if event.clip not in self._steps:
            self._steps[event.clip] = bar.add_task(line(event.clip), total=None)
        step = self._steps[event.clip]
        if event.kind == "known":
            bar.update(step, total=bar.tasks[bar.task_ids.index(step)].completed + event.nodes)
        elif event.node is not None:
            bar.update(step, advance=1, description=f"{line(event.clip)}  {event.node.stage}")

    def _end(self, event: Event) -> None:
        if self._bar is not None and event.clip in self._steps:
            self._bar.remove_task(self._steps.pop(event.clip))
        place = f" ({event.node.stage})" if event.node else ""
        said = f"failed{place}: {event.text}" if event.kind == "failed" else "done"
        spent = time.monotonic() - self._began
        text = f"[{self._ended}/{self._clips}] {event.clip}: {said}  ({spent:.1f} s)"
        self._console.print(line(text), markup=False, highlight=False, soft_wrap=True)
