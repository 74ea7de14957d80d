"""Kinds of masks, sharp and wrong now and then: this project beside what people use instead.

    python benchmarks/quality/kinds.py SEQUENCES [--kinds …] [--only NAME …] [--frames 60]
        [--lines 1080] [--judges dis deep --judged-frames 20 --cache FLOWS] [--habits] [--set …]

SEQUENCES is that of `quality.py`. Kinds are made from the true masks (`make_masks`), or are real
predictions (`Predictions_NAME…`: pass NAME), or `camvid`: several classes, IoU by class. Prints a
row for each clip with J and boundary F at 2 px (and the excess inconsistency with each judge, over
the first frames), then mean and worst. --lines enlarges the footage, and draws the true masks anew
at that size from smooth outlines. --habits adds majority, union, moving average, EMA, hysteresis
and the last mask carried along DIS flow. Every label above 0 is one foreground.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.quality.classes import class_iou, folder  # noqa: E402 (as quality.py)
from benchmarks.quality.habits import HABITS, Masks  # noqa: E402
from benchmarks.quality.quality import JUDGES, excess, inconsistency  # noqa: E402
from stages.media.masks.palette import read_labels, write_indexed_png  # noqa: E402
from stages.metrics.accuracy import boundary_f, jaccard  # noqa: E402
from steadymask.evaluation.kinds_of_masks import KINDS, make_masks  # noqa: E402

CLASSES = "camvid"  # the kind with several classes
PREDICTIONS = ("isnet", "osvos", "deeplab")
SMOOTH = 0.8  # pixels of the small mask (1 sigma) over which an enlarged outline is smoothed
Scores = tuple[float, float]


@dataclass
class Row:
    """What one clip came to: J and F by method, and the excess inconsistency by judge."""

    scores: dict[str, Scores]
    excess: dict[str, float] = field(default_factory=dict)


def main() -> None:
    """Make the masks, run the command, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--kinds", nargs="*", default=[*KINDS, *PREDICTIONS, CLASSES])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--frames", type=int, default=10**6)
    parser.add_argument("--lines", type=int, default=0)
    parser.add_argument("--judges", nargs="*", default=[], choices=list(JUDGES))
    parser.add_argument("--judged-frames", type=int, default=20)
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--habits", action="store_true")
    parser.add_argument("--store", type=Path, default=None)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    for kind in options.kinds:
        with tempfile.TemporaryDirectory() as scratch:
            if kind == CLASSES:
                report_classes(options, Path(scratch))
            else:
                report(kind, measure(options, kind, Path(scratch)))


def measure(options: argparse.Namespace, kind: str, scratch: Path) -> dict[str, Row]:
    """Return what each clip came to, for one kind of masks."""
    clips = {}
    for path in sorted(options.sequences.glob("*/Predictions_isnet")):
        sequence = path.parent
        if options.only and sequence.name not in options.only:
            continue
        truth = true_masks(options, sequence)
        masks = input_masks(sequence, kind, truth)
        if masks is not None:
            write_clip(options, scratch, sequence, masks)
            clips[sequence.name] = masks, truth
    run_command(options, scratch, union=True)
    rows = {}
    for name, (masks, truth) in clips.items():
        rows[name] = measured_clip(options, scratch, name, masks, truth)
        print(kind, name, rows[name], file=sys.stderr, flush=True)
    return rows


def measured_clip(
    options: argparse.Namespace, scratch: Path, name: str, masks: Masks, truth: Masks
) -> Row:
    """Return the scores of one clip's masks, those out, and those of other methods."""
    out = binary(sorted((scratch / "out" / name / "masks").glob("*.png")))
    results = {"input": masks, "this project": out}
    if options.habits:
        frames = sorted((scratch / "footage" / name).iterdir())
        results |= {habit: work(masks, frames) for habit, work in HABITS.items()}
    row = Row({method: score(result, truth) for method, result in results.items()})
    count = options.judged_frames
    for judge in options.judges:
        judged = scratch / "judged" / name
        cache = (options.cache or scratch / "flows") / f"first-{count}"
        cache.mkdir(exist_ok=True, parents=True)
        link_frames(options.sequences / name, judged, count)
        systems = [list(some[:count]) for some in (masks, out, truth)]
        row.excess[judge] = excess(inconsistency(judged, judge, cache, systems))
    return row


def link_frames(sequence: Path, judged: Path, count: int) -> None:
    """Link a sequence's first frames where the judges look for them."""
    if not judged.exists():
        (judged / "JPEGImages").mkdir(parents=True)
        for path in sorted((sequence / "JPEGImages").iterdir())[:count]:
            (judged / "JPEGImages" / path.name).symlink_to(path.resolve())


def true_masks(options: argparse.Namespace, sequence: Path) -> Masks:
    """Return the true masks of a sequence, at the size asked for."""
    truth = binary(sorted((sequence / "Annotations").glob("*.png"))[: options.frames])
    if not options.lines:
        return truth
    return np.stack([redrawn(mask, options.lines / mask.shape[0]) for mask in truth])


def redrawn(mask: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Return a mask at another size, drawn from its smoothed outline."""
    inside, outside = (cv2.distanceTransform(side, cv2.DIST_L2, 5) for side in (mask, 1 - mask))
    signed = cv2.GaussianBlur(inside - outside, (0, 0), SMOOTH)
    size = round(mask.shape[1] * scale), round(mask.shape[0] * scale)
    large = cv2.resize(signed, size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large > 0, np.uint8)


def input_masks(sequence: Path, kind: str, truth: Masks) -> Masks | None:
    """Return a clip's masks of one kind, or None where it has no such predictions."""
    if kind in KINDS:
        rng = np.random.default_rng(zlib.crc32(sequence.name.encode()))
        return np.stack(make_masks(list(truth), kind, rng))
    folders = sorted(sequence.glob(f"Predictions_{kind}*"))
    return binary(sorted(folders[0].glob("*.png"))[: len(truth)]) if folders else None


def binary(paths: list[Path]) -> Masks:
    """Return masks, 1 where there is any label."""
    return np.stack([(read_labels(path) > 0).astype(np.uint8) for path in paths])


def write_clip(options: argparse.Namespace, scratch: Path, sequence: Path, masks: Masks) -> None:
    """Write a clip's masks, and its frames or links to them, where the command is to find them."""
    footage, folder = scratch / "footage" / sequence.name, scratch / "masks" / sequence.name
    footage.mkdir(parents=True)
    folder.mkdir(parents=True)
    for path, mask in zip(sorted((sequence / "JPEGImages").iterdir()), masks, strict=False):
        if options.lines:
            picture = cv2.imread(str(path))
            size = mask.shape[::-1]
            large = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(footage / path.name), large, [cv2.IMWRITE_JPEG_QUALITY, 95])
        else:
            (footage / path.name).symlink_to(path.resolve())
        write_indexed_png(folder / f"{path.stem}.png", mask)


def run_command(options: argparse.Namespace, scratch: Path, *, union: bool) -> None:
    """Run the command on all clips."""
    command = [sys.executable, str(ROOT / "run_pipeline.py"), str(scratch / "footage")]
    command += ["--masks", str(scratch / "masks"), "--out", str(scratch / "out"), "--follow-links"]
    command += ["--executor", "inline", "--workers", "1", "--set", "report.enabled=false"]
    command += ["--set", "segment.union=true"] if union else []
    command += [part for text in options.set for part in ("--set", text)]
    if options.store:
        command += ["--store", str(options.store)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def score(masks: Masks, truth: Masks) -> Scores:
    """Return mean J and mean boundary F at 2 px."""
    pairs = [(mask > 0, true > 0) for mask, true in zip(masks, truth, strict=True)]
    return (
        float(np.mean([jaccard(mask, true) for mask, true in pairs])),
        float(np.mean([boundary_f(mask, true, tolerance=2) for mask, true in pairs])),
    )


def report(kind: str, rows: dict[str, Row]) -> None:
    """Print the tables of one kind."""
    judges = list(next(iter(rows.values())).excess)
    heads = ["clip", "J in → out", "F in → out", *(f"excess, {judge}" for judge in judges)]
    print(f"\n**{kind}**\n\n| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for name, row in rows.items():
        pairs = zip(row.scores["input"], row.scores["this project"], strict=True)
        cells = [f"{before:.3f} → {after:.3f}" for before, after in pairs]
        cells += [f"{row.excess[judge]:.2f}" for judge in judges]
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\n| method | mean J, F | worst change in J, F, points |\n{'|---' * 3}|")
    methods = next(iter(rows.values())).scores
    values = {m: np.array([row.scores[m] for row in rows.values()]) for m in methods}
    for method, scores in values.items():
        worst = 100 * (scores - values["input"]).min(axis=0)
        mean = scores.mean(axis=0)
        print(f"| {method} | {mean[0]:.3f}, {mean[1]:.3f} | {worst[0]:+.1f}, {worst[1]:+.1f} |")
    for judge in judges:
        each = [row.excess[judge] for row in rows.values()]
        each = [value for value in each if np.isfinite(value)]  # none where masks in are as still
        if each:
            print(f"\nexcess, {judge}: mean {np.mean(each):.3f}, worst {max(each):.3f}")


def report_classes(options: argparse.Namespace, scratch: Path) -> None:
    """Print the IoU of each class, in and out, of the sequence with several."""
    sequence = next(iter(sorted(options.sequences.glob(f"{CLASSES}*"))))
    kind = next(iter(sorted(sequence.glob("Predictions_*"))))
    for part, source in (("footage", sequence / "JPEGImages"), ("masks", kind)):
        (scratch / part / sequence.name).mkdir(parents=True)
        for path in sorted(source.iterdir())[: options.frames]:
            (scratch / part / sequence.name / path.name).symlink_to(path.resolve())
    run_command(options, scratch, union=False)
    truth = folder(sequence / "Annotations")[: options.frames]
    before, after = (
        class_iou(folder(path), truth, 0)
        for path in (scratch / "masks" / sequence.name, scratch / "out" / sequence.name / "masks")
    )
    print(f"\n**{CLASSES}**\n\n| class | IoU in → out | points |\n{'|---' * 3}|")
    for label, value in before.items():
        change = 100 * (after[label] - value)
        print(f"| {label} | {value:.3f} → {after[label]:.3f} | {change:+.1f} |")
    means = [np.mean(list(each.values())) for each in (before, after)]
    points = 100 * (means[1] - means[0])
    print(f"| **mean** | {means[0]:.3f} → {means[1]:.3f} | {points:+.1f} |")


if __name__ == "__main__":
    main()
