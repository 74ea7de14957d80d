"""Worker processes forked from this one: at work at once, since all that is imported stays so."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from queue import SimpleQueue
from typing import Any

from pipeline.errors import LostError, PipelineError
from pipeline.executor import Outcome
from pipeline.plan import Task
from pipeline.store.artifact import Manifest
from pipeline.task_runner import produce_capturing_output

Call = tuple[Task, str, int]  # the task, the URL of the store, bytes to keep in memory
KILL_WAIT_S = 2.0


@dataclass
class ForkedWorker:
    """A forked process, and the task that it is at."""

    pid: int
    connection: Connection[Any, Any]
    task: Task | None = None
    until: float = 0.0


class ForkedWorkers:
    """As many processes as asked for, in a session of their own; they end with this one.

    Fork them before anything is locked or a thread is started: they have a copy of every open file.

    Parameters
    ----------
    count : int
    """

    def __init__(self, count: int) -> None:
        self.workers: list[ForkedWorker] = []
        sys.stdout.flush()
        sys.stderr.flush()
        for _ in range(count):
            here, there = Pipe()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of the threads of BLAS
                pid = os.fork()
            if pid == 0:
                _become_worker(there, [here, *(worker.connection for worker in self.workers)])
            there.close()
            self.workers.append(ForkedWorker(pid, here))

    @property
    def idle_workers(self) -> list[ForkedWorker]:
        """Those that wait for a task."""
        return [worker for worker in self.workers if worker.task is None]

    @property
    def busy_workers(self) -> list[ForkedWorker]:
        """Those at a task."""
        return [worker for worker in self.workers if worker.task is not None]

    def submit(self, call: Call, limit_s: float) -> None:
        """Give a task to an idle worker."""
        worker = self.idle_workers[0]
        worker.task, worker.until = call[0], time.monotonic() + limit_s if limit_s else 0.0
        with suppress(OSError):  # if it is dead, its connection says so to who waits
            worker.connection.send(call)

    def receive_outcome(self, worker: ForkedWorker) -> Outcome:
        """Return the outcome of a worker whose connection is ready."""
        task, worker.task = worker.task, None
        if task is None:
            raise ValueError("expected a worker at a task, got an idle one")
        try:
            outcome: Manifest | BaseException = worker.connection.recv()
        except (EOFError, OSError):
            self.stop([worker])
            return task, LostError(f"{task.node}: its worker died (while Ray was starting)")
        return task, outcome

    def late_workers(self) -> list[ForkedWorker]:
        """Return the workers that have been at their task for too long."""
        now = time.monotonic()
        return [worker for worker in self.busy_workers if worker.until and now > worker.until]

    def stop(self, workers: Sequence[ForkedWorker]) -> None:
        """End workers; what they are at is dropped."""
        for worker in list(workers):
            self.workers.remove(worker)
            worker.connection.close()
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(worker.pid, 0)


def can_fork() -> bool:
    """Return whether this process may be forked safely: on Linux, while no thread runs."""
    return sys.platform == "linux" and threading.active_count() == 1


def portable_error(error: BaseException) -> BaseException:
    """Return an error that can be sent to another process: itself if it can, else its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever a stranger's class raises
        return PipelineError(f"{type(error).__name__}: {error}")
    return error


def _become_worker(
    connection: Connection[Any, Any], others: Sequence[Connection[Any, Any]]
) -> None:
    """Serve tasks until the other end closes; never returns."""
    try:
        os.setsid()  # no terminal, and none of its signals
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        for other in others:
            other.close()
        calls: SimpleQueue[Call] = SimpleQueue()
        threading.Thread(target=_receive_task, args=(connection, calls), daemon=True).start()
        while True:
            try:
                outcome: Manifest | BaseException = produce_capturing_output(*calls.get())
            except Exception as error:  # noqa: BLE001 - the other end deals with it
                outcome = portable_error(error)
            connection.send(outcome)
    finally:
        os._exit(1)


def _receive_task(connection: Connection[Any, Any], calls: SimpleQueue[Call]) -> None:
    """Queue what is asked for; end this process, whatever it is at, when nobody asks any more."""
    try:
        while True:
            calls.put(connection.recv())
    finally:
        os._exit(0)
