"""Progress on standard error: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.events import ClipFailed, ClipFinished, Event, Notice, TaskRetried
from steadymask.cli.awake_clock import awake_clock
from steadymask.cli.terminal import line
from steadymask.cli.units import duration_text
from steadymask.cli.work_meter import WorkMeter

EVERY_S = 30.0  # a line, where there is no terminal
CLIPS_SHOWN = 8
NARROW = 60  # columns


class _QuietConsole(Console):
    """Goes on where nobody reads it: a run is not for its progress."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Progress:
    """Shows the events of a run of `clips` clips, `workers` tasks at a time."""

    def __init__(self, clips: int, workers: int = 0) -> None:
        self._console = _QuietConsole(stderr=True)
        self._clips, self._ended, self._began = clips, 0, time.monotonic()
        self._open = ExitStack()
        self._meter = WorkMeter(clips, workers, self._open.enter_context(awake_clock()))
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._live: Live | None = None
        self._ticker: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start showing."""
        if sys.stderr.isatty() and not self._console.is_dumb_terminal:
            self._live = Live(
                console=self._console, get_renderable=self._screen_content, refresh_per_second=4,
                transient=True, redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip
            self._live.start()
        else:
            self._ticker = threading.Thread(target=self._redraw_often, daemon=True)
            self._ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop showing."""
        self._stopped.set()
        if self._live is not None:
            with suppress(OSError):  # the terminal may be gone
                self._live.stop()
        if self._ticker is not None:
            self._ticker.join()
        self._open.close()

    def record_event(self, event: Event) -> None:
        """Show one event."""
        with self._lock:
            self._meter.record_event(event)
        if isinstance(event, ClipFinished | ClipFailed):
            self._ended += 1
            self._end_clip(event)
        elif isinstance(event, TaskRetried | Notice):
            retry = "once more: " if isinstance(event, TaskRetried) else ""
            self._print_line(f"{event.clip}: {retry}{event.text}")

    def _redraw_often(self) -> None:
        while not self._stopped.wait(EVERY_S):
            with self._lock:
                text, running = self._overall_bar(), self._meter.running()
            work = "; ".join(f"{clip}: {', '.join(names)}" for clip, names in running.items())
            self._print_line(
                f"{time.strftime('%H:%M:%S')} {text}" + (f"; at work: {work}" * bool(work))
            )

    def _overall_bar(self, *, short: bool = False) -> str:
        estimate = self._meter.estimate()
        if not estimate.frames:
            return "looking at the footage"
        left = "" if estimate.seconds_left is None else duration_text(estimate.seconds_left)
        done, frames = f"{estimate.frames_done:,.0f}", f"{estimate.frames:,.0f}"
        if short:
            return f"{estimate.share:.0%} {done}/{frames} {left}".rstrip()
        ending = f", about {left} left" if left else ""
        return (
            f"{estimate.share:.0%}, {done} of {frames} frames, {estimate.rate:.1f} frames/s{ending}"
        )

    def _screen_content(self) -> Group:
        """Return all that stands below the lines: a bar of all, and the clips at work."""
        narrow = self._console.width < NARROW
        with self._lock:
            text, share = self._overall_bar(short=narrow), self._meter.estimate().share
            running = [
                (clip, stages, self._meter.share_of(clip))
                for clip, stages in self._meter.running().items()
            ]
        head = Table.grid(padding=(0, 1))
        head.add_column(width=8 if narrow else 16)
        head.add_column(no_wrap=True, overflow="ellipsis")
        head.add_row(ProgressBar(total=1.0, completed=share), Text(text))
        lines = [
            Text(
                f"  {line(clip)}  {', '.join(stages)}  {part:.0%}",
                no_wrap=True,
                overflow="ellipsis",
            )
            for clip, stages, part in running[:CLIPS_SHOWN]
        ]
        more = len(running) - CLIPS_SHOWN
        return Group(head, *lines, *([Text(f"  and {more} more clips")] if more > 0 else []))

    def _end_clip(self, event: ClipFinished | ClipFailed) -> None:
        outcome = "done"
        if isinstance(event, ClipFailed):
            stage_words = f" ({event.node.stage})" if event.node else ""
            outcome = f"failed{stage_words}: {event.text}"
        spent = time.monotonic() - self._began
        self._print_line(f"[{self._ended}/{self._clips}] {event.clip}: {outcome}  ({spent:.1f} s)")

    def _print_line(self, text: str) -> None:
        self._console.print(line(text), markup=False, highlight=False, soft_wrap=True)
