"""Options and settings that the commands on a library share. Quick to import, for ``--help``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from pipeline.errors import ConfigError
from steadymask.cli.terminal import line

if TYPE_CHECKING:
    from pipeline.settings import Sections

ExecutorName = Literal["ray", "inline"]
"""Where tasks may run; `steadymask.cli.execution` starts what a name stands for."""
EXECUTORS: tuple[str, ...] = get_args(ExecutorName)

PRESETS = Path(__file__).parents[1] / "presets"  # configs/, which is packaged under this name


def add_library(parser: argparse.ArgumentParser) -> None:
    """Add what says which library, with which settings, and where to run."""
    parser.add_argument("footage", nargs="?", type=Path, help="videos and/or folders of frames")
    parser.add_argument("--out", type=Path, help="folder for the results")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--masks", type=Path, help="masks, named like the clips")
    source.add_argument(
        "--segmenter",
        help="make the masks: a torchvision model, file.onnx, module:function, or tcb:FILE",
    )
    parser.add_argument(
        "--keyframes",
        type=Path,
        metavar="DIR",
        help="your own masks for some frames, in any format: they come out as they are and are "
        "carried to both sides; with or without --masks",
    )
    parser.add_argument(
        "--follow-links", action="store_true", help="also those that lead out of FOOTAGE or MASKS"
    )
    parser.add_argument(
        "--config",
        type=Path,
        action="append",
        default=[],
        metavar="PRESET",
        help="YAML file, or the name of a preset, e.g. fast; may be given again",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="STAGE.FIELD=VALUE", help="beats the preset"
    )
    parser.add_argument(
        "--store", default="", help="folder or URL of cached intermediates (OUT/.store)"
    )
    parser.add_argument(
        "--store-budget",
        default="",
        metavar="SIZE",
        help="keep the store below, e.g. 200GB: what is cheap to make again goes first",
    )
    parser.add_argument("--executor", choices=EXECUTORS, default="ray")
    parser.add_argument(
        "--workers", type=int, default=0, help="tasks at a time (all processors, on a cluster too)"
    )
    parser.add_argument("--address", default="", help="of a running Ray cluster")


def is_first() -> bool:
    """Return whether this process is not one of those that Lightning starts, one a further GPU.

    These run the same command again, beside the one that started them.
    """
    return os.environ.get("LOCAL_RANK", "0") == "0"


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold a folder for this process and those that Lightning starts beside it."""
    if not is_first():
        yield
        return
    from pipeline.lock import locked

    with locked(folder):
        yield


def say(text: str) -> None:
    """Print a line at once; once, however many processes there are."""
    if is_first():
        print(line(text), flush=True)


def read_settings(options: argparse.Namespace) -> tuple[Sections, str]:
    """Return presets, overrides and options in one, and what to call it in messages."""
    from pipeline.settings import merge_layers, read_overrides, read_preset  # slow to import

    layers = [read_preset(find_preset(path)) for path in options.config]
    layers.append(read_overrides(options.set))
    if options.segmenter:
        layers.append({"segment": {"segmenter": options.segmenter}})
    chosen = {name: getattr(options, name, "") for name in ("only", "frames")}
    if any(chosen.values()):
        layers.append({"export": {name: text for name, text in chosen.items() if text}})
    names = [str(path) for path in options.config] + (["--set"] if options.set else [])
    return merge_layers(*layers), ", ".join(names) or "settings"


def find_preset(path: Path) -> Path:
    """Return the file of a preset: a path, or the name of one that comes with the program.

    ``fast``, ``fast.yaml`` and ``configs/fast.yaml`` all name one, from any folder.

    Raises
    ------
    ConfigError
        If there is none, with those that there are.
    """
    if path.exists():
        return path
    shipped = {file.stem: file for file in sorted(PRESETS.glob("*.yaml"))}
    named = path.stem if path.suffix == ".yaml" else path.name
    if named in shipped and path.parent in (Path(), Path("configs")):
        return shipped[named]
    raise ConfigError(
        f"--config {path}: expected a file, or one of the presets {', '.join(shipped)}; "
        "found neither"
    )


def listed_labels(option: str, text: str) -> tuple[int, ...]:
    """Return whole numbers separated by commas.

    Raises
    ------
    ConfigError
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
        raise ConfigError(f"{option} {text!r}: expected different whole numbers, as 1,2,5")
    return tuple(int(part) for part in parts)
