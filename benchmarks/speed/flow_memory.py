"""Memory that learned flow takes at several sizes, with and without what is quadratic in pixels.

    python benchmarks/speed/flow_memory.py [--network gma] [--sizes 854x480 1280x720 1920x1080]
                                     [--iterations 2] [--limit BYTES …]

One process for each size and limit (`stages.models.flow.raft.pair_correlation.SQUARE_BYTES`) runs
the flow there and back between two frames, with random weights, on one core; printed are its peak
of memory (the libraries' own, about 1 GB, included) and seconds of processor a pair.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pipeline.stage import Span  # noqa: E402 (the project is beside this folder)
from stages.models.flow.settings import NetworkSettings  # noqa: E402


def main() -> None:
    """Print a Markdown table, or measure one row for it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="gma")
    parser.add_argument("--sizes", nargs="*", default=["854x480", "1280x720", "1920x1080"])
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--limit", type=int, nargs="*", default=[1 << 29], help="SQUARE_BYTES")
    parser.add_argument("--row", action="store_true", help="measure the first size and limit here")
    options = parser.parse_args()
    if options.row:
        print(json.dumps(measured(options.network, options.sizes[0], options)))
        return
    print(
        "| network | size | matrices up to, MB | peak memory, MB | processor, s a pair |\n"
        "|---|---|---|---|---|"
    )
    for size in options.sizes:
        for limit in options.limit:
            command = [sys.executable, __file__, "--row", "--network", options.network]
            command += ["--sizes", size, "--limit", str(limit)]
            command += ["--iterations", str(options.iterations)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            peak, seconds = json.loads(done.stdout.splitlines()[-1])
            row = f"| {options.network} | {size} | {limit / 1e6:.0f} | {peak / 1e6:.0f}"
            print(f"{row} | {seconds:.1f} |", flush=True)


def measured(network: str, size: str, options: argparse.Namespace) -> tuple[int, float]:
    """Return the peak of this process in bytes, and the processor's seconds a pair."""
    import skimage.data

    from stages.models.flow.ptlflow import load_flow_network
    from stages.models.flow.raft import pair_correlation as raft_correlation

    raft_correlation.SQUARE_BYTES = options.limit[0]
    columns, rows = (int(side) for side in size.split("x"))
    wide = cv2.resize(skimage.data.chelsea(), (columns + 8, rows + 4))
    frames = np.stack([wide[:rows, :columns], wide[4:, 8:]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = load_flow_network(network, "random", "cpu", NetworkSettings(options.iterations))
    model(frames[0][:128, :128], frames[1][:128, :128])  # compiles
    began = time.process_time()
    run = model.run(Span(0, frames), {(0, 1), (1, 0)}, reach=1)  # type: ignore[attr-defined]
    run.flow(0, 1)
    run.flow(1, 0)
    seconds = (time.process_time() - began) / 2
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, seconds


if __name__ == "__main__":
    main()
