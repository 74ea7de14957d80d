"""What more workers bring, and what Ray and the store cost.

    python benchmarks/speed/scaling.py FOOTAGE MASKS [--runs 3] [--executors ray]

Every run starts with an empty store. "Busy" is the share of the workers' time that stages took,
without the start and the end of the executor; the rest is the run, Ray, the store and waiting.
Two threads of one processor are not two processors, and memory is shared: the first lines say what
two processes gain here that only compute, or only move memory. One worker uses more than one
processor where it gets it: decoders and encoders run beside it. So it is measured held to one, too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def run(
    options: argparse.Namespace, executor: str, workers: int, processors: int
) -> tuple[float, float]:
    """Return the seconds of a run, and those of all its stages."""
    allowed = sorted(os.sched_getaffinity(0))[:processors]
    with tempfile.TemporaryDirectory() as out:
        began = time.monotonic()
        subprocess.run(
            [
                sys.executable, str(ROOT / "run_pipeline.py"), str(options.footage),
                "--masks", str(options.masks), "--out", out, "--executor", executor,
                "--workers", str(workers), "--follow-links",
                *(f"--set={override}" for override in options.set),
            ],
            check=True, cwd=ROOT, capture_output=True,
            preexec_fn=lambda: os.sched_setaffinity(0, allowed),
        )  # fmt: skip
        seconds = time.monotonic() - began
        clips = json.loads((Path(out) / "run.json").read_text())["clips"].values()
    stages = (stage for clip in clips for stage in clip["stages"].values())
    return seconds, sum(stage["seconds"] for stage in stages)


def compute(_: int) -> None:
    """Keep a processor busy."""
    values = np.random.default_rng(0).random((512, 512), np.float32)
    for _ in range(60):
        values = np.sqrt(values * values + 1)


def move(_: int) -> None:
    """Allocate, fill and read as much as a stage does with a chunk's flow."""
    values = np.ones(25_000_000, np.float32)
    values.copy().sum()


def kernel(work: Callable[[int], None]) -> float:
    """Return how many times as much two processes do as one."""
    took = []
    for workers in (1, 2):
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(work, range(workers)))
            began = time.monotonic()
            list(pool.map(work, range(100)))
            took.append(time.monotonic() - began)
    return took[0] / took[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("footage", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--executors", nargs="+", default=("inline", "ray"))
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    print(f"two processes that only compute do {kernel(compute):.2f} times the work of one here,")
    print(f"two that only move memory {kernel(move):.2f} times\n")
    print("| executor | workers | processors | s (each run) | times the first | stages, s | busy |")
    print("|---|---|---|---|---|---|---|")
    for executor in options.executors:
        first = 0.0
        for workers, processors in ((1, 1), (1, 2), (2, 2)):
            runs = [run(options, executor, workers, processors) for _ in range(options.runs)]
            wall = statistics.median(seconds for seconds, _ in runs)
            stages = statistics.median(spent for _, spent in runs)
            first = first or wall
            each = ", ".join(f"{seconds:.1f}" for seconds, _ in runs)
            print(
                f"| {executor} | {workers} | {processors} | {each} | {first / wall:.2f} "
                f"| {stages:.1f} | {stages / wall / workers:.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
