"""How much longer a run takes on Ray than in this process, start and end of Ray included.

    python benchmarks/speed/ray_cost.py FOOTAGE MASKS [--pairs 5] [--workers 2]

Runs go in pairs, one after the other and in turns first, each into an empty folder, so that what
else the machine does meets both alike. Also when the first line is on the screen. Run it on a
machine that has nothing else to do; the last row is the median of the differences.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def timed_run(options: argparse.Namespace, executor: str, out: Path) -> tuple[float, float]:
    """Return the seconds of a run, and those to its first line."""
    shutil.rmtree(out, ignore_errors=True)
    words = [sys.executable, str(ROOT / "run_pipeline.py"), str(options.footage)]
    words += ["--masks", str(options.masks), "--out", str(out)]
    words += ["--executor", executor, "--workers", str(options.workers)]
    began = time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
        if run.stderr is None:
            raise RuntimeError("expected the run's standard error")
        run.stderr.readline()
        first = time.monotonic() - began
        output = run.stderr.read().decode()
    if run.returncode:
        sys.exit(f"{' '.join(words)}: status {run.returncode}\n{output}")
    return time.monotonic() - began, first


def main() -> None:
    """Print a row for each pair, and the median of the differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("footage", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    differences, firsts = [], []
    print("pair   inline      Ray   difference   first line   load")
    with tempfile.TemporaryDirectory() as folder:
        timed_run(options, "inline", Path(folder, "warm"))  # compiled code, files in memory
        for pair in range(options.pairs):
            order = ("inline", "ray") if pair % 2 else ("ray", "inline")
            times = {name: timed_run(options, name, Path(folder, name)) for name in order}
            (inline, _), (ray, first) = times["inline"], times["ray"]
            differences.append(ray - inline)
            firsts.append(first)
            load = os.getloadavg()[0]
            row = f"{pair:4}  {inline:6.2f} s {ray:6.2f} s     {ray - inline:+6.2f} s"
            print(f"{row}       {first:.2f} s  {load:5.1f}", flush=True)
    print(f"median difference {statistics.median(differences):+.2f} s, ", end="")
    print(f"first line after {statistics.median(firsts):.2f} s")


if __name__ == "__main__":
    main()
