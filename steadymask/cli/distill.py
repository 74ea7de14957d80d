"""``distill``: trains a per-frame student on what the pipeline made of a library."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.plan import steps_for
from pipeline.settings import Sections
from pipeline.stage import Clip, Step
from pipeline.store.store import Store
from stages.catalogue import build_steps
from steadymask.cli.clip_pairing import chosen_readers, pair_masks
from steadymask.cli.execution import prepare
from steadymask.cli.options import add_library, locked_folder, read_settings, say

if TYPE_CHECKING:
    from steadymask.training.students import Student

TRAINED_ON = ("segment", "flow", "carry", "smooth")
EPILOG = """\
Runs what is not cached yet of the pipeline, then trains. --loss adds a term to the cross-entropy,
with the weight of its paper or NAME=WEIGHT: temporal (as the program of Liu et al. computes it),
temporal_divergence (as their eq. 3 has it), single_frame, pair_wise, multi_frame (the same);
boundary, global, lovasz (Coherent Loss); consistency, transform (Azulay et al., 5.5 and eq. 1).
The epoch with the best mIoU on held-out labels counts. OUT/distill holds checkpoints and the curves
of the losses; the same command goes on after the last epoch. The student is written as ONNX, which
--segmenter of the pipeline takes as it is, and as .safetensors, to go on from."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="run_pipeline.py distill",
        description="Train a small network that sees one frame at a time on stabilised masks.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_library(parser)
    _add_labels(parser)
    _add_networks(parser)
    parser.add_argument(
        "--loss", action="append", default=[], metavar="NAME[=WEIGHT]", help="may be repeated"
    )
    parser.add_argument("--to", type=Path, help="file to write (OUT/distill/student.onnx)")
    parser.add_argument("--epochs", type=int, default=20, help="at most")
    parser.add_argument("--samples", type=int, default=400, help="triplets of frames of an epoch")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=256, help="of a sample, pixels")
    parser.add_argument("--rate", type=float, default=1e-3, help="of Adam, at the start")
    parser.add_argument("--patience", type=int, default=4, help="epochs without a better mIoU")
    parser.add_argument(
        "--reach", type=int, default=10, help="frames from the labelled one to its neighbours"
    )
    parser.add_argument(
        "--band", type=int, default=15, help="of boundary, pixels: θ of Coherent Loss; odd"
    )
    parser.add_argument(
        "--margin", type=float, default=0.05, help="of global, a probability: γ of Coherent Loss"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser


def _add_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--labels", choices=("stabilised", "raw", "none"), default="stabilised",
        help="masks to learn: what the pipeline makes, what it is given, or --truth alone",
    )  # fmt: skip
    parser.add_argument(
        "--sure", type=float, default=0.0,
        help="probability under which a pixel of them is ignored (0: none is)",
    )  # fmt: skip
    parser.add_argument(
        "--truth", type=Path,
        help="label pictures TRUTH/<clip>/<frame>.png that count more; 255 is ignored",
    )  # fmt: skip


def _add_networks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--student", default="lraspp_mobilenet_v3_large",
        help="that, deeplabv3_mobilenet_v3_large, or module:function",
    )  # fmt: skip
    parser.add_argument(
        "--weights", type=Path, help="of a student, .safetensors, to go on from; its network counts"
    )
    parser.add_argument(
        "--backbone-weights", default="", help="path, or random; empty downloads torchvision's"
    )
    parser.add_argument(
        "--teacher", type=Path,
        help="a larger student, .safetensors, for single_frame, pair_wise and multi_frame (the "
        "stabilised masks)",
    )  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    options = build_parser().parse_args(arguments)
    if options.footage is None or options.out is None or not (options.masks or options.segmenter):
        raise ConfigError("expected FOOTAGE, --out, and either --masks or --segmenter; see --help")
    weights = _term_weights(options.loss)
    _check_options(options)
    _check_teacher(options, weights)
    settings, source = read_settings(options)
    everything, engine = build_steps(settings, source)
    steps = steps_for(everything, TRAINED_ON)
    clips, unpaired, _ = pair_masks(
        options.footage, options.masks, follow_links=options.follow_links,
        readers=chosen_readers(settings),
    )  # fmt: skip
    for name, reason in unpaired.items():
        say(f"{name}: left out: {reason}")
    with locked_folder(options.out):
        store = Store(options.store or str(options.out / ".store"))
        clips = prepare("distill", options, clips, steps, store, engine)
        _train_student(options, clips, steps, store, engine.chunk, settings, weights)
    return 0


def _check_teacher(options: argparse.Namespace, weights: dict[str, float]) -> None:
    """Refuse a teacher that no term learns from."""
    from steadymask.training.student_objective import TAUGHT

    if options.teacher and not TAUGHT & set(weights):
        raise ConfigError(
            f"--teacher: expected --loss {', '.join(sorted(TAUGHT))}, which learn from it"
        )


def _check_options(options: argparse.Namespace) -> None:
    """Refuse options that cannot be meant."""
    for name in ("epochs", "samples", "batch", "side", "patience", "rate", "reach"):
        if getattr(options, name) <= 0:
            raise ConfigError(f"--{name} {getattr(options, name):g}: expected a number above 0")
    if options.band < 1 or options.band % 2 == 0:
        raise ConfigError(f"--band {options.band}: expected an odd number of pixels")
    for name in ("margin", "sure"):
        if not 0 <= getattr(options, name) <= 1:
            raise ConfigError(
                f"--{name} {getattr(options, name):g}: expected a probability, 0 to 1"
            )
    _check_paths(options)


def _check_paths(options: argparse.Namespace) -> None:
    """Refuse files and folders that cannot be meant."""
    if options.labels == "none" and options.truth is None:
        raise ConfigError("--labels none: expected label pictures with --truth")
    if options.truth is not None and not options.truth.is_dir():
        raise ConfigError(f"--truth {options.truth}: no such folder")
    if options.to is not None and options.to.suffix != ".onnx":
        raise ConfigError(f"--to {options.to}: expected a file.onnx")


def _term_weights(texts: Sequence[str]) -> dict[str, float]:
    """Return the weights of the terms asked for."""
    from steadymask.training.student_objective import WEIGHTS

    weights = {}
    for text in texts:
        name, _, weight = text.partition("=")
        if name not in WEIGHTS:
            raise ConfigError(f"--loss {text!r}: expected one of {', '.join(WEIGHTS)}")
        try:
            weights[name] = float(weight) if weight else WEIGHTS[name]
        except ValueError as error:
            raise ConfigError(f"--loss {text!r}: expected a number after =") from error
    return weights


def _train_student(
    options: argparse.Namespace,
    clips: list[Clip],
    steps: list[Step],
    store: Store,
    chunk: int,
    settings: Sections,
    weights: dict[str, float],
) -> None:
    """Train on what is cached."""
    from steadymask.training.distill import DistillationSettings, distill
    from steadymask.training.labelled import LabelledClips, Origin
    from steadymask.training.stored_library import StoredLibrary

    if not clips:
        raise ConfigError("distill: no clip is left to train on")
    library = StoredLibrary(clips, steps, store, chunk)
    union = bool(settings.get("segment", {}).get("union", False))
    origin = Origin(options.labels, options.sure, options.truth, union)
    labelled = LabelledClips(library, origin)
    student, teacher = _student_and_teacher(options, labelled.class_ids)
    how = DistillationSettings(
        epochs=options.epochs, samples=options.samples, batch=options.batch, side=options.side,
        seed=options.seed, rate=options.rate, weights=weights, patience=options.patience,
        reach=options.reach, band=options.band, margin=options.margin,
    )  # fmt: skip
    folder = options.out / "distill"
    to = options.to or folder / "student.onnx"
    radius = int(next(step for step in steps if step.name == "flow").model_dump()["radius"])
    distill(
        student, labelled, how, folder, to, radius=radius, side=library.side, teacher=teacher,
        tell=say,
    )  # fmt: skip
    say(f"trained: {to}")
    say(f"use it: --segmenter {to}")


def _student_and_teacher(
    options: argparse.Namespace, class_ids: tuple[int, ...]
) -> tuple[Student, Student | None]:
    """Return the student to start from, and the teacher."""
    from steadymask.training.students import build_student, check_classes, load_student

    if options.weights:
        student = load_student(options.weights)
        check_classes(student, class_ids, options.weights)
    else:
        import lightning

        lightning.seed_everything(options.seed, verbose=False)
        student = build_student(options.student, class_ids, backbone=options.backbone_weights)
    if options.teacher is None:
        return student, None
    teacher = load_student(options.teacher)
    check_classes(teacher, class_ids, options.teacher)
    return student, teacher
