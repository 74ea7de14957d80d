"""Where tasks run: the contract, and the executor that stays in this process."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol

from pipeline.plan import Task
from pipeline.store import Manifest
from pipeline.work import perform

Outcome = tuple[Task, Manifest | BaseException]


class Executor(Protocol):
    """Runs tasks somewhere; holds at most `slots` of them."""

    slots: int

    def submit(self, task: Task) -> None:
        """Start a task."""

    def next_done(self) -> Outcome:
        """Wait for a task to end; return it with its manifest or with what it raised."""

    def close(self) -> None:
        """Stop; what is running is dropped."""


class InlineExecutor:
    """Threads of this process: for debugging, small jobs and machines without Ray.

    The kernels release the interpreter lock, so threads keep the processors busy.
    """

    def __init__(self, store_url: str, workers: int) -> None:
        self.slots = workers
        self._store_url = store_url
        self._pool = ThreadPoolExecutor(workers)
        self._running: dict[Future[Manifest], Task] = {}

    def submit(self, task: Task) -> None:
        """Start a task."""
        self._running[self._pool.submit(perform, task, self._store_url)] = task

    def next_done(self) -> Outcome:
        """Wait for a task to end; return it with its manifest or with what it raised."""
        done, _ = wait(self._running, return_when=FIRST_COMPLETED)
        future = min(done, key=list(self._running).index)
        task = self._running.pop(future)
        return task, future.exception() or future.result()

    def close(self) -> None:
        """Stop; what is running is waited for."""
        self._pool.shutdown(cancel_futures=True)
