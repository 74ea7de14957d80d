"""Masks of the frames between key frames, with key frames alone and beside per-frame masks.

    python benchmarks/quality/key_frames.py SEQUENCES
        [--every 24] [--masks isnet osvos] [--only NAME …]

SEQUENCES holds one folder a sequence with JPEGImages/, Annotations/ and Predictions_*/. True masks
of every 24th frame are the key frames; J is that of the other frames, every label above 0 as one
foreground. "Nearest" carries the nearest key frame along DIS flow, from frame to frame. Prints a
Markdown table.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stages.media.masks.palette import read_labels, write_indexed_png  # noqa: E402
from stages.metrics.accuracy import jaccard  # noqa: E402

Masks = list[NDArray[np.uint8]]


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--every", type=int, default=24)
    parser.add_argument("--masks", nargs="*", default=["isnet", "osvos"])
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        names = sequences(options)
        alone = run(options, names, Path(scratch) / "alone", "")
        for name in names:
            rows[name] = {
                "nearest": nearest(options, name),
                "key frames": score(options, name, alone),
            }
        for kind in options.masks:
            having = [n for n in names if folder_of(options.sequences / n, kind) is not None]
            with_keys = run(options, having, Path(scratch) / kind, kind)
            without = run(options, having, Path(scratch) / f"{kind}-only", kind, keys=False)
            for name in having:
                rows[name][kind] = score(options, name, without)
                rows[name][f"{kind} + key frames"] = score(options, name, with_keys)
    report(rows)


def sequences(options: argparse.Namespace) -> list[str]:
    """Return the names of the sequences that have predictions, of one object each."""
    names = sorted(p.parent.name for p in options.sequences.glob("*/Predictions_isnet"))
    return [name for name in names if not options.only or name in options.only]


def folder_of(sequence: Path, kind: str) -> Path | None:
    """Return the folder of a kind of predictions."""
    return next(iter(sorted(sequence.glob(f"Predictions_{kind}*"))), None)


def run(
    options: argparse.Namespace, names: list[str], folder: Path, kind: str, *, keys: bool = True
) -> Path:
    """Run the command on the sequences; return the folder of its results."""
    for name in names:
        sequence = options.sequences / name
        (folder / "footage").mkdir(parents=True, exist_ok=True)
        (folder / "footage" / name).symlink_to((sequence / "JPEGImages").resolve())
        if kind:
            (folder / "masks").mkdir(exist_ok=True)
            source = folder_of(sequence, kind)
            (folder / "masks" / name).symlink_to((source or sequence).resolve())
        (folder / "keys" / name).mkdir(parents=True)
        for path in sorted((sequence / "Annotations").glob("*.png"))[:: options.every]:
            write_indexed_png(folder / "keys" / name / path.name, binary(path))
    command = [sys.executable, str(ROOT / "run_pipeline.py"), str(folder / "footage")]
    command += ["--masks", str(folder / "masks")] if kind else []
    command += ["--keyframes", str(folder / "keys")] if keys else []
    command += ["--out", str(folder / "out"), "--follow-links", "--set", "segment.union=true"]
    command += ["--set", "report.enabled=false", "--executor", "inline", "--workers", "1"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "out"


def binary(path: Path) -> NDArray[np.uint8]:
    """Return a file's mask: 1 where there is any label."""
    labels = read_labels(path)
    return ((labels > 0) & (labels != 255)).astype(np.uint8)


def truth_of(options: argparse.Namespace, name: str) -> Masks:
    """Return the true masks of a sequence."""
    return [binary(p) for p in sorted((options.sequences / name / "Annotations").glob("*.png"))]


def score(options: argparse.Namespace, name: str, out: Path) -> float:
    """Return the mean J of the frames that are no key frames."""
    masks = [binary(path) for path in sorted((out / name / "masks").glob("*.png"))]
    return mean_jaccard(options, masks, truth_of(options, name))


def mean_jaccard(options: argparse.Namespace, masks: Masks, truth: Masks) -> float:
    """Return the mean J over frames that are no key frames."""
    pairs = [
        (mask > 0, true > 0)
        for t, (mask, true) in enumerate(zip(masks, truth, strict=True))
        if t % options.every
    ]
    return float(np.mean([jaccard(mask, true) for mask, true in pairs]))


def nearest(options: argparse.Namespace, name: str) -> float:
    """Return the mean J of the nearest key frame carried along the flow."""
    pictures = sorted((options.sequences / name / "JPEGImages").iterdir())
    grey = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in pictures]
    model = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    truth = truth_of(options, name)
    keys = range(0, len(truth), options.every)
    masks = []
    for t in range(len(truth)):
        key = min(keys, key=lambda k: (abs(k - t), k))
        carried = masks[-1] if masks and key < t else truth[key].astype(np.float32)
        step = 1 if key <= t else -1
        path = range(t - 1, t) if key < t else range(key, t, -1)
        for origin in path:
            carried = warp(carried, model.calc(grey[origin + step], grey[origin], None))
        masks.append(carried)
    return mean_jaccard(options, [(mask > 0.5).astype(np.uint8) for mask in masks], truth)


def warp(mask: NDArray[np.float32], flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a mask carried along the flow that leads back to it."""
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float32)
    carried: NDArray[np.float32] = cv2.remap(
        mask, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return carried


def report(rows: dict[str, dict[str, float]]) -> None:
    """Print the table and its means."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    print("| sequence | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, row in rows.items():
        cells = [f"{row[column]:.3f}" if column in row else "" for column in columns]
        print(f"| {name} | " + " | ".join(cells) + " |")
    means = [np.mean([row[c] for row in rows.values() if c in row]) for c in columns]
    print("| **mean** | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")


if __name__ == "__main__":
    main()
