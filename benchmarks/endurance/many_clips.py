"""A library of many tiny clips: what the driver does, and what the memory of it is.

    python benchmarks/endurance/many_clips.py [--clips 10000] [--executor ray]

Every clip has four tasks that sleep for a millisecond instead of working: what is timed is the
run itself, with its plan, store, ledger and record, and the executor. A second run finds
everything done.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# In place of this folder, which Ray would show its workers too: a file here is called pipeline.py.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.speed.idle_steps import STEPS
from pipeline.events import ClipFinished, Event, TaskEnded
from pipeline.executor import Executor, InlineExecutor
from pipeline.scheduler import Run
from pipeline.stage import Clip
from pipeline.store.store import Store
from steadymask.cli.run_record import Record


class Counted:
    """An executor that counts what it holds, and the time of its first task."""

    def __init__(self, inner: Executor) -> None:
        self._inner, self.most, self._held = inner, 0, 0
        self.first = 0.0

    @property
    def slots(self) -> int:
        """As the inner one's."""
        return self._inner.slots

    def submit(self, task: Any) -> None:
        """Count it."""
        self.first = self.first or time.monotonic()
        self._held += 1
        self.most = max(self.most, self._held)
        self._inner.submit(task)

    def next_done(self) -> Any:
        """Count it."""
        self._held -= 1
        return self._inner.next_done()

    def close(self) -> None:
        """Stop."""
        self._inner.close()


def resident_mb() -> float:
    """Return the memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def clips(root: Path, count: int) -> Iterator[Clip]:
    """Yield the clips of a library of which only one file is there."""
    footage = root / "clip.mp4"
    footage.write_bytes(b"x")
    for k in range(count):
        yield Clip(f"clip {k:05d}", {"footage": footage})


def go(root: Path, count: int, executor: str, workers: int) -> Mapping[str, Any]:
    """Run the library once; return what was measured."""
    store, out = Store(str(root / "store")), root / "out"
    out.mkdir(exist_ok=True)
    used: list[float] = []
    record = Record(out, {}, [step.name for step in STEPS], count)
    began, executors = time.monotonic(), []
    done = 0

    def start() -> Executor:
        if executor == "inline":
            executors.append(Counted(InlineExecutor(store.url, workers)))
        else:
            from pipeline.ray_executor import RayExecutor

            executors.append(Counted(RayExecutor(store.url, workers, address="", resources={})))
        return executors[-1]

    def listen(event: Event) -> None:
        nonlocal done
        record.record_event(event)
        done += isinstance(event, TaskEnded)
        if isinstance(event, ClipFinished) and len(record.finished) % max(count // 20, 1) == 0:
            used.append(resident_mb())

    Run(STEPS, store, out, start, chunk=96, listener=listen).go(clips(root, count))
    seconds = time.monotonic() - began
    if record.failures or len(record.finished) != count:
        raise SystemExit(
            f"{len(record.failures)} clips failed: {list(record.failures.items())[:2]}"
        )
    return {
        "tasks": done,
        "seconds": seconds,
        "rate": done / seconds,
        "first": executors[0].first - began if executors else float("nan"),
        "most": executors[0].most if executors else 0,
        "tenth": used[1],
        "end": used[-1],
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--executor", nargs="*", default=["ray", "inline"])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    print(f"{options.clips} clips of four tasks, {options.workers} workers\n")
    print(
        "| run | tasks | s | tasks/s | first work after, s | most in flight "
        "| driver at a tenth, MB | at the end |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for executor in options.executor:
        with tempfile.TemporaryDirectory() as folder:
            for which in ("cold", "warm"):
                m = go(Path(folder), options.clips, executor, options.workers)
                print(
                    f"| {executor}, {which} | {m['tasks']} | {m['seconds']:.1f} | {m['rate']:.0f} "
                    f"| {m['first']:.2f} | {m['most']} | {m['tenth']:.0f} | {m['end']:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
