"""First tasks in workers at hand, all others on Ray as soon as it has started."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

from pipeline.errors import LostError
from pipeline.executor import Limits, Outcome
from pipeline.forked_workers import ForkedWorker, ForkedWorkers
from pipeline.plan import Task
from pipeline.ray_process import RayProcess

TICK_S = 1.0


class HandoverExecutor:
    """Runs tasks in forked workers until Ray is ready, and from then on there.

    Parameters
    ----------
    early : ForkedWorkers
        For the first tasks; there may be none.
    ray : RayProcess
        For all others.
    store_url : str
    recent : int
        Bytes of arrays that a worker may keep in memory for what comes next.
    limits : Limits
        Of a task.
    early_may : callable
        Whether a task may run in an early worker, which has no resources set aside for it.
    """

    def __init__(
        self,
        early: ForkedWorkers,
        ray: RayProcess,
        *,
        store_url: str,
        recent: int,
        limits: Limits,
        early_may: Callable[[Task], bool],
    ) -> None:
        self._early, self._ray, self._limits = early, ray, limits
        self._store_url, self._recent, self._early_may = store_url, recent, early_may

    @property
    def slots(self) -> int:
        """How many tasks may be in flight."""
        return self._ray.slots if self._ray.ready else max(len(self._early.workers), 1)

    def submit(self, task: Task) -> None:
        """Start a task."""
        if not self._ray.ready and self._early.idle_workers and self._early_may(task):
            self._early.submit((task, self._store_url, self._recent), self._limits.task_s)
        else:
            self._ray.submit(task)

    def next_done(self) -> Outcome:
        """Wait for a task to end; return it with its manifest or with what it raised."""
        while True:
            busy: dict[Any, ForkedWorker] = {w.connection: w for w in self._early.busy_workers}
            for connection in wait([*busy, self._ray.connection], TICK_S):
                outcome = self._receive_outcome(busy.get(connection))
                if self._ray.ready:
                    self._early.stop(self._early.idle_workers)
                if outcome is not None:
                    return outcome
            for worker in self._early.late_workers():
                task = worker.task
                self._early.stop([worker])
                if task is not None:
                    return task, LostError(
                        f"{task.node}: not done in {self._limits.task_s:.0f} s and stopped "
                        "(engine.task_limit_s)"
                    )

    def _receive_outcome(self, worker: ForkedWorker | None) -> Outcome | None:
        return self._ray.receive() if worker is None else self._early.receive_outcome(worker)

    def close(self) -> None:
        """Stop; what is running is dropped, what is committed stays."""
        self._early.stop(self._early.workers)
        self._ray.close()
