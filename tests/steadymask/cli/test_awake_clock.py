"""Time goes on only while the process runs."""

import threading

from steadymask.cli import awake_clock
from steadymask.cli.awake_clock import TICK_S, AwakeClock


def test_a_night_counts_as_a_tick():
    times = iter([100.0, 103.0, 103.0 + 8 * 3600, 105.0 + 8 * 3600])
    clock = AwakeClock(lambda: next(times))
    assert [clock(), clock(), clock()] == [3.0, 3.0 + TICK_S, 5.0 + TICK_S]


def test_a_thread_asks_while_nobody_else_does(monkeypatch):
    asked, often = [], threading.Event()

    class Clock:
        def __call__(self):
            asked.append(threading.current_thread())
            if len(asked) > 3:
                often.set()

    monkeypatch.setattr(awake_clock, "AwakeClock", Clock)
    monkeypatch.setattr(awake_clock, "TICK_S", 0.001)
    with awake_clock.awake_clock():
        assert often.wait(20)
    assert threading.current_thread() not in asked
    assert not asked[0].is_alive()
