"""The executor on Ray, here or on a cluster."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray

from pipeline.errors import LostError, PipelineError
from pipeline.executor import NO_LIMITS, Limits, Outcome
from pipeline.plan import Task
from pipeline.ray_connection import connect_ray
from pipeline.stage import Resources
from pipeline.store.artifact import Manifest
from pipeline.task_runner import import_modules, produce_capturing_output

TICK_S = 1.0
QUEUED = 2  # tasks in flight for each that runs, so that no worker waits for the driver
IMPORT_WAIT_S = 30.0
RECOUNT_S = 10.0  # the processors of a cluster
GENERATION = "STEADYMASK_GENERATION"


class RayExecutor:
    """Tasks on Ray workers. A task whose worker or machine dies is given back as lost.

    Parameters
    ----------
    store_url : str
        Must be reachable from every node.
    workers : int
        Tasks at a time, as many again wait at the workers. On a machine of one's own also the
        processors given to Ray. 0 on a cluster: its processors, as they come and go.
    address : str
        Of a running cluster; empty starts Ray on this machine and stops it at the end.
    resources : mapping of stage name to Resources
        Beats what the stage says of itself.
    limits : Limits
        Of a task and of a worker.
    recent : int
        Bytes of arrays that a worker may keep in memory for what comes next.
    """

    def __init__(
        self,
        store_url: str,
        workers: int,
        *,
        address: str,
        resources: dict[str, Resources],
        limits: Limits = NO_LIMITS,
        recent: int = 0,
    ) -> None:
        self._store_url, self._resources, self._limits = store_url, resources, limits
        self._recent = recent
        self._running: dict[Any, _RunningTask] = {}
        self._workers, self._slots, self._counted = workers, QUEUED * max(workers, 1), 0.0
        self._began, self._lost = time.monotonic(), 0
        connect_ray(address, workers, resources)
        self._remote = ray.remote(produce_capturing_output)

    @property
    def slots(self) -> int:
        """How many tasks may be in flight."""
        if self._workers == 0 and time.monotonic() > self._counted + RECOUNT_S:
            self._counted = time.monotonic()
            self._slots = QUEUED * max(int(ray.cluster_resources().get("CPU", 1)), 1)
        return self._slots

    def submit(self, task: Task) -> None:
        """Start a task on a worker that has what its stage needs."""
        needs = self._resources.get(task.step.name, task.step.resources)
        remote = self._remote.options(
            # Names of clips may hold bytes that are no UTF-8, which Ray takes nowhere.
            name=ascii(f"{task.clip.name}: {task.node}")[1:-1],
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            memory=needs.memory_bytes or None,
            max_retries=0,  # the run counts the attempts
            runtime_env=self._environment(),
        )
        running = _RunningTask(task, time.monotonic() + self._limits.task_s)
        self._running[remote.remote(task, self._store_url, self._recent)] = running

    def _environment(self) -> dict[str, Any] | None:
        """Return the environment that marks the workers of this time: others are not used again.

        Nor are those from before a task lost its device: a process that did gets no other.
        """
        limit = self._limits.worker_s
        age = int((time.monotonic() - self._began) / limit) if limit else 0
        generation = age + self._lost
        return {"env_vars": {GENERATION: str(generation)}} if generation else None

    def import_in_workers(self, modules: Sequence[str]) -> None:
        """Have the workers import modules; return when they have, or after a while."""
        remote = ray.remote(import_modules).options(num_cpus=1, max_retries=0)
        begun = [remote.remote(list(modules)) for _ in range(max(self._workers, 1))]
        ray.wait(begun, num_returns=len(begun), timeout=IMPORT_WAIT_S)

    def next_done(self) -> Outcome:
        """Wait for a task to end; return it with its manifest or with what it raised."""
        while (outcome := self.poll_done(TICK_S)) is None:
            pass
        return outcome

    def poll_done(self, timeout_s: float) -> Outcome | None:
        """Return the outcome of a task, as `next_done`, or None if no task ends within a while."""
        done, _ = ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        if not done:
            self._stop_late()
            return None
        running = self._running.pop(done[0])
        task = running.task
        try:
            manifest: Manifest = ray.get(done[0])
        except ray.exceptions.RayTaskError as error:
            cause = getattr(error, "cause", None)
            self._lost += isinstance(cause, LostError)
            return task, cause if isinstance(cause, PipelineError) else error
        except ray.exceptions.RayError as error:
            return task, LostError(f"{task.node}: {running.stopped or _death_text(error)}")
        return task, manifest

    def _stop_late(self) -> None:
        for reference, running in self._running.items():
            if self._limits.task_s and time.monotonic() > running.until and not running.stopped:
                running.stopped = (
                    f"not done in {self._limits.task_s:.0f} s and stopped (engine.task_limit_s)"
                )
                ray.cancel(reference, force=True)

    def close(self) -> None:
        """Stop; what is running is dropped, what is committed stays."""
        ray.shutdown()


@dataclass
class _RunningTask:
    task: Task
    until: float
    stopped: str = ""


def _death_text(error: ray.exceptions.RayError) -> str:
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return "its worker was stopped for want of memory: use a smaller chunk or fewer workers"
    return f"its worker died ({type(error).__name__})"
