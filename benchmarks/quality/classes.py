"""Mean IoU over the classes, before and after, where there are several classes or objects.

    python benchmarks/quality/classes.py SEQUENCES [--only NAME] [--frames 16] [--config PRESET]
        [--set …]

SEQUENCES as for `quality.py`. Where a sequence has no predictions the truth is corrupted, object
by object, with `stages.ops.corruption` (seed 0). Prints a Markdown table, then each class.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stages.media.masks.palette import read_labels, write_indexed_png  # noqa: E402 (beside this folder)
from stages.ops.corruption import corrupted_mask  # noqa: E402
from stages.ops.ignored_label import IGNORE  # noqa: E402

# Sequence, its masks (None: corrupted truth), the label that is not scored.
CASES = (
    ("camvid-0016E5-15hz", "Predictions_deeplab-edgetpu-cityscapes", 0),
    ("bmx-trees", "Predictions_osvos", 255),
    ("ytvos-003234408d", None, 255),
)
BACKGROUND = 0
Labels = list[NDArray[np.uint16]]


def main() -> None:
    """Run the command on all cases and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--only", nargs="*", default=[name for name, _, _ in CASES])
    parser.add_argument("--frames", type=int, default=10**6)
    parser.add_argument("--config", default="configs/default.yaml")
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    cases = [case for case in CASES if case[0] in options.only]
    with tempfile.TemporaryDirectory() as scratch:
        footage, masks, out = (Path(scratch) / name for name in ("footage", "masks", "out"))
        for name, kind, _ in cases:
            sequence = (options.sequences / name).resolve()
            link_files(sequence / "JPEGImages", footage / name, options.frames)
            if kind is None:
                corrupt_sequence(sequence / "Annotations", masks / name, options.frames)
            else:
                link_files(sequence / kind, masks / name, options.frames)
        command = [sys.executable, str(ROOT / "run_pipeline.py"), str(footage)]
        command += ["--masks", str(masks), "--out", str(out), "--config", options.config]
        command += ["--follow-links", "--executor", "inline", "--workers", "1"]
        command += [part for text in options.set for part in ("--set", text)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        report(cases, options.sequences, masks, out)


def link_files(source: Path, folder: Path, count: int) -> None:
    """Link the first pictures of a folder into another."""
    folder.mkdir(parents=True)
    for path in sorted(source.glob("*.*"))[:count]:
        (folder / path.name).symlink_to(path)


def corrupt_sequence(truth: Path, masks: Path, count: int) -> None:
    """Write each frame's objects, each with an error of its own."""
    masks.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for path in sorted(truth.glob("*.png"))[:count]:
        labels = read_labels(path)
        wrong = np.zeros_like(labels)
        for label in np.setdiff1d(labels, (BACKGROUND, IGNORE)):
            wrong[corrupted_mask(labels == label, rng, growth=2, displacement=3.0, blobs=0.1)] = (
                label
            )
        write_indexed_png(masks / path.name, wrong)


def report(
    cases: list[tuple[str, str | None, int]], sequences: Path, masks: Path, out: Path
) -> None:
    """Print the mean of each case and its worst class, then its classes."""
    print(
        "| sequence | classes | masks | mIoU in | out | worst class, points |\n" + "|---" * 6 + "|"
    )
    lines = []
    for name, kind, ignore in cases:
        masks_in = folder(masks / name)
        truth = folder(sequences / name / "Annotations")[: len(masks_in)]
        before = class_iou(masks_in, truth, ignore)
        after = class_iou(folder(out / name / "masks"), truth, ignore)
        means = [f"{np.mean(list(iou.values())):.3f}" for iou in (before, after)]
        worst = 100 * min(after[label] - before[label] for label in before)
        head = f"| {name} | {len(before)} | {kind or 'corrupted truth'}"
        print(f"{head} | {' | '.join(means)} | {worst:+.1f} |")
        each = ", ".join(f"{label}: {before[label]:.3f} → {after[label]:.3f}" for label in before)
        lines.append(f"{name}: {each}")
    print("\n" + "\n\n".join(lines))


def folder(path: Path) -> Labels:
    """Return the labels of all pictures of a folder in name order."""
    return [read_labels(picture) for picture in sorted(path.glob("*.png"))]


def class_iou(masks: Labels, truth: Labels, ignore: int) -> dict[int, float]:
    """Return the IoU of each class of the truth, over all frames together."""
    classes = np.setdiff1d(np.unique(np.stack(truth)), (BACKGROUND, IGNORE))
    shared, either = np.zeros(len(classes)), np.zeros(len(classes))
    for mask, true in zip(masks, truth, strict=True):
        for i, label in enumerate(classes):
            a, b = (mask == label) & (true != ignore), true == label
            shared[i] += (a & b).sum()
            either[i] += (a | b).sum()
    return {int(label): float(shared[i] / either[i]) for i, label in enumerate(classes)}


if __name__ == "__main__":
    main()
