"""Runs killed with SIGKILL at random moments, each resumed, against a quiet run.

    python benchmarks/endurance/kills.py FOOTAGE MASKS [--kills 60] [--seed 0]

In turns a driver, a worker and a machine of a cluster (two on this one) is killed. A run whose
driver was killed is given again; the others must end by themselves. Then every file of the results
and every frame of every artifact is compared with those of the quiet run, and what was done a
second time although it was committed is counted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

SETTINGS = ("ingest.short_side=64", "engine.chunk=8")
VOLATILE = re.compile(r"(^|/)(\.lock|run\.json|report/[^/]*\.html|\..*\.json)$")
KINDS = ("driver", "worker", "node")


def command(options: argparse.Namespace, out: Path, *more: str) -> list[str]:
    """Return the command of a run."""
    words = [sys.executable, str(ROOT / "run_pipeline.py"), str(options.footage)]
    words += ["--masks", str(options.masks), "--out", str(out), *more]
    for setting in SETTINGS:
        words += ["--set", setting]
    return words


def start(words: list[str]) -> subprocess.Popen[bytes]:
    """Start a run in a session of its own."""
    return subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def state(out: Path) -> dict[str, str]:
    """Return the digest of every file of the results, and of every frame of every artifact."""
    digests = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.is_file() and not name.startswith(".store/") and not VOLATILE.search(name):
            digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    for key, manifest in artifacts(out).items():
        for name, entry in manifest["arrays"].items():
            digests[f"{key}/{name}"] = "".join(entry["digests"])
    return digests


def artifacts(out: Path) -> dict[str, Any]:
    """Return the manifests of what is committed, by key."""
    paths = (out / ".store" / "objects").glob("*/*/manifest.json")
    return {path.parent.name: json.loads(path.read_text()) for path in paths}


def finished_at(out: Path) -> dict[str, float]:
    """Return when each artifact was made."""
    return {key: manifest["provenance"]["finished"] for key, manifest in artifacts(out).items()}


def descendants(pid: int) -> list[int]:
    """Return the processes below a process."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            below.setdefault(parent, []).append(int(entry.name))
    processes, todo = [], [pid]
    while todo:
        children = below.get(todo.pop(), [])
        processes += children
        todo += children
    return processes


def title(pid: int) -> str:
    """Return what a process calls itself."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def busy_worker(pid: int, rng: random.Random) -> int | None:
    """Return a worker of a run that is at a task."""
    at_work = [p for p in descendants(pid) if re.match(r"ray::.*: ", title(p))]
    return rng.choice(at_work) if at_work else None


class Nodes:
    """Two machines on this one."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        self._second = self._cluster.add_node(num_cpus=1)
        self.address = self._cluster.address

    def kill(self) -> None:
        """Kill one of the machines with all that runs on it; another takes its place."""
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = self._cluster.add_node(num_cpus=1)

    def close(self) -> None:
        """Stop both."""
        self._cluster.shutdown()


def wait_for(run: subprocess.Popen[bytes], out: Path, committed: int) -> None:
    """Wait until so many artifacts are committed, or the run has ended."""
    folder = out / ".store" / "objects"
    while run.poll() is None and len(list(folder.glob("*/*/manifest.json"))) < committed:
        time.sleep(0.02)


def killed_run(
    kind: str, options: argparse.Namespace, out: Path, committed: int, rng: random.Random
) -> Counter[str]:
    """Run, kill a moment after so many artifacts are there, see it through; return what was."""
    facts: Counter[str] = Counter()
    nodes = Nodes() if kind == "node" else None
    words = command(options, out, *(["--address", nodes.address] if nodes else []))
    try:
        run = start(words)
        wait_for(run, out, committed)
        time.sleep(rng.uniform(0, 0.3))
        facts[_kill(kind, run, nodes, rng)] += 1
        before = finished_at(out)
        if run.poll() is not None and run.returncode < 0:
            run = start(words)
        messages = run.communicate(timeout=600)[1]
        if run.returncode:
            print(messages.decode()[-2000:], file=sys.stderr)
        facts["exit status not 0"] += run.returncode != 0
        now = finished_at(out)
        facts["committed before"] += len(before)
        facts["made again"] += sum(now.get(key) != when for key, when in before.items())
        facts["in work when killed"] += len(list((out / ".store" / "drafts").iterdir()))
    finally:
        if nodes:
            nodes.close()
    return facts


def _kill(kind: str, run: subprocess.Popen[bytes], nodes: Nodes | None, rng: random.Random) -> str:
    """Kill a driver, a worker or a machine; return what became of it."""
    if run.poll() is not None:
        return "nothing left to kill"
    if kind == "driver":
        run.kill()
        run.wait()
    elif nodes is not None:
        nodes.kill()
    elif (victim := busy_worker(run.pid, rng)) is not None:
        os.kill(victim, signal.SIGKILL)
    else:
        return "nothing left to kill"
    return "killed"


def main() -> None:
    """Print a row for each kind of death."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("footage", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        quiet = Path(folder, "quiet")
        subprocess.run(command(options, quiet), check=True, cwd=ROOT, capture_output=True)
        total = len(artifacts(quiet))
        wanted = state(quiet)
        print(f"quiet run: {total} artifacts, {len(wanted)} files and arrays\n", flush=True)
        rows = {kind: Counter[str]() for kind in KINDS}
        for number in range(options.kills):
            kind = KINDS[number % len(KINDS)]
            out = Path(folder, f"run{number}")
            committed = rng.randrange(total)
            facts = killed_run(kind, options, out, committed, rng)
            facts["same"] = int(state(out) == wanted)
            rows[kind] += facts
            rows[kind]["runs"] += 1
            print(f"{number} {kind}: {dict(facts)}", file=sys.stderr, flush=True)
            shutil.rmtree(out)
    print(
        "| killed | runs | same as the quiet run | committed before | of these made again ", end=""
    )
    print("| in work when killed | too late to kill |\n|---|---|---|---|---|---|---|")
    columns = ("runs", "same", "committed before", "made again", "in work when killed")
    for kind, row in rows.items():
        cells = [str(row[name]) for name in (*columns, "nothing left to kill")]
        print(f"| {kind} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
