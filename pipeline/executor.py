"""Where tasks run: the contract, and the executor that stays in this process."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol

from pipeline.plan import Task
from pipeline.store.artifact import Manifest
from pipeline.store.store import Store
from pipeline.task_runner import produce_logging_errors

Outcome = tuple[Task, Manifest | BaseException]


@dataclass(frozen=True)
class Limits:
    """How long a task may take and a worker live, seconds; 0 is for ever."""

    task_s: float = 0.0
    worker_s: float = 0.0


NO_LIMITS = Limits()


class Executor(Protocol):
    """Runs tasks somewhere.

    A task that was submitted is in flight until `next_done` returns it, whether it runs already or
    waits at a worker. At most `slots` tasks are in flight.
    """

    @property
    def slots(self) -> int:
        """How many tasks may be in flight; it may change as workers come and go."""

    def submit(self, task: Task) -> None:
        """Start a task."""

    def next_done(self) -> Outcome:
        """Wait for a task to end; return it with its manifest or with what it raised."""

    def close(self) -> None:
        """Stop: no task in flight is returned any more, what is committed stays.

        A task that runs in a process is stopped at once; one that runs in a thread of this process
        cannot be, and is waited for.
        """


class InlineExecutor:
    """Threads of this process: for debugging, small jobs and machines without Ray.

    The kernels release the interpreter lock, so threads keep the processors busy.

    Parameters
    ----------
    store_url : str
    workers : int
        Threads.
    recent : int
        Bytes of arrays that are kept in memory for what comes next.
    """

    def __init__(self, store_url: str, workers: int, *, recent: int = 0) -> None:
        self._workers = workers
        self._store = Store(store_url, create=False, recent=recent)
        self._pool = ThreadPoolExecutor(workers)
        self._running: dict[Future[Manifest], Task] = {}

    @property
    def slots(self) -> int:
        """How many tasks may be in flight: as many as run at a time."""
        return self._workers

    def submit(self, task: Task) -> None:
        """Start a task."""
        self._running[self._pool.submit(produce_logging_errors, task, lambda: self._store)] = task

    def next_done(self) -> Outcome:
        """Wait for a task to end; return it with its manifest or with what it raised."""
        done, _ = wait(self._running, return_when=FIRST_COMPLETED)
        future = min(done, key=list(self._running).index)
        task = self._running.pop(future)
        return task, future.exception() or future.result()

    def close(self) -> None:
        """Stop; what runs is waited for, what has not begun is dropped."""
        self._pool.shutdown(cancel_futures=True)
