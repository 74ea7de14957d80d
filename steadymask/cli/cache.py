"""``cache``: what the store of intermediates holds, whether it is sound, and making it smaller."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import rich.progress
from rich.console import Console
from rich.table import Table

from pipeline.errors import CacheError, ConfigError
from pipeline.exit_status import ExitStatus
from pipeline.store.inventory import (
    Entry,
    Leftover,
    delete_leftovers,
    find_leftovers,
    forget_stock,
    keys_of,
    take_stock,
)
from pipeline.store.retention import Pruned, dead_before, prune, running
from pipeline.store.store import Store
from pipeline.store.verify import Verdict, verify_artifacts
from steadymask.cli.terminal import plain_console
from steadymask.cli.units import age_seconds, age_text, size_bytes, size_text

EPILOG = """\
STORE is a folder or URL given to --store, or the --out of a run that has its store in itself.
What a running run may be using is never removed; what is removed and needed is computed again.
Exit status: 0 all well, 1 something was damaged (verify) or too much is in use (prune), 2 no store
there."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="run_pipeline.py cache",
        description="Look after a store of cached intermediates.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    shown = commands.add_parser("ls", help="say what it holds")
    shown.add_argument("--clips", action="store_true", help="tell of every clip too")
    shown.add_argument("--json", action="store_true", help="print JSON")
    checked = commands.add_parser("verify", help="read all of it; remove what is damaged")
    checked.add_argument("--workers", type=int, default=0, help="threads (all processors)")
    pruned = commands.add_parser("prune", help="remove what costs least to have again")
    pruned.add_argument("--max-size", default="", help="leave no more than that, e.g. 200GB")
    pruned.add_argument("--keep-last", default="", help="remove what was not used since, e.g. 30d")
    for command in (checked, pruned):
        command.add_argument("--dry-run", action="store_true", help="say it; remove nothing")
    for command in (shown, checked, pruned):
        command.add_argument("store", metavar="STORE", help="store, or --out of a run")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    options = build_parser().parse_args(arguments)
    commands = {"ls": _list_store, "verify": _verify_store, "prune": _prune_store}
    try:
        return commands[options.command](open_existing(options.store), options)
    except OSError as error:
        raise CacheError(f"{options.store}: cannot be reached: {error}") from error


def open_existing(where: str) -> Store:
    """Return the store at a URL, in a folder, or in the results of a run.

    Raises
    ------
    ConfigError
        If there is none.
    """
    inside = Path(where, ".store")
    try:
        store = Store(str(inside) if inside.is_dir() else where, create=False)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"{where}: {error}") from error
    if not any(store.fs.isdir(f"{store.root}/{part}") for part in ("objects", "digests", "drafts")):
        raise ConfigError(
            f"{where}: expected a store (with objects/) or the --out of a run (with .store/), "
            "found neither: if the run had a --store, give that"
        )
    return store


def _list_store(store: Store, options: argparse.Namespace) -> int:
    now, stock, runs = time.time(), take_stock(store), running(store)
    dead = find_leftovers(store, stock, before=dead_before(runs, now))
    summary: dict[str, Any] = {
        "store": store.url,
        "artifacts": len(stock.entries),
        "bytes": stock.stored_bytes,
        "stages": summed_entries((entry.stage, entry) for entry in stock.entries),
        "leftovers": {"count": len(dead), "bytes": _parsed_bytes(dead)},
        "running": [str(run) for run in runs],
    }
    if options.clips:
        summary["clips"] = summed_entries((entry.clip, entry) for entry in stock.entries)
    if options.json:
        print(json.dumps(summary, indent=1))
    else:
        _show_table(summary, now)
    return 0


def summed_entries(entries: Iterable[tuple[str, Entry]]) -> dict[str, dict[str, float]]:
    """Return the sums of entries under each name, largest first.

    Returns
    -------
    dict of name to {artifacts, bytes, seconds, used}
        `seconds` is what they took to make, `used` the last use of any, seconds since 1970.
    """
    sums: dict[str, dict[str, float]] = {}
    for name, entry in entries:
        row = sums.setdefault(name, {"artifacts": 0, "bytes": 0, "seconds": 0.0, "used": 0.0})
        row["artifacts"] += 1
        row["bytes"] += entry.stored_bytes
        row["seconds"] = round(row["seconds"] + entry.seconds, 3)
        row["used"] = max(row["used"], entry.used)
    return dict(sorted(sums.items(), key=lambda item: -item[1]["bytes"]))


def _show_table(summary: dict[str, Any], now: float) -> None:
    console = plain_console()
    for what in ("stages", "clips"):
        if what not in summary:
            continue
        table = Table(what[:-1], "artifacts", "on disk", "took", "last used")
        for name, row in summary[what].items():
            took = f"{row['seconds']:.1f} s"
            cells = (
                f"{row['artifacts']}",
                size_text(row["bytes"]),
                took,
                age_text(now - row["used"]),
            )
            table.add_row(name, *cells)
        console.print(table)
    _print_line(console, f"{summary['artifacts']} artifacts, {size_text(summary['bytes'])}")
    if summary["leftovers"]["count"]:
        left = summary["leftovers"]
        _print_line(
            console,
            f"{left['count']} leftovers of dead writers, {size_text(left['bytes'])}: "
            "verify and prune remove them",
        )
    for run in summary["running"]:
        _print_line(console, f"in use by {run}")


def _verify_store(store: Store, options: argparse.Namespace) -> int:
    console, keys, damaged = plain_console(), list(keys_of(store)), 0
    verdicts = verify_artifacts(store, keys, workers=options.workers or os.cpu_count() or 1)
    for verdict in _followed_verdicts(verdicts, len(keys)):
        if not verdict.problem:
            continue
        damaged += 1
        what = f"{verdict.stage} of {verdict.clip}" if verdict.clip else verdict.stage
        _print_line(console, f"damaged: {what}: {verdict.problem}")
        if not options.dry_run:
            store.remove(verdict.key)
    if not options.dry_run:
        forget_stock(store)  # a remover killed in an object store may have left it wrong
    dead = find_leftovers(store, take_stock(store), before=dead_before(running(store), time.time()))
    if not options.dry_run:
        delete_leftovers(store, dead)
    done = "found" if options.dry_run else "removed"
    for leftover in dead:
        _print_line(
            console, f"leftover {done}: {leftover.path}, {size_text(leftover.stored_bytes)}"
        )
    _print_line(console, f"{len(keys)} artifacts checked, {damaged} damaged")
    if damaged and not options.dry_run:
        _print_line(console, "removed: the next run that needs them computes them again")
    return ExitStatus.FAILED if damaged else ExitStatus.DONE


def _followed_verdicts(verdicts: Iterator[Verdict], count: int) -> Iterable[Verdict]:
    """Return the verdicts, with a bar on a terminal."""
    if not sys.stderr.isatty():
        return verdicts
    console = Console(stderr=True)
    return rich.progress.track(verdicts, "verify", total=count, console=console, transient=True)


def _prune_store(store: Store, options: argparse.Namespace) -> int:
    if not options.max_size and not options.keep_last:
        raise ConfigError("expected --max-size or --keep-last; see --help")
    limit = size_bytes("--max-size", options.max_size) if options.max_size else math.inf
    keep_s = age_seconds("--keep-last", options.keep_last) if options.keep_last else math.inf
    done = prune(store, limit, keep_s=keep_s, dry_run=options.dry_run)
    _tell_removed(done, options)
    return ExitStatus.FAILED if done.left_bytes > limit else ExitStatus.DONE


def _tell_removed(done: Pruned, options: argparse.Namespace) -> None:
    console = plain_console()
    verb = "would be removed" if options.dry_run else "removed"
    for stage, row in summed_entries((entry.stage, entry) for entry in done.removed).items():
        _print_line(
            console, f"{stage}: {row['artifacts']} artifacts {verb}, {size_text(row['bytes'])}"
        )
    count, freed = len(done.removed), size_text(done.freed_bytes)
    _print_line(console, f"{count} artifacts {verb}, {freed}; {size_text(done.left_bytes)} left")
    for run in done.others:
        _print_line(console, f"in use by {run}: what it may be using was spared")


def _parsed_bytes(dead: Iterable[Leftover]) -> int:
    return sum(leftover.stored_bytes for leftover in dead)


def _print_line(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True)
