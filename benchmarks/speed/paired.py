"""The whole command beside an earlier commit of it, in turns: seconds of the clock and processor.

    python benchmarks/speed/paired.py SEQUENCES OLD_COMMIT [--kinds …] [--presets …] [--rounds 3]
                                      [--clips dog bus] [--frames 90] [--json OUT.json] [-- ARGS]

SEQUENCES is that of `benchmarks/quality/quality.py`. Kinds of masks are those of
`steadymask.evaluation.kinds_of_masks`, made from the true ones, or real predictions
(`Predictions_NAME…`). What follows `--` goes to both commands, `--executor inline` for example.
The old commit is checked out beside this one and run by the same Python. Each run starts with an
empty store. One run of each before the rounds is not counted: it compiles. Processor seconds are
those of all processes that a run has started, also such as outlive it for a moment (Linux only).
Prints a Markdown table: medians, and the median of the ratios of the pairs.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stages.media.masks.palette import read_labels, write_indexed_png  # noqa: E402
from steadymask.evaluation.kinds_of_masks import KINDS, make_masks  # noqa: E402

ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h
ORPHANS_S = 180  # for processes that a run has left behind: agents of Ray live on for 60


class Cost(NamedTuple):
    """Seconds of one run: of the clock, and of all processors together."""

    clock: float
    processor: float


def main() -> None:
    """Run all pairs and print the table."""
    own = sys.argv[1:]
    more = own[own.index("--") + 1 :] if "--" in own else []
    options = _parser().parse_args(own[: own.index("--")] if "--" in own else own)
    ctypes.CDLL(None, use_errno=True).prctl(ADOPT_ORPHANS, 1, 0, 0, 0)
    rows = []
    with (
        tempfile.TemporaryDirectory() as scratch,
        checked_out(options.old_commit, Path(scratch)) as old,
    ):
        print("| preset | masks | clock, s: old → new | times | processor, s: old → new | times |")
        print("|---|---|---|---|---|---|", flush=True)
        for kind in options.kinds:
            library = write_library(options, kind, Path(scratch) / kind)
            for preset in options.presets:
                pairs = run_pairs((old, ROOT), library, preset, more, options.rounds)
                rows.append({"preset": preset, "masks": kind, "pairs": pairs})
                print(table_row(preset, kind, pairs), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"arguments": own, "rows": rows}, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sequences", type=Path)
    parser.add_argument("old_commit")
    kinds = ["deeplabv3-mnv2-pascal", "osvos", "truth", "dropout"]
    parser.add_argument("--kinds", nargs="*", default=kinds)
    parser.add_argument("--presets", nargs="*", default=["default", "fast"])
    parser.add_argument("--clips", nargs="*", default=["bmx-trees", "dance-twirl"])
    parser.add_argument("--frames", type=int, default=90, help="of a clip, at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    return parser


@contextmanager
def checked_out(commit: str, scratch: Path) -> Iterator[Path]:
    """Give a worktree of a commit; it is removed afterwards."""
    folder = scratch / "old"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def write_library(options: argparse.Namespace, kind: str, folder: Path) -> Path:
    """Write links to frames, and masks of a kind, as the command takes them."""
    for name in options.clips:
        sequence = options.sequences / name
        masks = mask_files(sequence, kind, options.frames)
        if not masks:
            print(f"{name}: no {kind}: left out", file=sys.stderr)
            continue
        (folder / "footage" / name).mkdir(parents=True)
        (folder / "masks" / name).mkdir(parents=True)
        frames = sorted((sequence / "JPEGImages").iterdir())[: options.frames]
        for frame, mask in zip(frames, masks, strict=True):
            (folder / "footage" / name / frame.name).symlink_to(frame.resolve())
            write_indexed_png(folder / "masks" / name / f"{frame.stem}.png", mask)
    return folder


def mask_files(sequence: Path, kind: str, count: int) -> Sequence[np.ndarray]:
    """Return the masks of a sequence, labels above 0 as one class; none if it has no such."""
    if kind not in KINDS:
        folders = sorted(sequence.glob(f"Predictions_{kind}*"))
        return _binary(folders[0], count) if folders else []
    rng = np.random.default_rng(zlib.crc32(sequence.name.encode()))
    return make_masks(_binary(sequence / "Annotations", count), kind, rng)


def _binary(folder: Path, count: int) -> list[np.ndarray]:
    files = sorted(folder.glob("*.png"))[:count]
    return [(read_labels(file) > 0).astype(np.uint8) for file in files]


def run_pairs(
    roots: tuple[Path, Path], library: Path, preset: str, more: Sequence[str], rounds: int
) -> list[tuple[Cost, Cost]]:
    """Return what old and new cost in each round; which is first alternates."""
    pairs = []
    for turn in range(rounds + 1):
        order = roots if turn % 2 else roots[::-1]
        costs = {root: run_once(root, library, preset, more) for root in order}
        if turn:
            pairs.append((costs[roots[0]], costs[roots[1]]))
    return pairs


def run_once(root: Path, library: Path, preset: str, more: Sequence[str]) -> Cost:
    """Run the command of a working tree with an empty store."""
    with tempfile.TemporaryDirectory() as out:
        command = [
            sys.executable, str(root / "run_pipeline.py"), str(library / "footage"),
            "--masks", str(library / "masks"), "--out", out, "--follow-links",
            "--config", str(root / "configs" / f"{preset}.yaml"), *more,
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(root)}
        began, before = time.perf_counter(), spent_by_children()
        status = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, check=False
        )
        clock = time.perf_counter() - began
        wait_for_orphans()
        if status.returncode:
            raise SystemExit(f"{' '.join(command)}: {status.stderr.decode()[-2000:]}")
        return Cost(clock, spent_by_children() - before)


def wait_for_orphans() -> None:
    """Wait for the processes that a run has left behind: only then their seconds count."""
    ends = time.monotonic() + ORPHANS_S
    with suppress(ChildProcessError):
        while time.monotonic() < ends:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.05)
        raise SystemExit(f"a run left processes that have not ended within {ORPHANS_S} s")


def spent_by_children() -> float:
    """Return the processor seconds of all processes that have ended and been waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def table_row(preset: str, kind: str, pairs: Sequence[tuple[Cost, Cost]]) -> str:
    """Return the medians of a preset and a kind as a row of Markdown."""
    cells = []
    for which in range(2):
        old, new = ([costs[which] for costs in side] for side in zip(*pairs, strict=True))
        times = statistics.median(a / b for a, b in zip(old, new, strict=True))
        cells += [f"{statistics.median(old):.1f} → {statistics.median(new):.1f}", f"{times:.2f}"]
    return f"| {preset} | {kind} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
