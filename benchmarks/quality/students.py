"""A student trained on masks as a network gave them, on stabilised ones, and with each loss.

    python benchmarks/quality/students.py SEQUENCES --weights FILE.tflite [--work DIR] [--seeds 3]
        [--rows NAME …]

Refines a small trained network (`pretrained.refined`) on some sequences, labelled by a larger one
frame by frame (DeepLabV3 on MobileNetV2; the truth is never shown), or by itself, and scores it on
other sequences; `--seen` on the ones trained on. Layout as table I of Liu et al. and table 2 of
Coherent Loss: one row a loss, mean over seeds and its standard error; differences are paired by
seed. Judged with DeepFlow, which the pipeline did not use. `--rows` with no name scores the labels
themselves. What is done is kept in the work folder; the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from student_clips import MEASURES, RADIUS, Labels, Scores, Test, link_clip, test_clip  # noqa: E402

from pipeline.plan import steps_for  # noqa: E402
from pipeline.store.store import Store  # noqa: E402
from stages.catalogue import build_steps  # noqa: E402
from stages.models.segmenters.load import load_segmenter  # noqa: E402
from stages.ops.soft_masks import winning_classes  # noqa: E402
from steadymask.cli.clip_pairing import pair_masks  # noqa: E402
from steadymask.cli.distill import TRAINED_ON as DISTILL_STAGES  # noqa: E402 (the project is beside this folder)
from steadymask.cli.distill import build_parser as distill_parser  # noqa: E402
from steadymask.cli.execution import prepare  # noqa: E402
from steadymask.cli.options import read_settings  # noqa: E402
from steadymask.training.distill import DistillationSettings, distill  # noqa: E402
from steadymask.training.labelled import LabelledClips, Origin  # noqa: E402
from steadymask.training.onnx_file import export_onnx  # noqa: E402
from steadymask.training.stored_library import SampleFrame, StoredLibrary  # noqa: E402
from steadymask.training.student_objective import WEIGHTS  # noqa: E402
from steadymask.training.students import build_student  # noqa: E402

MASKS = "Predictions_deeplabv3-mnv2-pascal"
TRAINED_ON = (
    "bmx-trees",
    "bus",
    "dog",
    "swing",
    "tennis",
)  # the last, held out: its mIoU chooses the epoch
TESTED_ON = ("car-shadow", "dance-twirl", "dog-agility", "libby")
FRAMES = 30  # of a sequence to score on: its last ones, of one trained on its first ones

STUDENT = "pretrained:refined"

RAW = Origin(labels="raw")
STABLE = Origin(labels="stabilised")
SURE = Origin(labels="stabilised", sure=0.8)
PFI = ("temporal", "pair_wise", "multi_frame")
ROWS: dict[str, tuple[Origin, tuple[str, ...]]] = {
    "raw predictions": (RAW, ()),
    "stabilised": (STABLE, ()),
    "raw + temporal": (RAW, ("temporal",)),
    "stabilised + temporal": (STABLE, ("temporal",)),
    "stabilised, 255 where unsure": (SURE, ()),
    "stabilised + temporal as printed (eq. 3)": (STABLE, ("temporal_divergence",)),
    "stabilised + single-frame (SF)": (STABLE, ("single_frame",)),
    "stabilised + pair-wise (PF)": (STABLE, ("pair_wise",)),
    "stabilised + multi-frame (MF)": (STABLE, ("multi_frame",)),
    "stabilised + temporal, PF, MF": (STABLE, PFI),
    "stabilised + boundary (bc)": (STABLE, ("boundary",)),
    "stabilised + global (gc)": (STABLE, ("global",)),
    "stabilised + bc, gc (CL)": (STABLE, ("boundary", "global")),
    "stabilised + transform (TI)": (STABLE, ("transform",)),
}
PAIRS = (
    ("stabilised", "raw predictions"),
    ("stabilised + temporal", "stabilised"),
    ("stabilised + temporal", "raw + temporal"),
    ("stabilised, 255 where unsure", "stabilised"),
    ("stabilised + temporal as printed (eq. 3)", "stabilised"),
    ("stabilised + single-frame (SF)", "stabilised"),
    ("stabilised + temporal, PF, MF", "stabilised"),
    ("stabilised + bc, gc (CL)", "stabilised"),
    ("stabilised + pair-wise (PF)", "stabilised"),
    ("stabilised + multi-frame (MF)", "stabilised"),
    ("stabilised + boundary (bc)", "stabilised"),
    ("stabilised + global (gc)", "stabilised"),
    ("stabilised + global (gc)", "raw predictions"),
    ("stabilised + transform (TI)", "stabilised"),
)


@dataclass(frozen=True)
class Course:
    """All that rows share."""

    options: argparse.Namespace
    library: StoredLibrary
    clips: Mapping[Origin, LabelledClips]
    tests: Sequence[Test]


def main() -> None:
    """Train and score all rows; print the table."""
    options = _parser().parse_args()
    os.environ["STUDENT_WEIGHTS"] = str(options.weights)
    options.work.mkdir(parents=True, exist_ok=True)
    library = trained_on(options)
    clips = {origin: LabelledClips(library, origin) for origin in (RAW, STABLE, SURE)}
    if not options.rows:
        report_labels(options, library, clips)
        return
    tests = clips_seen(options) if options.seen else clips_unseen(options)
    course = Course(options, library, clips, tests)
    scores: dict[str, list[Scores]] = {name: [] for name in options.rows}
    for seed in range(options.seeds):
        for name in options.rows:
            scores[name].append(score_student(course, name, seed))
            print(name, seed, json.dumps(scores[name][-1]), file=sys.stderr, flush=True)
    start = untrained(options)
    report(scores, tests, [test.score(masks_of(start, test)) for test in tests])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="of the student to start from")
    parser.add_argument("--work", type=Path, default=Path("out/students"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", nargs="*", default=list(ROWS))
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--samples", type=int, default=120)
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--lines", type=int, default=240, help="of the frames")
    parser.add_argument("--reach", type=int, default=10, help="frames to the neighbours, at most")
    parser.add_argument("--seen", action="store_true", help="score on the sequences trained on")
    parser.add_argument(
        "--labelled-by",
        choices=("itself", "larger"),
        default="larger",
        help="network of the labels",
    )
    return parser


def clips_unseen(options: argparse.Namespace) -> list[Test]:
    """Return the last frames of the sequences to test on."""
    part = slice(-FRAMES, None)
    return [
        test_clip(options.sequences / name, options.work, part, options.lines) for name in TESTED_ON
    ]


def clips_seen(options: argparse.Namespace) -> list[Test]:
    """Return the first frames of the sequences trained on, in the order of their names."""
    part = slice(FRAMES)
    return [
        test_clip(options.sequences / name, options.work, part, options.lines)
        for name in TRAINED_ON[:-1]
    ]


def trained_on(options: argparse.Namespace) -> StoredLibrary:
    """Run the pipeline on what to train on."""
    for name in TRAINED_ON:
        link_clip(options.sequences / name, MASKS, options.work)
    arguments = [str(options.work / "footage"), "--out", str(options.work), "--executor", "inline"]
    arguments += [
        "--follow-links",
        f"--set=ingest.short_side={options.lines}",
        "--set=segment.union=true",
    ]
    if options.labelled_by == "itself":
        arguments += ["--segmenter", str(untrained(options))]
    else:
        arguments += ["--masks", str(options.work / "masks")]
    parsed = distill_parser().parse_args(arguments)
    everything, engine = build_steps(*read_settings(parsed))
    steps = steps_for(everything, DISTILL_STAGES)
    clips, *_ = pair_masks(parsed.footage, parsed.masks, follow_links=True)
    store = Store(str(options.work / ".store"))
    clips = prepare("students", parsed, clips, steps, store, engine)
    return StoredLibrary(clips, steps, store, engine.chunk)


def untrained(options: argparse.Namespace) -> Path:
    """Return the student that all rows start from, as ONNX."""
    path: Path = options.work / "untrained.onnx"
    if not path.exists():
        export_onnx(build_student(STUDENT, (1,)), path)
    return path


def score_student(course: Course, name: str, seed: int) -> Scores:
    """Train a student and return its scores, means over the test sequences."""
    folder = course.options.work / course.options.labelled_by / name.replace(" ", "-") / str(seed)
    done = folder / ("seen.json" if course.options.seen else "scores.json")
    if done.exists():
        return dict(json.loads(done.read_text()))
    student = folder / "student.onnx"
    if not student.exists():
        trained(course, name, seed, student)
    scores = means([test.score(masks_of(student, test)) for test in course.tests])
    done.write_text(json.dumps(scores))
    return scores


def trained(course: Course, name: str, seed: int, to: Path) -> None:
    """Train a student."""
    options, (origin, terms) = course.options, ROWS[name]
    settings = DistillationSettings(
        epochs=options.epochs, samples=options.samples, batch=6, side=options.side, seed=seed,
        rate=options.rate, weights={term: WEIGHTS[term] for term in terms},
        patience=options.epochs, reach=options.reach,
    )  # fmt: skip
    torch.manual_seed(seed)
    clips = course.clips[origin]
    distill(
        build_student(STUDENT, clips.class_ids), clips, settings, to.parent / "training", to,
        radius=RADIUS, side=course.library.side, tell=lambda line: None,
    )  # fmt: skip


def masks_of(student: Path, test: Test) -> list[Labels]:
    """Return a student's labels, each frame by itself."""
    segmenter = load_segmenter(str(student))
    masks = [winning_classes(np.moveaxis(segmenter(frame), 0, -1)) for frame in test.frames]
    load_segmenter.cache_clear()
    return masks


def means(rows: Sequence[Scores]) -> Scores:
    """Return the mean of each measure."""
    return {name: float(np.nanmean([row[name] for row in rows])) for name in MEASURES}


def report(
    scores: Mapping[str, list[Scores]], tests: Sequence[Test], before: Sequence[Scores]
) -> None:
    """Print means with standard errors, and differences paired by seed."""
    _head("trained on")
    for name, rows in scores.items():
        print(f"| {name} | " + " | ".join(_cell([row[m] for row in rows]) for m in MEASURES) + " |")
    floor = [test.score(test.truth) for test in tests]
    for name, rows in (("before training", before), ("truth itself", floor)):
        print(f"| *{name}* | " + " | ".join(f"{means(rows)[m]:.3f}" for m in MEASURES) + " |")
    for better, base in PAIRS:
        if scores.get(better) and scores.get(base):
            both = list(zip(scores[better], scores[base], strict=True))
            cells = [_cell([a[m] - b[m] for a, b in both], sign="+") for m in MEASURES]
            print(f"| **{better} − {base}** | " + " | ".join(cells) + " |")


def report_labels(
    options: argparse.Namespace, library: StoredLibrary, clips: Mapping[Origin, LabelledClips]
) -> None:
    """Print how right and still the labels are that students learn."""
    tests = clips_seen(options)
    names = [name for name, _ in library.clips]
    _head("labels")
    for called, origin in (("raw", RAW), ("stabilised", STABLE)):
        rows = []
        for name, test in zip(TRAINED_ON, tests, strict=False):
            number = names.index(name)
            sample = SampleFrame(number, 0, (0, int(library.clips[number][1]["frames"])))
            rows.append(test.score([clips[origin].labels(sample, t) for t in range(FRAMES)]))
        print(f"| {called} | " + " | ".join(f"{means(rows)[m]:.3f}" for m in MEASURES) + " |")
    floor = means([test.score(test.truth) for test in tests])
    print("| *truth itself* | " + " | ".join(f"{floor[m]:.3f}" for m in MEASURES) + " |")


def _head(first: str) -> None:
    print(f"| {first} | " + " | ".join(f"{m} {way}" for m, way in MEASURES.items()) + " |")
    print("|---" * (len(MEASURES) + 1) + "|")


def _cell(values: Sequence[float], sign: str = "") -> str:
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{np.mean(values):{sign}.3f} ± {error:.3f}"


if __name__ == "__main__":
    main()
