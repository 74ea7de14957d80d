"""Wall time and memory of the whole command: start-up, decode, store and export included.

    python benchmarks/speed/speed.py FOOTAGE MASKS [--runs 3] [--config PRESET …] [--loop FRAMES]

Every run starts with an empty store; a second one follows on the warm store. Memory is the sum over
all processes of what each has for itself (PSS), sampled twice a second. --loop repeats the first
clip until it has that many frames, to show that memory does not grow with length.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INTERVAL_S = 0.5


def main() -> None:
    """Run and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("footage", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--config", nargs="*", default=["configs/default.yaml", "configs/fast.yaml"]
    )
    parser.add_argument("--loop", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        footage, masks = options.footage, options.masks
        if options.loop:
            footage, masks = looped(footage, masks, Path(scratch) / "library", options.loop)
        names = [clip.name for clip in sorted(footage.iterdir())]
        frames = sum(len(list((footage / name).iterdir())) for name in names)
        print(f"{len(names)} clips, {frames} frames, {os.cpu_count()} processors\n")
        print(
            "| preset | cold, s (each run) | frames/s, median | warm, s a clip | peak memory, MB |"
        )
        print("|---|---|---|---|---|")
        for config in options.config:
            cold, warm, peak = measure(footage, masks, config, options.runs, Path(scratch))
            each = ", ".join(f"{seconds:.1f}" for seconds in cold)
            speed = frames / statistics.median(cold)
            print(
                f"| {Path(config).stem} | {each} | {speed:.2f} | "
                f"{statistics.median(warm) / len(names):.2f} | {peak / 1e6:.0f} |",
                flush=True,
            )


def measure(
    footage: Path, masks: Path, config: str, runs: int, scratch: Path
) -> tuple[list[float], list[float], int]:
    """Return seconds of cold and of warm runs, and the peak of memory in bytes."""
    cold, warm, peak = [], [], 0
    for k in range(runs):
        out = scratch / f"{Path(config).stem}-{k}"
        for times in (cold, warm):
            seconds, memory = timed(footage, masks, config, out)
            times.append(seconds)
            peak = max(peak, memory)
        subprocess.run(["rm", "-rf", str(out)], check=True)
    return cold, warm, peak


def timed(footage: Path, masks: Path, config: str, out: Path) -> tuple[float, int]:
    """Run the command once; return its seconds and the peak of memory in bytes."""
    command = [sys.executable, str(ROOT / "run_pipeline.py"), str(footage), "--masks", str(masks)]
    command += ["--out", str(out), "--config", config, "--set", "segment.union=true"]
    return watched([*command, "--follow-links"])


def watched(command: Sequence[str]) -> tuple[float, int]:
    """Run a command; return its seconds and the peak of memory in bytes."""
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(INTERVAL_S):
            peak[0] = max(peak[0], memory_of(child.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = child.wait()
    seconds = time.perf_counter() - began
    ended.set()
    watcher.join()
    if status:
        raise SystemExit(f"{' '.join(command)}: exit status {status}")
    return seconds, peak[0]


def memory_of(root: int) -> int:
    """Return the proportional memory of a process, all that it started, and of Ray's since then.

    Another program that starts Ray at the same time is counted as well: measure with none running.
    """
    parents, began, total = {}, {}, 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)], began[int(entry.name)] = int(fields[1]), int(fields[19])
    for pid in parents:
        above = pid
        while above in parents and above != root:
            above = parents[above]
        if above == root or (began[pid] >= began.get(root, 0) and _is_ray(pid)):
            total += proportional(pid)
    return total


def _is_ray(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return words.startswith(b"ray::") or b"/ray/" in words


def proportional(pid: int) -> int:
    """Return a process's memory, what it shares divided, in bytes."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def looped(footage: Path, masks: Path, library: Path, frames: int) -> tuple[Path, Path]:
    """Return a library of one clip: the first of `footage`, forward and back, `frames` long."""
    name = sorted(clip.name for clip in footage.iterdir())[0]
    for source, kind in ((footage, "footage"), (masks, "masks")):
        files = sorted((source / name).iterdir())
        there_and_back = files + files[-2:0:-1]
        (library / kind / name).mkdir(parents=True)
        for k in range(frames):
            file = there_and_back[k % len(there_and_back)].resolve()
            (library / kind / name / f"{k:06d}{file.suffix}").symlink_to(file)
    return library / "footage", library / "masks"


if __name__ == "__main__":
    main()
