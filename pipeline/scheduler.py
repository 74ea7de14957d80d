"""Runs the plans of a library: bounded, in order, a failure costs only its own clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from pipeline.disk_admission import Room
from pipeline.errors import (
    DamageError,
    FullError,
    GraphError,
    LostError,
    NowhereError,
    PipelineError,
)
from pipeline.events import (
    ClipFailed,
    ClipFinished,
    Event,
    Listener,
    Notice,
    TaskCached,
    TaskDone,
    TaskRetried,
    TasksCounted,
    TaskStarted,
)
from pipeline.executor import Executor
from pipeline.ledger import Ledger
from pipeline.plan import ClipPlan, Node, Task, check_steps
from pipeline.sink_writer import clear_parts
from pipeline.source_digests import remembered_identity
from pipeline.stage import Clip, Sink, Stage, Step
from pipeline.store.artifact import Manifest
from pipeline.store.retention import Budget
from pipeline.store.store import Store
from pipeline.stored_plan import find_result
from pipeline.task_runner import log_file, remove_log

ATTEMPTS = 4  # at a task whose worker dies
REPAIRS = 2  # of an artifact


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
    retry : bool
        Also take up clips whose tasks killed their workers every time.
    drop : collection of str
        Stages whose arrays are deleted when nothing in the plan reads them any more. They are
        made again if a later run with other settings wants them.
    budget : Budget, optional
        Keeps the store within bounds.
    room : Room, optional
        Refuses clips that do not fit on the disk.
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
        retry: bool = False,
        drop: Collection[str] = (),
        budget: Budget | None = None,
        room: Room | None = None,
    ) -> None:
        check_steps(steps)
        self._steps, self._store, self._out = steps, store, out
        self._start_executor, self._chunk, self._listener = start_executor, chunk, listener
        self._retry, self._drop, self._budget = retry, frozenset(drop), budget
        self._room = room
        self._ledger = Ledger(store, out)
        self._executor: Executor | None = None
        self._open: dict[str, ClipPlan] = {}
        self._in_flight = 0
        self._attempts: Counter[Node] = Counter()
        self._repairs: Counter[str] = Counter()
        # When, as the number of repairs until then, a task began and an artifact was repaired.
        self._begun_at: dict[Node, int] = {}
        self._repaired_at: dict[str, int] = {}

    def go(self, clips: Iterable[Clip]) -> None:
        """Do everything for all clips. Failures are told to the listener.

        Raises
        ------
        FullError
            If no room is left; what is committed stays.
        NowhereError
            If the executor does not start.
        """
        coming = iter(clips)
        try:
            while self._advance_run(coming):
                if self._executor is not None and self._in_flight:
                    self._take_outcome(*self._executor.next_done())
        finally:
            if self._executor is not None:
                self._executor.close()

    def _tell_event(self, event: Event) -> None:
        self._ledger.record_event(event)
        self._listener(event)

    def _advance_run(self, coming: Iterator[Clip]) -> bool:
        """Settle what the store has, submit what it lacks; return whether anything is left."""
        while True:
            for plan in list(self._open.values()):
                self._serve_plan(plan)
            slots = self._executor.slots if self._executor else 1
            if self._in_flight >= slots or len(self._open) > 2 * slots:
                return True
            clip = next(coming, None)
            if clip is None:
                return bool(self._open)
            self._begin_clip(clip)

    def _begin_clip(self, clip: Clip) -> None:
        """Open a clip, unless it kills whatever works at it."""
        before = self._ledger.begin(clip.name, clip.files)
        if before is not None and before.state == "quarantined" and not self._retry:
            log_hint = f" (see {before.log})" if before.log else ""
            text = (
                f"in quarantine: its workers died {ATTEMPTS} times{log_hint}: "
                "look at the file, then give the command with --retry-failed"
            )
            self._ledger.leave(clip.name)
            self._listener(ClipFailed(clip.name, text))
            return
        where, identify = str(self._out / clip.name), partial(remembered_identity, self._store)
        self._open[clip.name] = ClipPlan(clip, self._steps, self._chunk, where, identify)

    def _serve_plan(self, plan: ClipPlan) -> None:
        """Take hits until none is left, and submit misses while there are free slots."""
        try:
            while not self._is_full() and (task := plan.next_ready()) is not None:
                manifest = find_result(task, self._store)
                if manifest is not None:
                    if isinstance(task.step, Sink) and task.node.whole:
                        clear_parts(task)
                    if self._attempts[task.node]:  # one that died, and another clip gives the same
                        remove_log(plan.out, task.node)
                    self._settle_task(plan, task.node, manifest, TaskCached)
                else:
                    self._submit_task(plan, task)
        except (NowhereError, GraphError):
            raise  # it would be the same with every clip
        except (PipelineError, OSError) as error:
            self._fail_clip(plan, None, error)
            return
        if plan.finished:
            self._close_clip(plan)
            self._tell_event(ClipFinished(plan.clip.name))

    def _is_full(self) -> bool:
        return self._executor is not None and self._in_flight >= self._executor.slots

    def _submit_task(self, plan: ClipPlan, task: Task) -> None:
        if isinstance(task.step, Stage):
            self._admit_clip(plan)
        elif isinstance(task.step, Sink) and self._room is not None:
            self._room.admit_results(plan.clip.name, plan.facts, task.step.name)
        if self._executor is None:
            self._executor = self._start_executor()
        self._executor.submit(task)
        self._begun_at[task.node] = self._repairs.total()
        self._attempts[task.node] += 1
        self._tell_event(TaskStarted(plan.clip.name, task.node))
        self._in_flight += 1

    def _settle_task(
        self, plan: ClipPlan, node: Node, manifest: Manifest, ended: type[TaskCached | TaskDone]
    ) -> None:
        before = len(plan.waiting)
        for other, key in plan.complete(node, manifest):
            if other.stage in self._drop:
                self._store.drop(key)
        if len(plan.waiting) >= before:
            self._count_tasks(plan)
        seconds = float(manifest.provenance.get("seconds", 0.0))
        stored = manifest.bytes_stored()
        attempts = self._attempts.pop(node, 0)
        self._begun_at.pop(node, None)
        self._tell_event(ended(plan.clip.name, node, seconds, stored, attempts))

    def _count_tasks(self, plan: ClipPlan) -> None:
        left = plan.frames_left()
        self._tell_event(TasksCounted(plan.clip.name, len(plan.waiting), plan.length, left))

    def _take_outcome(self, task: Task, outcome: Manifest | BaseException) -> None:
        self._in_flight -= 1
        plan = self._open.get(task.clip.name)
        if plan is None:
            return  # its clip has failed meanwhile
        if isinstance(outcome, Manifest):
            self._settle_task(plan, task.node, outcome, TaskDone)
            self._make_room(outcome)
        elif isinstance(outcome, DamageError | LostError):
            self._repeat_task(plan, task, outcome)
        elif isinstance(outcome, FullError) or not isinstance(outcome, Exception):
            raise outcome
        else:
            self._fail_clip(plan, task.node, outcome)

    def _admit_clip(self, plan: ClipPlan) -> None:
        """Step down, or raise, where what a clip is about to make does not fit."""
        if self._room is not None and self._room.admit_clip(plan.clip.name, plan.facts, self._drop):
            self._drop |= frozenset(self._room.spendable)
            names = " and ".join(self._room.spendable)
            text = f"little room: from here on {names} are deleted after use"
            self._tell_event(Notice(plan.clip.name, text))

    def _make_room(self, manifest: Manifest) -> None:
        if self._budget is None:
            return
        self._budget.count_added(int(manifest.provenance.get("stored_bytes", 0)))
        if self._budget.is_due:
            kept = {m.key for plan in self._open.values() for m in plan.done.values()}
            self._budget.make_room(kept)

    def _repeat_task(self, plan: ClipPlan, task: Task, error: DamageError | LostError) -> None:
        """Have a task done once more, and before it what it found damaged or gone."""
        attempts = self._attempts[task.node]
        if isinstance(error, LostError):
            if attempts >= ATTEMPTS:
                self._fail_clip(plan, task.node, error, quarantined=True)
                return
            plan.retry(task.node)
        else:
            del self._attempts[task.node]  # it was not at fault
            gone = self._find_gone(task, error)
            if max((self._repairs[key] for key in gone), default=0) >= REPAIRS:
                self._fail_clip(plan, task.node, error)
                return
            for key in gone:
                self._repairs[key] += 1
                self._repaired_at[key] = self._repairs.total()
                self._store.remove(key)
            plan.undo(gone, task.node)
            self._count_tasks(plan)
        name = type(error).__name__
        self._tell_event(TaskRetried(plan.clip.name, task.node, str(error), name, attempts))

    def _find_gone(self, task: Task, error: DamageError) -> list[str]:
        """Return the keys of what a task read that is to be made again.

        Another reader that began before may have had it made again meanwhile.
        """
        begun = self._begun_at[task.node]
        keys = {piece.key for pieces in task.pieces.values() for piece in pieces}
        return [
            key
            for key in keys
            if (key == error.key or not self._store.has_arrays(key))
            and self._repaired_at.get(key, 0) <= begun
        ]

    def _close_clip(self, plan: ClipPlan) -> None:
        del self._open[plan.clip.name]
        if self._room is not None:
            self._room.leave(plan.clip.name)

    def _fail_clip(
        self, plan: ClipPlan, node: Node | None, error: Exception, *, quarantined: bool = False
    ) -> None:
        self._close_clip(plan)
        expected = isinstance(error, PipelineError)
        text = str(error) if expected else f"{type(error).__name__}: {error}"
        cause = error.__cause__ or error
        log = log_file(plan.out, node) if node is not None else None
        self._tell_event(
            ClipFailed(
                plan.clip.name, text, node, error=type(cause).__name__,
                attempts=self._attempts.pop(node, 0) if node else 0, quarantined=quarantined,
                log=str(log) if log is not None and log.exists() else "",
            )
        )  # fmt: skip
