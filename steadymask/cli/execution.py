"""Where the tasks of a command run, and tasks that have to be done before a training."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.errors import ConfigError
from pipeline.events import ClipFailed, Event, TaskDone
from pipeline.executor import Executor, InlineExecutor, Limits
from pipeline.forked_workers import ForkedWorkers, can_fork
from pipeline.handover_executor import HandoverExecutor
from pipeline.plan import Task
from pipeline.ray_process import RayProcess
from pipeline.scheduler import Run
from pipeline.stage import Clip, Step
from pipeline.store.store import Store
from stages.catalogue import Engine
from stages.device_cache import RESIDENT
from steadymask.cli.options import EXECUTORS, ExecutorName, say


@dataclass(frozen=True)
class Placement:
    """Where tasks run: one of `EXECUTORS`, how many at a time (0: as many as processors)."""

    executor: ExecutorName = "ray"
    workers: int = 0
    address: str = ""


def fork_early(options: argparse.Namespace) -> ForkedWorkers:
    """Return workers for the first tasks of a run on this machine's Ray, none for other runs.

    Call it when all stages are imported and nothing is locked.
    """
    wanted = options.executor == "ray" and not options.address and can_fork()
    return ForkedWorkers((options.workers or os.cpu_count() or 1) if wanted else 0)


def check_executor(name: str) -> None:
    """Refuse the name of no executor.

    Raises
    ------
    ConfigError
        Naming those there are.
    """
    if name not in EXECUTORS:
        raise ConfigError(f"executor: expected one of {', '.join(EXECUTORS)}, got {name!r}")


def executor_starter(
    options: argparse.Namespace | Placement,
    store: Store,
    engine: Engine,
    steps: Sequence[Step] = (),
    early: ForkedWorkers | None = None,
) -> Callable[[], Executor]:
    """Return a function that starts the executor that the options ask for."""
    check_executor(options.executor)
    here = os.cpu_count() or 1
    recent = int(engine.recent_mb * 1e6)
    limits = Limits(engine.task_limit_s, engine.worker_limit_s)

    def early_may(task: Task) -> bool:
        needs = engine.resources.get(task.step.name, task.step.resources)
        return needs.cpus <= 1 and not needs.gpus and not needs.memory_bytes

    def start() -> Executor:
        if options.executor == "inline":
            return InlineExecutor(store.url, options.workers or here, recent=recent)
        on_ray = RayProcess(
            {
                "store_url": store.url,
                "workers": options.workers or (0 if options.address else here),
                "address": options.address,
                "resources": engine.resources,
                "limits": limits,
                "recent": recent,
            },
            sorted({type(step).__module__ for step in steps}),
        )
        return HandoverExecutor(
            early or ForkedWorkers(0), on_ray,
            store_url=store.url, recent=recent, limits=limits, early_may=early_may,
        )  # fmt: skip

    return start


def prepare(
    command: str,
    options: argparse.Namespace,
    clips: Sequence[Clip],
    steps: Sequence[Step],
    store: Store,
    engine: Engine,
) -> list[Clip]:
    """Compute what is not cached; return the clips of which everything is there."""
    failed, computed = set(), [0]

    def listen(event: Event) -> None:
        computed[0] += isinstance(event, TaskDone)
        if isinstance(event, ClipFailed):
            failed.add(event.clip)
            say(f"{event.clip}: left out: {event.text}")

    start, out = executor_starter(options, store, engine, steps), options.out / command
    Run(steps, store, out, start, chunk=engine.chunk, listener=listen).go(clips)
    RESIDENT.clear()  # the training that follows wants the GPU for itself
    say(f"{command}: {computed[0]} tasks computed, the rest was cached")
    return [clip for clip in clips if clip.name not in failed]
