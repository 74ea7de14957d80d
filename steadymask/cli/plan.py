"""``run --plan``: what would run, what is there already, and which setting made the difference."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from pipeline.errors import PipelineError
from pipeline.plan import ClipPlan
from pipeline.source_digests import remembered_identity
from pipeline.stage import WHOLE, Clip, Sink, Source, Step
from pipeline.store.store import Store
from pipeline.stored_plan import follow_plan
from stages.facts import ClipFacts
from steadymask.cli.mask_readings import MaskReadings
from steadymask.cli.size_estimates import clip_bytes, written_bytes
from steadymask.cli.terminal import line, plain_console
from steadymask.cli.units import duration_text, size_text
from steadymask.record import RunRecord

# Measured on 2 cores at 854x480, one class; scaled by pixels. See docs/benchmarks.md.
REFERENCE_PIXELS = 854 * 480
SECONDS_A_FRAME = 0.3
PROBE_S = 20.0  # spent on looking at clips that were never begun

Cost = tuple[float, float, float]
"""Pixels to compute, bytes in the store and in OUT."""


def print_plan(
    clips: Sequence[Clip], steps: Sequence[Step], store: Store, out: Path, chunk: int
) -> int:
    """Print the plan of a library; nothing is run. Return the exit status."""
    console = plain_console()
    before = _settings_before(out)
    table = Table("clip", "stage", "chunks there", "to do", "why")
    total, unknown, planned = np.zeros(3), 0, 0
    until = time.monotonic() + PROBE_S
    readings = MaskReadings(steps)
    for clip in clips:
        where = str(out / clip.name)
        plan = ClipPlan(clip, steps, chunk, where, partial(remembered_identity, store))
        try:
            there = follow_plan(plan, store)
            probed = None if there else _probe_cost(plan, time.monotonic() < until)
        except PipelineError as error:
            table.add_row(line(clip.name), "", "", "", line(str(error)))
            continue
        readings.add(clip, plan.facts)
        known = probed or _clip_rows(table, plan, there, before)
        if probed is not None:
            table.add_row(line(clip.name), "all", "0", f"{plan.length} frames", "never computed")
        unknown += known is None
        planned += known is not None
        total += known or np.zeros(3)
    console.print(table)
    readings.print_to(console)
    if unknown and planned:  # those not looked at are taken to be like the others
        total *= (planned + unknown) / planned
    _print_cost(console, total, unknown, out)
    return 0


def _print_cost(console: Console, total: NDArray[np.float64], unknown: int, out: Path) -> None:
    """Print what is to be computed and stored."""
    pixels, size, labels = total
    seconds, cores = pixels / REFERENCE_PIXELS * SECONDS_A_FRAME, os.cpu_count() or 1
    room = shutil.disk_usage(_existing_folder(out)).free
    sets = f", {size_text(labels)} of results in {out}" if labels else ""
    console.print(
        f"to compute: about {duration_text(seconds)} of one processor, "
        f"{duration_text(seconds / cores)} on {cores} with nothing else to do, and "
        f"{size_text(size)} in the store{sets} ({size_text(room)} are free)"
        + (
            f"; {unknown} clips were not looked at and are taken to be like the others"
            * bool(unknown)
        ),
        soft_wrap=True,
    )


def _probe_cost(plan: ClipPlan, allowed: bool) -> Cost | None:
    """Return the cost of a clip that was never begun, from a look at its file; None if it has none.

    The facts of the first source are added to those of the plan.
    """
    if not allowed:
        return None
    first = next(step for step in plan.steps if isinstance(step, Source))
    plan.facts.update(first.conclude([first.run(plan.clip, {}, WHOLE, lambda arrays: None)]))
    if not plan.length:
        return None
    rows, columns = ClipFacts(plan.facts).size
    labels = sum(written_bytes(plan.steps, plan.facts).values())
    return plan.length * rows * columns, sum(clip_bytes(plan.steps, plan.facts).values()), labels


def _clip_rows(
    table: Table, plan: ClipPlan, there: Counter[str], before: dict[str, Any]
) -> Cost | None:
    """Add a clip's rows; return its cost, if it is known."""
    todo = Counter(node.stage for node in plan.waiting)
    changed_above, name = "", line(plan.clip.name)
    for step in plan.steps:
        if not todo[step.name] and not there[step.name]:
            table.add_row(name, step.name, "0", "all", "not known before the first stage")
            continue
        why = ""
        if todo[step.name]:
            why = _changed_fields(step, before) or changed_above or "never computed"
            if not isinstance(step, Sink):
                changed_above = f"{step.name} above changes"
        table.add_row(name, step.name, str(there[step.name]), str(todo[step.name]), why)
    if "shots" not in plan.facts:
        return None
    stages = [step.name for step in plan.steps if not isinstance(step, Source | Sink)]
    frames = sum(node.stop - node.start for node in plan.waiting if node.stage in stages)
    rows, columns = ClipFacts(plan.facts).size
    size = sum(
        need * todo[stage] / max(todo[stage] + there[stage], 1)
        for stage, need in clip_bytes(plan.steps, plan.facts).items()
    )
    labels = sum(size for sink, size in written_bytes(plan.steps, plan.facts).items() if todo[sink])
    return frames / len(stages) * rows * columns, size, labels


def _changed_fields(step: Step, before: dict[str, Any]) -> str:
    """Return which fields differ from those of the last run in this folder."""
    old = before.get(step.name)
    if old is None:
        return ""
    new = step.model_dump(mode="json")
    changed = [name for name in new if old.get(name) != new[name]]
    return ", ".join(f"{step.name}.{name}: {old.get(name)} → {new[name]}" for name in changed)


def _settings_before(out: Path) -> dict[str, Any]:
    record = RunRecord.load_if_any(out)
    return record.settings if record is not None else {}


def _existing_folder(folder: Path) -> Path:
    return folder if folder.exists() else _existing_folder(folder.parent)
