"""How far the store goes: the one way to follow a clip's plan through it."""

from __future__ import annotations

from collections import Counter

from pipeline.plan import ClipPlan, Task
from pipeline.sink_writer import written_before
from pipeline.stage import Sink
from pipeline.store.artifact import Manifest
from pipeline.store.store import Store


def find_result(task: Task, store: Store) -> Manifest | None:
    """Return the manifest of a task's result if it is there already."""
    return written_before(task) if isinstance(task.step, Sink) else store.find(task.key)


def follow_plan(plan: ClipPlan, store: Store) -> Counter[str]:
    """Complete all nodes of a plan that the store has; return how many of each stage there are."""
    there: Counter[str] = Counter()
    while (task := plan.next_ready()) is not None:
        manifest = find_result(task, store)
        if manifest is not None:
            plan.complete(task.node, manifest)
            there[task.node.stage] += 1
    return there
