"""Options and settings that the commands on a library share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.events import Event
from pipeline.executor import Executor, InlineExecutor, Limits
from pipeline.lock import locked
from pipeline.scheduler import Run
from pipeline.settings import Sections, merge, read_overrides, read_preset
from pipeline.stage import Clip, Step
from pipeline.store.store import Store
from stages.catalogue import ROOT, Engine
from stages.device_cache import RESIDENT
from steadymask.cli.terminal import line


def add_library(made: argparse.ArgumentParser) -> None:
    """Add what says which library, with which settings, and where to run."""
    made.add_argument("footage", nargs="?", type=Path, help="videos and/or folders of frames")
    made.add_argument("--out", type=Path, help="folder for the results")
    source = made.add_mutually_exclusive_group()
    source.add_argument("--masks", type=Path, help="masks, named like the clips")
    source.add_argument(
        "--segmenter", help="make the masks: a torchvision model, file.onnx, or module:function"
    )
    made.add_argument(
        "--follow-links", action="store_true", help="also those that lead out of FOOTAGE or MASKS"
    )
    made.add_argument(
        "--config",
        type=Path,
        action="append",
        default=[],
        help="YAML preset, e.g. configs/fast.yaml",
    )
    made.add_argument(
        "--set", action="append", default=[], metavar="STAGE.FIELD=VALUE", help="beats the preset"
    )
    made.add_argument(
        "--store", default="", help="folder or URL of cached intermediates (OUT/.store)"
    )
    made.add_argument(
        "--store-budget",
        default="",
        metavar="SIZE",
        help="keep the store below, e.g. 200GB: what is cheap to make again goes first",
    )
    made.add_argument("--executor", choices=("ray", "inline"), default="ray")
    made.add_argument(
        "--workers", type=int, default=0, help="tasks at a time (all processors, on a cluster too)"
    )
    made.add_argument("--address", default="", help="of a running Ray cluster")


def starter(options: argparse.Namespace, store: Store, engine: Engine) -> Callable[[], Executor]:
    """Return what starts the executor that the options ask for."""
    here = os.cpu_count() or 1

    def start() -> Executor:
        recent = int(engine.recent_mb * 1e6)
        if options.executor == "inline":
            return InlineExecutor(store.url, options.workers or here, recent=recent)
        from pipeline.ray_executor import RayExecutor

        workers = options.workers or (0 if options.address else here)
        limits = Limits(engine.task_limit_s, engine.worker_limit_s)
        return RayExecutor(
            store.url, workers, address=options.address, resources=engine.resources,
            limits=limits, recent=recent,
        )  # fmt: skip

    return start


def is_first() -> bool:
    """Return whether this process is not one of those that Lightning starts, one a further GPU.

    These run the same command again, beside the one that started them.
    """
    return os.environ.get("LOCAL_RANK", "0") == "0"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder for this process and those that Lightning starts beside it."""
    if not is_first():
        yield
        return
    with locked(folder):
        yield


def say(text: str) -> None:
    """Print a line at once; once, however many processes there are."""
    if is_first():
        print(line(text), flush=True)


def prepare(
    command: str,
    options: argparse.Namespace,
    clips: Sequence[Clip],
    steps: Sequence[Step],
    store: Store,
    engine: Engine,
) -> list[Clip]:
    """Compute what is not cached; return the clips of which everything is there."""
    failed, computed = set(), [0]

    def listen(event: Event) -> None:
        computed[0] += event.kind == "done"
        if event.kind == "failed":
            failed.add(event.clip)
            say(f"{event.clip}: left out: {event.text}")

    start, out = starter(options, store, engine), options.out / command
    Run(steps, store, out, start, chunk=engine.chunk, listener=listen).go(clips)
    RESIDENT.clear()  # the training that follows wants the GPU for itself
    say(f"{command}: {computed[0]} tasks computed, the rest was cached")
    return [clip for clip in clips if clip.name not in failed]


def read_settings(options: argparse.Namespace) -> tuple[Sections, str]:
    """Return presets, overrides and options in one, and what to call it in messages."""
    layers = [read_preset(_preset(path)) for path in options.config]
    layers.append(read_overrides(options.set))
    if options.segmenter:
        layers.append({"segment": {"segmenter": options.segmenter}})
    names = [str(path) for path in options.config] + (["--set"] if options.set else [])
    return merge(*layers), ", ".join(names) or "settings"


def _preset(path: Path) -> Path:
    """Return the preset, looked for beside the program too."""
    beside = ROOT / path
    return beside if not path.exists() and beside.exists() else path
