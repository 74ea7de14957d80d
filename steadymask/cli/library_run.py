"""A run over a library: what ``run`` does once its options are known to be whole."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from pipeline.disk_admission import Room, gigabytes
from pipeline.events import Event
from pipeline.ledger import Ledger
from pipeline.lock import locked
from pipeline.scheduler import Run
from pipeline.stage import Clip, Step
from pipeline.store.retention import Budget, in_use
from pipeline.store.store import Store
from stages.catalogue import Engine, build_steps
from steadymask.cli.execution import starter
from steadymask.cli.library import (
    Pairing,
    add_key_frames,
    check_out,
    pair_masks,
    print_passed_over,
    print_unpaired,
)
from steadymask.cli.options import read_settings
from steadymask.cli.pages import write_pages
from steadymask.cli.progress import Progress
from steadymask.cli.run_record import Record, print_table
from steadymask.cli.settings_text import resolved
from steadymask.cli.size_estimates import SPENDABLE, clip_bytes, written_bytes
from steadymask.cli.terminal import announce
from steadymask.cli.units import size_bytes

WARNED = 5  # exit status


def run_library(options: argparse.Namespace) -> int:
    """Do what the options of ``run`` ask for; return the exit status."""
    settings, source = read_settings(options)
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
    )  # fmt: skip
    if options.keyframes:
        library = add_key_frames(
            library, options.keyframes, alone=not options.masks, follow_links=options.follow_links
        )
    print_passed_over(library.passed_over)
    announce(
        f"{len(library.clips) + len(library.failures)} clips in {options.footage}, results go to "
        f"{options.out}"
    )
    # This imports all of them, which takes a second.
    steps, engine = build_steps(settings, source, key_frames=bool(options.keyframes))
    if options.plan:
        print_unpaired(library.failures)
        from steadymask.cli.plan import print_plan

        store = Store(url, create=False)
        return print_plan(library.clips, steps, store, options.out, engine.chunk)
    with locked(options.out):
        store = Store(url)
        return _run(options, library, steps, engine, store)


def _run(
    options: argparse.Namespace,
    library: Pairing,
    steps: list[Step],
    engine: Engine,
    store: Store,
) -> int:
    """Run the library, keep the record, print the table."""
    names = [step.name for step in steps]
    clip_count = len(library.clips) + len(library.failures)
    failed = _failed(library.clips, Ledger(store, options.out)) if options.retry_failed else []
    clips = failed if options.retry_failed else library.clips
    record = Record(
        options.out, resolved(steps, engine), names, clip_count,
        library=options.footage.resolve().name,
    )  # fmt: skip
    if options.retry_failed:
        record.keep({clip.name for clip in clips})
    record.passed_over = library.passed_over
    record.failures.update(library.failures)
    record.save("running")
    most = size_bytes("--store-budget", options.store_budget) if options.store_budget else 0
    with Progress(len(clips)) as progress, in_use(store, str(options.out.resolve())) as mine:

        def listen(event: Event) -> None:
            record.take(event)
            progress.take(event)

        start = starter(options, store, engine)
        budget = Budget(store, most, mine=mine) if most else None
        room = Room(
            store, partial(clip_bytes, steps), SPENDABLE,
            out=options.out, writes=partial(written_bytes, steps),
        )  # fmt: skip
        run = Run(
            steps, store, options.out, start,
            chunk=engine.chunk, listener=listen, retry=options.retry_failed,
            drop=engine.drop, budget=budget, room=room,
        )  # fmt: skip
        run.go(clips)
    if budget is not None and budget.over:
        print(f"store: {gigabytes(budget.stored_bytes)}, over its budget: the last clips needed it")
    record.save("done")
    print_table(record)
    print(f"report: {write_pages(options.out)}")
    if options.demo and not record.failures:
        from steadymask.cli.demo import print_truth

        print_truth(options.out)
    if record.failures:
        return 1
    return WARNED if options.fail_on_warning and record.warned else 0


def _failed(clips: list[Clip], ledger: Ledger) -> list[Clip]:
    """Return the clips that failed the last time."""
    entries = [(clip, ledger.entry(clip.name)) for clip in clips]
    return [clip for clip, entry in entries if entry and entry.state in ("failed", "quarantined")]
