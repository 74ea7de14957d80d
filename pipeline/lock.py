"""One run at a time in one output folder."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import ConfigError

BEAT_S = 10.0
DEAD_S = 90.0  # without a heartbeat


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; the system lets go of it however the process ends.

    Raises
    ------
    ConfigError
        If the folder cannot be written, or another run holds it: who, where, since when.
    """
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be written: {error.strerror}: choose another --out"
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise ConfigError(
                f"{folder}: {_lock_holder(handle.read())}: wait for it, or choose another --out"
            ) from None
        handle.truncate(0)
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T")}
        handle.write(json.dumps(holder))
        handle.flush()
        try:
            with _refresh_lock(path):
                yield
        finally:
            handle.truncate(0)  # nobody is at work here any more, wherever it is looked at from


@contextmanager
def _refresh_lock(path: Path) -> Iterator[None]:
    """Set the time of a file to now every few seconds, as long as this process lives."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_S):
            with suppress(OSError):  # a file system that is away for a moment
                os.utime(path)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def at_work(folder: Path) -> bool:
    """Return whether a run holds `folder`, as far as can be seen from here without holding it.

    On this machine its process must be there; on another one its last heartbeat counts, so that the
    clocks of both must agree to within a minute.
    """
    path = folder / ".lock"
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
        if who["host"] != socket.gethostname():
            return time.time() - path.stat().st_mtime < DEAD_S
        os.kill(who["pid"], 0)
    except (OSError, ValueError, KeyError):
        return False
    return True


def _lock_holder(text: str) -> str:
    try:
        who = json.loads(text)
        return (
            f"another run is at work here (pid {who['pid']} on {who['host']} since {who['since']})"
        )
    except (ValueError, KeyError):
        return "another run is at work here"
