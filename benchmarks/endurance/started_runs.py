"""Runs that were started by a program or typed at a terminal, and the processes below them."""

from __future__ import annotations

import random
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tests.support.processes import descendants, title
from tests.support.terminal_session import TerminalSession

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 900.0
TASK = re.compile(r"ray::.*: ")  # how a worker of Ray calls itself while it is at one
LOOKS = 500  # in turn at every worker of Ray: some tasks take milliseconds


class StartedRun(Protocol):
    """A run that was started: its process, and what becomes of it."""

    pid: int

    def exit_status(self) -> int | None:
        """Return its exit status, negative if a signal ended it, or None while it is at work."""

    def final_words(self) -> str:
        """Wait for its end; return what it said."""


class QuietRun:
    """A run in a session of its own, without a terminal."""

    def __init__(self, arguments: list[str]) -> None:
        self._process = subprocess.Popen(
            arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        self.pid = self._process.pid

    def exit_status(self) -> int | None:
        """Return its exit status, negative if a signal ended it, or None while it is at work."""
        return self._process.poll()

    def final_words(self) -> str:
        """Wait for its end; return what it said."""
        return self._process.communicate(timeout=LIMIT_S)[1].decode(errors="replace")


class TypedRun:
    """A run whose command is typed into a shell at a terminal."""

    def __init__(self, session: TerminalSession, arguments: list[str]) -> None:
        self._session, self._begin = session, len(session.text)
        session.type(f"{shlex.join(arguments)}; echo status=$?=\n")
        while not (pids := [p for p in descendants(session.shell) if "run_pipeline" in title(p)]):
            session.read(0.02)
        self.pid = pids[0]

    def exit_status(self) -> int | None:
        """Return its exit status, negative if a signal ended it, or None while it is at work."""
        self._session.read(0.0)  # a full pipe would stop the run
        shown = re.search(r"status=(\d+)=", self._session.text[self._begin :])
        if shown is None:
            return None
        status = int(shown[1])
        return 128 - status if status == 128 + signal.SIGKILL else status

    def final_words(self) -> str:
        """Wait for its end; return what it said."""
        return self._session.wait_for(r"status=\d+=", LIMIT_S, self._begin)


class Starter:
    """Starts runs, at a terminal or without one."""

    def __init__(self, session: TerminalSession | None) -> None:
        self._session = session

    def start(self, arguments: list[str]) -> StartedRun:
        """Start a run."""
        if self._session is None:
            return QuietRun(arguments)
        return TypedRun(self._session, arguments)


@contextmanager
def starter(*, terminal: bool) -> Iterator[Starter]:
    """Start runs by typing their commands at a terminal, or as a program does."""
    if not terminal:
        yield Starter(None)
        return
    with TerminalSession(ROOT) as session:
        yield Starter(session)


def find_victim(kind: str, pid: int, rng: random.Random) -> int | None:
    """Return a process of a run that is of a kind, and at a task if it is a worker."""
    below = descendants(pid)
    if kind == "driver":
        return pid
    if kind == "process of Ray":
        chosen = [p for p in below if "pipeline.ray_process" in title(p)]
    elif kind == "worker of Ray":
        workers = [p for p in below if title(p).startswith("ray::")]
        return next((p for _ in range(LOOKS) for p in workers if TASK.match(title(p))), None)
    else:
        chosen = [p for p in below if title(p) == title(pid) and at_work(p)]
    return rng.choice(chosen) if chosen else None


def at_work(pid: int) -> bool:
    """Return whether a process computes, or waits for a child."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state in "RD" or bool(descendants(pid))
