"""``status``: what a run has done, is doing and has left. Only reads, and disturbs nobody."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from pipeline.errors import ConfigError
from pipeline.lock import at_work
from pipeline.wording import count_text
from steadymask.cli.terminal import line, plain_console
from steadymask.cli.units import duration_text

SILENT_S = 60.0  # from here on the time left is not worth telling
EPILOG = "Exit status: 0 done or at work, 1 interrupted or with failed clips, 2 no run there."


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="run_pipeline.py status",
        description="Say what a run has done, is doing and has left.",
        epilog=EPILOG,
    )
    parser.add_argument("out", type=Path, help="the run's --out")
    parser.add_argument("--clip", default="", help="tell of this clip alone")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    options = build_parser().parse_args(arguments)
    run = _read_record(options.out)
    state = state_of(run, at_work=at_work(options.out), now=time.time())
    if options.clip:
        if options.clip not in run["clips"] and options.clip not in run["failures"]:
            known = ", ".join([*run["clips"], *run["failures"]][:5])
            raise ConfigError(f"--clip {options.clip!r}: not begun; there are {known}")
        state = _of_clip(run, options.clip, state)
    if options.json:
        print(json.dumps(state, indent=1))
    else:
        _print_status(state)
    return 0 if state["state"] in ("done", "running") and not state["failures"] else 1


def state_of(run: dict[str, Any], *, at_work: bool, now: float) -> dict[str, Any]:
    """Return the state of a run.

    Parameters
    ----------
    run : dict
        Of ``run.json``.
    at_work : bool
        Whether a process is at work there.
    now : float
        Seconds since 1970.
    """
    progress = run["progress"]
    gone = run["state"] == "running" and not at_work
    state = "interrupted" if gone else run["state"]
    stages: dict[str, dict[str, float]] = {}
    for clip in run["clips"].values():
        for name, spent in clip["stages"].items():
            total = stages.setdefault(name, {"computed": 0, "hits": 0, "seconds": 0.0})
            for key in total:
                total[key] = round(total[key] + spent[key], 3)
    return {
        "state": state,
        "gone": gone,
        "clips": progress["clips"],
        "finished": progress["finished"],
        "failed": progress["failed"],
        "share": progress["share"],
        "seconds": round((now if state == "running" else progress["updated"]) - run["began"], 1),
        "seconds_left": seconds_left(progress, now) if state == "running" else None,
        "seconds_since_news": round(now - progress["updated"], 1),
        "running": (
            {name: round(now - since, 1) for name, since in progress["running"].items()}
            if state == "running"
            else {}
        ),
        "stages": stages,
        "failures": run["failures"],
    }


def seconds_left(progress: dict[str, Any], now: float) -> float | None:
    """Return the time left as the run estimated it, less the time since; None where unknown."""
    left = progress["seconds_left"]
    return None if left is None else round(max(left - (now - progress["updated"]), 0.0), 1)


def _of_clip(run: dict[str, Any], name: str, state: dict[str, Any]) -> dict[str, Any]:
    clip = run["clips"].get(name, {"done": False, "stages": {}})
    running = {k: t for k, t in state["running"].items() if k.startswith(f"{name}: ")}
    failures = {k: why for k, why in run["failures"].items() if k == name}
    return state | {
        "clips": 1,
        "finished": int(clip["done"]),
        "failed": len(failures),
        "share": None,
        "seconds_left": None,
        "running": running,
        "stages": clip["stages"],
        "failures": failures,
    }


def _outlook(state: dict[str, Any]) -> str:
    """Return the time that a run at work has left, or why nobody can tell."""
    if state["seconds_since_news"] > SILENT_S:
        silence = duration_text(state["seconds_since_news"])
        return f"nothing new for {silence}: long tasks are at work, or it is stopped, or asleep"
    if state["seconds_left"] is None:
        return "nothing is done yet to tell the time left by"
    return f"about {duration_text(state['seconds_left'])} left at the speed so far"


def _print_status(state: dict[str, Any]) -> None:
    console = plain_console()

    def say(text: str) -> None:
        console.print(line(text), markup=False, highlight=False, soft_wrap=True)

    share = "" if state["share"] is None else f", {state['share']:.0%} of the work"
    say(
        f"{state['state']}: {state['finished']} of {count_text(state['clips'], 'clip')} done, "
        f"{state['failed']} failed{share}, {duration_text(state['seconds'])} so far"
    )
    if state["state"] == "running":
        say(_outlook(state))
    if state["state"] == "interrupted":
        silent = f"no sign of its command for {duration_text(state['seconds_since_news'])}: "
        say((silent if state["gone"] else "") + "the same command goes on from here")
    for name, spent in state["running"].items():
        say(f"now: {name} ({duration_text(spent)})")
    if state["stages"]:
        table = Table("stage", "computed", "cached", "seconds")
        for name, total in state["stages"].items():
            cells = f"{total['computed']:.0f}", f"{total['hits']:.0f}", f"{total['seconds']:.1f}"
            table.add_row(name, *cells)
        console.print(table)
    for name, why in state["failures"].items():
        say(f"failed: {name}: {why}")


def _read_record(out: Path) -> dict[str, Any]:
    path = out / "run.json"
    try:
        run: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: expected the record of a run, found none") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not the record of a run ({error})") from error
    if "seconds_left" not in run.get("progress", {}):
        raise ConfigError(f"{path}: written by an older version, which kept less of its progress")
    return run
