"""Runs the plans of a library: bounded, in order, a failure costs only its own clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.events import Event, Listener
from pipeline.executor import Executor
from pipeline.identity import remembered
from pipeline.plan import ClipPlan, Node, Task, check_steps
from pipeline.stage import Clip, Sink, Step
from pipeline.store import Manifest, Store
from pipeline.work import written_before


def look_up(task: Task, store: Store) -> Manifest | None:
    """Return what the task would make if it is there already."""
    return written_before(task) if isinstance(task.step, Sink) else store.find(task.key)


class Run:
    """One pass over a library.

    Parameters
    ----------
    steps : sequence of Step
        Sources, stages, sinks.
    store : Store
    out : Path
        Every clip gets the folder `out / clip.name`.
    start_executor : callable
        Called once, when the first task is not found in the store.
    chunk : int
        Frames of a chunk at most.
    listener : callable
        Told of everything that happens.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        store: Store,
        out: Path,
        start_executor: Callable[[], Executor],
        *,
        chunk: int,
        listener: Listener,
    ) -> None:
        check_steps(steps)
        self._steps, self._store, self._out = steps, store, out
        self._start_executor, self._chunk, self._tell = start_executor, chunk, listener
        self._executor: Executor | None = None
        self._open: dict[str, ClipPlan] = {}
        self._in_flight = 0

    def go(self, clips: Iterable[Clip]) -> None:
        """Do everything for all clips. Failures are told to the listener, none is raised."""
        coming = iter(clips)
        try:
            while self._advance(coming):
                if self._executor is not None and self._in_flight:
                    self._take(*self._executor.next_done())
        finally:
            if self._executor is not None:
                self._executor.close()

    def _advance(self, coming: Iterator[Clip]) -> bool:
        """Settle what the store has, submit what it lacks; return whether anything is left."""
        while True:
            for plan in list(self._open.values()):
                self._serve(plan)
            slots = self._executor.slots if self._executor else 1
            if self._in_flight >= slots or len(self._open) > 2 * slots:
                return True
            clip = next(coming, None)
            if clip is None:
                return bool(self._open)
            self._open[clip.name] = ClipPlan(
                clip,
                self._steps,
                self._chunk,
                str(self._out / clip.name),
                partial(remembered, self._store),
            )

    def _serve(self, plan: ClipPlan) -> None:
        """Take hits until none is left, and submit misses while there are free slots."""
        try:
            while self._serve_once(plan):
                pass
        except (PipelineError, OSError) as error:
            self._fail(plan, None, error)
            return
        if plan.finished:
            del self._open[plan.clip.name]
            self._tell(Event("finished", plan.clip.name))

    def _serve_once(self, plan: ClipPlan) -> bool:
        if self._full():
            return False
        for task in plan.ready():
            found = look_up(task, self._store)
            if found is not None:
                self._settle(plan, task.node, found, "hit")
                return True
            self._submit(plan, task)
            if self._full():
                return False
        return False

    def _full(self) -> bool:
        return self._executor is not None and self._in_flight >= self._executor.slots

    def _submit(self, plan: ClipPlan, task: Task) -> None:
        if self._executor is None:
            self._executor = self._start_executor()
        self._executor.submit(task)
        plan.running.add(task.node)
        self._tell(Event("started", plan.clip.name, task.node))
        self._in_flight += 1

    def _settle(self, plan: ClipPlan, node: Node, manifest: Manifest, kind: str) -> None:
        before = len(plan.waiting)
        plan.complete(node, manifest)
        if len(plan.waiting) >= before:
            self._tell(Event("known", plan.clip.name, nodes=len(plan.waiting)))
        seconds = float(manifest.provenance.get("seconds", 0.0))
        stored = manifest.bytes_stored()
        done = Event("hit" if kind == "hit" else "done", plan.clip.name, node, seconds, stored)
        self._tell(done)

    def _take(self, task: Task, outcome: Manifest | BaseException) -> None:
        self._in_flight -= 1
        plan = self._open.get(task.clip.name)
        if plan is None:
            return  # its clip has failed meanwhile
        if isinstance(outcome, Manifest):
            self._settle(plan, task.node, outcome, "done")
        elif isinstance(outcome, Exception):
            self._fail(plan, task.node, outcome)
        else:
            raise outcome

    def _fail(self, plan: ClipPlan, node: Node | None, error: Exception) -> None:
        del self._open[plan.clip.name]
        text = (
            str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
        )
        self._tell(Event("failed", plan.clip.name, node, text=text))
