"""One run at a time in one output folder."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import ConfigError


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
                f"{folder}: {_holder(handle.read())}: wait for it, or choose another --out"
            ) from None
        handle.truncate(0)
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T")}
        handle.write(json.dumps(holder))
        handle.flush()
        yield


def at_work(folder: Path) -> bool:
    """Return whether a run holds `folder`, as far as can be seen from here without holding it.

    A run on another machine counts as at work.
    """
    try:
        who = json.loads((folder / ".lock").read_text(encoding="utf-8"))
        if who["host"] != socket.gethostname():
            return True
        os.kill(who["pid"], 0)
    except (OSError, ValueError, KeyError):
        return False
    return True


def _holder(text: str) -> str:
    try:
        who = json.loads(text)
        return (
            f"another run is at work here (pid {who['pid']} on {who['host']} since {who['since']})"
        )
    except (ValueError, KeyError):
        return "another run is at work here"
