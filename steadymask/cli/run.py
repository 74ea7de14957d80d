"""``run``: a directory of videos and their masks in, temporally stable masks out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

import yaml

from pipeline.disk_admission import Room, gigabytes
from pipeline.errors import ConfigError
from pipeline.events import Event
from pipeline.ledger import Ledger
from pipeline.lock import locked
from pipeline.scheduler import Run
from pipeline.settings import Sections
from pipeline.stage import Clip, Step
from pipeline.store.retention import Budget, in_use
from pipeline.store.store import Store
from stages.catalogue import Engine, build_steps
from steadymask.cli.library import pair_masks
from steadymask.cli.options import add_library, read_settings, starter
from steadymask.cli.pages import write_pages
from steadymask.cli.progress import Progress
from steadymask.cli.run_record import Record, print_table
from steadymask.cli.size_estimates import SPENDABLE, clip_bytes, written_bytes
from steadymask.cli.units import size_bytes

EPILOG = """\
OUT then holds, for every clip, masks/ (indexed PNG), masks.mkv, overlay.mp4 and metrics.json.
report/index.html shows all of it. A run that was stopped goes on where it was when the same command
is given again.
Exit status: 0 all done, 1 some clips failed, 2 nothing could start; with --fail-on-warning, 5 all
done, but some clips came out worse than they went in.

Other commands, each with --help: evaluate (score masks of any system), status (how far a run is),
fit (train a decoder on a library), distill (train a small network on the results), labels (gather
pseudo-labels to train on elsewhere), perturb and corrupt (make test sequences), doctor (check the
installation)."""


WARNED = 5  # exit status
HIDDEN = ("probe", "classes")  # steps whose settings are those of others


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="run_pipeline.py",
        description="Turn flickering per-frame masks into temporally stable ones.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_library(made)
    made.add_argument(
        "--demo", action="store_true", help="make footage with known truth and run on it"
    )
    made.add_argument(
        "--retry-failed", action="store_true", help="only the clips that failed, quarantined or not"
    )
    made.add_argument(
        "--fail-on-warning", action="store_true",
        help="exit with status 5 if a clip came out worse than it went in",
    )  # fmt: skip
    made.add_argument("--plan", action="store_true", help="say what would run and why; run nothing")
    made.add_argument("--print-config", action="store_true", help="print all settings and stop")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    options = parser().parse_args(arguments)
    settings, source = read_settings(options)
    steps, engine = build_steps(settings, source)
    if options.print_config:
        print(yaml.safe_dump(_resolved(steps, engine), sort_keys=False), end="")
        return 0
    if options.out is None:
        raise ConfigError("--out: expected a folder for the results")
    if options.demo:
        from steadymask.cli.demo import make_demo

        with locked(options.out):
            options.footage, options.masks = make_demo(options.out)
    if options.footage is None or not (options.masks or options.segmenter):
        raise ConfigError(
            "expected FOOTAGE and either --masks or --segmenter (or --demo); see --help"
        )
    clips, unpaired = pair_masks(options.footage, options.masks, follow_links=options.follow_links)
    url = options.store or str(options.out / ".store")
    if options.plan:
        from steadymask.cli.plan import print_plan

        store = Store(url, create=False)
        return print_plan(clips, steps, store, options.out, engine.chunk)
    with locked(options.out):
        store = Store(url)
        return _run(options, clips, unpaired, steps, engine, store)


def _run(
    options: argparse.Namespace,
    clips: list[Clip],
    unpaired: dict[str, str],
    steps: list[Step],
    engine: Engine,
    store: Store,
) -> int:
    """Run the library, keep the record, print the table."""
    names = [step.name for step in steps]
    clip_count = len(clips) + len(unpaired)
    if options.retry_failed:
        clips = _failed(clips, Ledger(store, options.out))
    record = Record(options.out, _resolved(steps, engine), names, clip_count)
    if options.retry_failed:
        record.keep({clip.name for clip in clips})
    for name, reason in unpaired.items():
        record.fail(name, reason)
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


def _resolved(steps: Sequence[Step], engine: Engine) -> Sections:
    sections = {
        step.name: step.model_dump(mode="json") for step in steps if step.name not in HIDDEN
    }
    return sections | {"engine": engine.model_dump(mode="json")}
