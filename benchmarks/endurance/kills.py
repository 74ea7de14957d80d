"""Runs killed with SIGKILL at random moments, each resumed, against a quiet run.

    python benchmarks/endurance/kills.py FOOTAGE MASKS [--kills 60] [--seed 0] [--terminal]

In turns a driver, a worker forked from it, a worker of Ray, the process that talks to Ray, and a
machine of a cluster (two on this one) is killed. A run whose driver or process of Ray was killed
is given again; the others must end by themselves. Then every file of the results and every frame of
every artifact is compared with those of the quiet run, and what was done a second time although it
was committed is counted. With ``--terminal`` every command is typed into an interactive shell under
a pseudo-terminal.
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

from benchmarks.endurance.started_runs import (  # noqa: E402 (the project is beside this folder)
    StartedRun,
    Starter,
    find_victim,
    starter,
)

SETTINGS = ("ingest.short_side=64", "engine.chunk=8")
VOLATILE = re.compile(r"(^|/)(\.lock|run\.json|report/[^/]*\.html|\..*\.json)$")
KINDS = ("driver", "forked worker", "worker of Ray", "process of Ray", "node")
# Forked workers take no task that needs memory set aside: flow and what reads it wait for Ray.
ONLY_ON_RAY = ("engine.resources.flow.memory_bytes=1000000",)
KILLED = -signal.SIGKILL
NO_RAY = 2  # exit status


def command(options: argparse.Namespace, out: Path, kind: str = "") -> list[str]:
    """Return the command of a run in which processes of a kind have work."""
    words = [sys.executable, str(ROOT / "run_pipeline.py"), str(options.footage)]
    words += ["--masks", str(options.masks), "--out", str(out)]
    for setting in (*SETTINGS, *(ONLY_ON_RAY if kind.endswith("of Ray") else ())):
        words += ["--set", setting]
    return words


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


def wait_for(run: StartedRun, out: Path, committed: int) -> None:
    """Wait until so many artifacts are committed, or the run has ended."""
    folder = out / ".store" / "objects"
    while run.exit_status() is None and len(list(folder.glob("*/*/manifest.json"))) < committed:
        time.sleep(0.02)


def killed_run(
    kind: str, arguments: list[str], out: Path, committed: int, rng: random.Random, starts: Starter
) -> Counter[str]:
    """Run, kill a moment after so many artifacts are there, see it through; return what was."""
    facts: Counter[str] = Counter()
    nodes = Nodes() if kind == "node" else None
    typed = [*arguments, "--address", nodes.address] if nodes else arguments
    try:
        run = starts.start(typed)
        wait_for(run, out, committed)
        time.sleep(rng.uniform(0, 0.3))
        facts[_kill(kind, run, nodes, rng)] += 1
        before = finished_at(out)
        if kind in ("driver", "process of Ray") and facts["killed"]:
            words = run.final_words()
            _check_end(kind, run, words)
            run = starts.start(typed)
        words = run.final_words()
        if run.exit_status():
            print(words[-2000:], file=sys.stderr)
        facts["exit status not 0"] += run.exit_status() != 0
        now = finished_at(out)
        facts["committed before"] += len(before)
        facts["made again"] += sum(now.get(key) != when for key, when in before.items())
        facts["in work when killed"] += len(list((out / ".store" / "drafts").iterdir()))
    finally:
        if nodes:
            nodes.close()
    return facts


def _kill(kind: str, run: StartedRun, nodes: Nodes | None, rng: random.Random) -> str:
    """Kill a driver, a worker or a machine as soon as there is one; return what became of it."""
    while run.exit_status() is None:
        if nodes is not None:
            nodes.kill()
            return "killed"
        victim = find_victim(kind, run.pid, rng)
        if victim is not None:
            os.kill(victim, signal.SIGKILL)
            return "killed"
        time.sleep(0.01)
    return "nothing left to kill"


def _check_end(kind: str, run: StartedRun, words: str) -> None:
    """Refuse an end that is not the one of a run whose driver or process of Ray was killed.

    A run whose process of Ray is killed after its last task does not need it any more.
    """
    status = run.exit_status()
    expected = (KILLED,) if kind == "driver" else (NO_RAY, 0)
    if status not in expected or "Traceback" in words:
        raise SystemExit(f"{kind} killed: expected status {expected}, found {status}: {words}")


def main() -> None:
    """Print a row for each kind of death."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("footage", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--terminal", action="store_true", help="type the commands")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder, starter(terminal=options.terminal) as starts:
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
            if kind == "forked worker":
                committed //= 4  # they are at work until Ray has started
            facts = killed_run(kind, command(options, out, kind), out, committed, rng, starts)
            after = state(out)
            facts["same"] = int(after == wanted)
            other = [name for name in {**wanted, **after} if wanted.get(name) != after.get(name)]
            rows[kind] += facts
            rows[kind]["runs"] += 1
            print(f"{number} {kind}: {dict(facts)} {other[:5]}", file=sys.stderr, flush=True)
            shutil.rmtree(out)
    print_table(rows)


def print_table(rows: dict[str, Counter[str]]) -> None:
    """Print what became of the runs of each kind."""
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
