"""A run over a library: what ``run`` does once its options are known to be whole."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.disk_admission import Room, gigabyte_text
from pipeline.events import Event
from pipeline.executor import Executor
from pipeline.exit_status import ExitStatus
from pipeline.forked_workers import ForkedWorkers
from pipeline.ledger import Ledger
from pipeline.lock import locked
from pipeline.ray_address import check_address
from pipeline.scheduler import Run
from pipeline.stage import Clip, Step
from pipeline.store.retention import Budget, in_use
from pipeline.store.store import Store
from pipeline.wording import count_text
from stages.catalogue import Engine, build_steps
from steadymask.cli.awake_clock import awake_clock
from steadymask.cli.clip_pairing import (
    Pairing,
    add_key_frames,
    check_out,
    chosen_readers,
    pair_masks,
    print_passed_over,
    print_unpaired,
)
from steadymask.cli.data_set import print_data_set
from steadymask.cli.execution import executor_starter, fork_early
from steadymask.cli.hand_edits import gather_hand_edits, print_hand_edits
from steadymask.cli.options import read_settings
from steadymask.cli.pages import write_pages
from steadymask.cli.progress import Progress
from steadymask.cli.run_record import Record, print_table
from steadymask.cli.settings_text import resolved_settings
from steadymask.cli.size_estimates import SPENDABLE, clip_bytes, written_bytes
from steadymask.cli.terminal import announce
from steadymask.cli.uncovered import print_uncovered
from steadymask.cli.units import size_bytes
from steadymask.cli.work_meter import WorkMeter

AGAIN = ("failed", "quarantined")  # states of the ledger that --retry-failed runs


@dataclass(frozen=True)
class LibraryRun:
    """A library with all that is needed to run it; prints nothing.

    Attributes
    ----------
    out : Path
    name : str
        Of the library, for the report.
    library : Pairing
    steps, engine, store
        Of the run.
    start : callable
        Starts the executor.
    retry_failed : bool
        Run only the clips that failed the last time.
    budget_bytes : int
        The store is kept below it; 0: as large as it gets.
    workers : int
        Tasks at a time; 0: as many as this machine has processors.
    """

    out: Path
    name: str
    library: Pairing
    steps: Sequence[Step]
    engine: Engine
    store: Store
    start: Callable[[], Executor]
    retry_failed: bool = False
    budget_bytes: int = 0
    workers: int = 0

    def clips_to_do(self) -> list[Clip]:
        """Return the clips that `go` runs."""
        if not self.retry_failed:
            return list(self.library.clips)
        ledger = Ledger(self.store, self.out)
        entries = [(clip, ledger.entry(clip.name)) for clip in self.library.clips]
        return [clip for clip, entry in entries if entry and entry.state in AGAIN]

    def go(self, listen: Callable[[Event], None]) -> tuple[Record, int]:
        """Run the library and keep its record, telling `listen` of every event.

        Return the record, and the size of the store in bytes where it is over its budget, else 0.
        """
        clips, steps = self.clips_to_do(), self.steps
        names, settings = [step.name for step in steps], resolved_settings(steps, self.engine)
        count = len(self.library.clips) + len(self.library.failures)
        record = Record(self.out, settings, names, count, library=self.name)
        if self.retry_failed:
            record.take_over_clips({clip.name for clip in clips})
        record.passed_over = self.library.passed_over
        record.failures.update(self.library.failures)

        def record_event(event: Event) -> None:
            record.record_event(event)
            listen(event)

        with awake_clock() as clock, in_use(self.store, str(self.out.resolve())) as mine:
            record.meter = WorkMeter(len(clips), self.workers, clock)
            record.save("running")
            most = self.budget_bytes
            budget = Budget(self.store, most, mine=mine) if most else None
            room = Room(
                self.store, partial(clip_bytes, steps), SPENDABLE,
                out=self.out, writes=partial(written_bytes, steps),
            )  # fmt: skip
            run = Run(
                steps, self.store, self.out, self.start,
                chunk=self.engine.chunk, listener=record_event, retry=self.retry_failed,
                drop=self.engine.drop, budget=budget, room=room,
            )  # fmt: skip
            try:
                run.go(clips)
            except KeyboardInterrupt:
                record.save("interrupted")
                raise
        record.hand_edits = gather_hand_edits(self.out, record.finished)
        record.save("done")
        return record, budget.stored_bytes if budget is not None and budget.is_exceeded else 0


def run_library(options: argparse.Namespace) -> int:
    """Do what the options of ``run`` ask for; return the exit status."""
    settings, source = read_settings(options)
    if options.address:
        check_address(options.address)  # at once, and not when Ray is imported
        # Workers elsewhere have another current folder.
        for name in ("footage", "masks", "keyframes", "out"):
            path = getattr(options, name, None)
            setattr(options, name, path and path.absolute())
    if options.demo:
        from steadymask.cli.demo import make_demo

        with locked(options.out):
            options.footage, options.masks = make_demo(options.out)
    url = options.store or str(options.out / ".store")
    check_out(options.out, options.footage)
    own = [options.keyframes] if options.keyframes else []
    library = pair_masks(
        options.footage, options.masks,
        follow_links=options.follow_links, never=(options.out, Path(url), *own),
        readers=chosen_readers(settings),
    )  # fmt: skip
    if options.keyframes:
        library = add_key_frames(
            library, options.keyframes, alone=not options.masks, follow_links=options.follow_links
        )
    print_passed_over(library.passed_over)
    announce(
        f"{count_text(len(library.clips) + len(library.failures), 'clip')} in {options.footage}, "
        "results go to "
        f"{options.out}"
    )
    # This imports all of them, which takes a second.
    steps, engine = build_steps(settings, source, key_frames=bool(options.keyframes))
    if options.plan:
        print_unpaired(library.failures)
        from steadymask.cli.plan import print_plan

        store = Store(url, create=False)
        return print_plan(library.clips, steps, store, options.out, engine.chunk)
    early = fork_early(options)
    try:
        with locked(options.out):
            store = Store(url)
            return _run_work(options, library, steps, engine, store, early)
    finally:
        early.stop(early.workers)


def _run_work(
    options: argparse.Namespace,
    library: Pairing,
    steps: list[Step],
    engine: Engine,
    store: Store,
    early: ForkedWorkers,
) -> int:
    """Run the library, keep the record, print the table."""
    most = size_bytes("--store-budget", options.store_budget) if options.store_budget else 0
    work = LibraryRun(
        options.out, options.footage.resolve().name, library, steps, engine, store,
        executor_starter(options, store, engine, steps, early),
        retry_failed=options.retry_failed, budget_bytes=most, workers=options.workers,
    )  # fmt: skip
    with Progress(len(work.clips_to_do()), options.workers) as progress:
        record, over_bytes = work.go(progress.record_event)
    if over_bytes:
        print(f"store: {gigabyte_text(over_bytes)}, over its budget: the last clips needed it")
    page = write_pages(options.out)  # before anything is printed: nobody may read it
    print_table(record)
    print_hand_edits(options.out, record.hand_edits)
    print_data_set(options.out, steps, record.finished)
    print(f"report: {page}")
    if options.demo and not record.failures:
        from steadymask.cli.demo import print_truth

        print_truth(options.out)
    bare_frames = print_uncovered(options.out, record.finished)
    return _exit_status(options, record, bare_frames)


def _exit_status(options: argparse.Namespace, record: Record, bare_frames: int) -> ExitStatus:
    """Return the exit status of a run, given what redaction left bare."""
    if record.failures:
        return ExitStatus.FAILED
    if options.fail_on_uncovered and bare_frames:
        return ExitStatus.UNCOVERED
    warned = options.fail_on_warning and record.warned_clips
    return ExitStatus.WARNED if warned else ExitStatus.DONE
