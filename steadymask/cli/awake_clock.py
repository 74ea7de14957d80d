"""Time during which this process ran, without that for which it or its machine stood still."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TICK_S = 1.0
LONGEST_STEP_S = 5.0  # a longer one between two ticks: stopped (Ctrl-Z), paused, or asleep


class AwakeClock:
    """Counts seconds from 0; of a step in which it was not asked for long, only a tick.

    A laptop that slept for a night, or a run that was stopped and continued, would else seem slow.

    Parameters
    ----------
    now : callable
        Gives the time in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._last, self._awake = now, now(), 0.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the seconds so far."""
        with self._lock:
            step = self._now() - self._last
            self._last += step
            self._awake += step if step <= LONGEST_STEP_S else TICK_S
            return self._awake


@contextmanager
def awake_clock() -> Iterator[AwakeClock]:
    """Give a clock that a thread asks every second, as it has to be."""
    clock, ended = AwakeClock(), threading.Event()

    def tick() -> None:
        while not ended.wait(TICK_S):
            clock()

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield clock
    finally:
        ended.set()
        thread.join()
