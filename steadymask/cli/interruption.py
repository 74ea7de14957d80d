"""Ends a command that is told to stop: once cleanly, a second time at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from pipeline.exit_status import signal_status

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHOW_CURSOR = "\x1b[?25h"


class Interrupted(KeyboardInterrupt):
    """A signal told this command to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """The exit status that shells give to the signal."""
        return signal_status(self.number)

    def __str__(self) -> str:
        """Return the line for the user."""
        how = "interrupted" if self.number == signal.SIGINT else f"stopped by {self._signal_name}"
        return f"{how}: what is done stays, the same command goes on from here"

    @property
    def _signal_name(self) -> str:
        return signal.Signals(self.number).name


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Raise `Interrupted` at the first of `SIGNALS`; end this process at once at the second.

    A signal that is ignored, as SIGHUP under nohup, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        if stopped:
            _end_at_once(number)
        stopped = True
        raise Interrupted(number)

    before: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def _end_at_once(number: int) -> None:
    with suppress(OSError, ValueError):
        if sys.stderr.isatty():
            sys.stderr.write(SHOW_CURSOR)
        sys.stderr.flush()
    os._exit(signal_status(number))
