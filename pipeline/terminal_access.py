"""Keep worker processes and their children away from a person's terminal."""

from __future__ import annotations

import os
import signal
import threading

STANDARD_INPUT = 0


def close_standard_input() -> None:
    """Replace this process's standard input by the null device, for its children too.

    A program such as ffmpeg changes the settings of a terminal that is its standard input. A
    background process that does so is stopped by the kernel (SIGTTOU), and with it its whole
    process group: a Ray worker and its watchdog, silently and for ever.
    """
    null = os.open(os.devnull, os.O_RDONLY)
    if null != STANDARD_INPUT:
        os.dup2(null, STANDARD_INPUT)
        os.close(null)


def leave_terminal() -> None:
    """Give up the terminal in a worker process: nothing that it starts can be stopped by it.

    Standard input becomes the null device, and access to a terminal that is opened by name fails
    with an error instead of stopping the process.
    """
    close_standard_input()
    if threading.current_thread() is threading.main_thread():
        for stop in (signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(stop, signal.SIG_IGN)
