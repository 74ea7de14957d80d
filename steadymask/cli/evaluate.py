"""``evaluate``: how right and how still masks are, of any system."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.progress import track

from pipeline.errors import ConfigError
from pipeline.exit_status import ExitStatus
from stages.models.flow.registry import METHOD_NAMES
from steadymask.cli.score_tables import (
    Conditions,
    describe_sizes,
    print_clips,
    print_conditions,
    print_summary,
    write_csv,
    write_json,
)
from steadymask.cli.terminal import line, plain_console
from steadymask.evaluation.any_format import read_labels_by_clip, read_library
from steadymask.evaluation.layouts import name_layout
from steadymask.evaluation.protocols import PROTOCOLS, choose_protocol
from steadymask.evaluation.reference_flow import EstimatedFlow, flow_used
from steadymask.evaluation.score_clip import TRUTH, ClipScores, Options
from steadymask.evaluation.score_library import reference_flow, score_library
from steadymask.evaluation.summary import Gate, summarise_clips

EPILOG = """\
Layouts: DAVIS, YouTube-VOS (<clip>/00000.png), VSPW (<clip>/origin, <clip>/mask), Cityscapes
(<city>_<sequence>_<frame>_*.png), and the OUT folder of a run; or videos, and masks in any format
that a run reads: mask videos, arrays, COCO, soft masks (the class that wins counts). A clip is
taken as one shot.
Protocols: all counts every frame, davis2016 and davis2017 leave out the first and the last, as
the official programs do; vspw is VSPW's evaluator and scripts, whose measures end in _vspw.
The first --pred is the baseline that `excess` refers to.
Exit status: 0 all scored, 1 a clip could not be scored or a gate failed, 2 nothing could start."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="run_pipeline.py evaluate",
        description="Score masks: accuracy against the truth, stability against the flow.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("frames", type=Path, help="folder of clips: videos, or folders of pictures")
    parser.add_argument(
        "--pred", action="append", default=[], metavar="NAME=DIR", help="masks of a system; repeat"
    )
    parser.add_argument("--gt", type=Path, help="true masks, of some frames or of all")
    parser.add_argument(
        "--task", choices=("objects", "classes", "tracks"),
        help="objects: J, F (DAVIS), the default; classes: mIoU, VC (VSPW); tracks: HOTA, "
        "IDF1, AP",
    )  # fmt: skip
    parser.add_argument(
        "--protocol", choices=tuple(PROTOCOLS),
        help="the frames that count and how sets are scored: all, or as a benchmark's programs do; "
        "by default vspw for that layout, else all",
    )  # fmt: skip
    parser.add_argument("--union", action="store_true", help="take all objects for one")
    parser.add_argument(
        "--void", type=int, nargs="*", default=[], metavar="LABEL",
        help="labels in the truth that do not count, beside 255; with --task classes it is a miss "
        "to predict one",
    )  # fmt: skip
    parser.add_argument(
        "--flow", default="other",
        help=f"{METHOD_NAMES} or a ptlflow model; by default not the one that made the masks",
    )  # fmt: skip
    parser.add_argument(
        "--flow-weights", default="", metavar="NAME|FILE", help="weights of a ptlflow model"
    )
    parser.add_argument("--flow-device", default="cpu", help="cpu or cuda, for a ptlflow model")
    parser.add_argument(
        "--exact-flow", type=Path, metavar="FOLDER", help="known flow, from perturb: <clip>.npz"
    )
    parser.add_argument(
        "--exact-flow-alone", action="store_true",
        help="with known flow count all that it tracks, not only what --flow tracks too",
    )  # fmt: skip
    parser.add_argument("--flow-scale", type=float, help="share of the size that flow works at")
    parser.add_argument("--radius", type=int, default=3, help="pairs up to so many frames apart")
    parser.add_argument("--rate", type=float, default=24.0, help="frames per second, for E_smooth")
    parser.add_argument("--contours", action="store_true", help="score T (DAVIS 2016); slow")
    parser.add_argument("--vspw-script", action="store_true", help="the same as --protocol vspw")
    parser.add_argument("--workers", type=int, default=0, help="pairs at a time (all processors)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a row for every value")
    parser.add_argument("--per-clip", action="store_true", help="print every clip's values too")
    parser.add_argument(
        "--fail-if", action="append", default=[], metavar="'E_cons>1.5'",
        help="exit with 1 if a clip of a system is that bad; repeat",
    )  # fmt: skip
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    options = build_parser().parse_args(arguments)
    with TemporaryDirectory(prefix="steadymask-evaluate-") as scratch:
        return _evaluate_library(options, Path(scratch))


def _evaluate_library(options: argparse.Namespace, scratch: Path) -> int:
    gates = [Gate.parse(text) for text in options.fail_if]
    folders = _parsed_systems(options.pred)
    judge = reference_flow(
        options.flow, list(folders.values()),
        scale=options.flow_scale, radius=options.radius, workers=options.workers,
        weights=options.flow_weights, device=options.flow_device,
    )  # fmt: skip
    wanted = _parsed_options(options)
    clips = read_library(options.frames, scratch)
    systems = {
        name: read_labels_by_clip(folder, clips, scratch / "pred" / name)
        for name, folder in folders.items()
    }
    truth = read_labels_by_clip(options.gt, clips, scratch / "gt") if options.gt else None
    console = plain_console()
    if flow_used(list(folders.values())) == judge.method and not options.exact_flow:
        note = f"some masks were made with {judge.method}: it finds them stiller than others would"
        console.print(note)
    bar = partial(
        track, description="clips", console=Console(stderr=True), transient=True
    )  # fmt: skip
    scores, failures = score_library(
        clips, systems, truth, judge, wanted, exact_flow=options.exact_flow,
        limit=None if options.exact_flow_alone else judge, track=bar,
    )  # fmt: skip
    conditions = Conditions(
        _describe_flow(judge, options), describe_sizes(scores), wanted.protocol.name,
        wanted.protocol.summary,
    )  # fmt: skip
    summary = summarise_clips(scores, list(systems))
    print_conditions(console, conditions)
    print_summary(console, summary, list(systems))
    if options.per_clip:
        print_clips(console, scores)
    failures += [why for clip_scores in scores for why in _clip_problems(clip_scores, systems)]
    lines = [line for gate in gates for line in gate.failures(scores)]
    for text in [*(f"not scored: {why}" for why in failures), *(f"failed: {x}" for x in lines)]:
        console.print(line(text), markup=False, highlight=False, soft_wrap=True)
    if options.json:
        write_json(options.json, conditions, summary, scores, failures, lines)
    if options.csv:
        write_csv(options.csv, scores)
    return ExitStatus.FAILED if failures or lines else ExitStatus.DONE


def _parsed_options(options: argparse.Namespace) -> Options:
    """Return the task and the protocol, and how the rest is scored.

    Raises
    ------
    ConfigError
        If the protocol does not fit the layout or the other options.
    """
    name = "vspw" if options.vspw_script and not options.protocol else options.protocol
    layouts = [name_layout(root) for root in (options.frames, options.gt) if root is not None]
    protocol = choose_protocol(
        name, options.task, layouts, union=options.union, has_truth=options.gt is not None
    )
    return Options(
        options.task or protocol.task or "objects", options.union, options.rate, options.contours,
        protocol, tuple(options.void),
    )  # fmt: skip


def _parsed_systems(texts: Sequence[str]) -> dict[str, Path]:
    systems: dict[str, Path] = {}
    for text in texts:
        name, _, folder = text.partition("=")
        if not name or not folder:
            raise ConfigError(f"--pred {text!r}: expected NAME=DIR")
        if name in systems or name == TRUTH:
            raise ConfigError(f"--pred {text!r}: the name {name!r} is taken")
        systems[name] = Path(folder)
    if not systems:
        raise ConfigError("--pred: expected at least one, NAME=DIR")
    return systems


def _describe_flow(judge: EstimatedFlow, options: argparse.Namespace) -> str:
    if options.exact_flow_alone and options.exact_flow:
        return f"the flow in {options.exact_flow}"
    if options.exact_flow:
        return f"the flow in {options.exact_flow}, where {judge.method} tracks too"
    return f"{judge.method} at {judge.scale:g} of the size, up to {judge.radius} frames apart"


def _clip_problems(clip_scores: ClipScores, systems: Mapping[str, Any]) -> list[str]:
    return [clip_scores.problems[system] for system in systems if system in clip_scores.problems]
