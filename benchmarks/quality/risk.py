#!/usr/bin/env python3
"""Measure whether the risk of a run finds the frames that are wrong, and how calibrated it is.

    python benchmarks/quality/risk.py OUT=TRUTH [OUT=TRUTH ...] [--fit]

OUT is that of a run with defaults and `segment.union=true`, TRUTH holds a folder of label PNGs for
each clip. A frame is wrong if the IoU of its masks out with the truth is under .8. Prints the area
under the ROC curve of each run and of all together, how often frames of each range of risk are
wrong, and, with --fit, the offset and slope that fit best, and how well those of the other clips
hold on each.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.media.masks.palette import read_labels
from stages.metrics.risk import TRUST_CURVE

WRONG = 0.8
Samples = tuple[NDArray[np.float64], NDArray[np.bool_]]


def samples(out: Path, truth: Path) -> dict[str, Samples]:
    """Return of each clip the risk of every frame, and whether it is wrong."""
    frames = {}
    for path in sorted(out.glob("*/review.json")):
        name = path.parent.name
        risk = json.loads(path.read_text())["risk"].get("1", [])
        masks = sorted((path.parent / "masks").glob("*.png"))
        true = sorted((truth / name).glob("*.png"))
        wrong = [iou(mask, label) < WRONG for mask, label in zip(masks, true, strict=True)]
        frames[name] = (np.array(risk or [0.0] * len(wrong)), np.array(wrong))
    return frames


def iou(mask: Path, truth: Path) -> float:
    """Return the IoU of the foregrounds of two label files; 255 is void."""
    own, other = (labels_of(path) for path in (mask, truth))
    either = np.count_nonzero(own | other)
    return np.count_nonzero(own & other) / either if either else 1.0


def labels_of(path: Path) -> NDArray[np.bool_]:
    """Return the foreground of a label file."""
    labels = read_labels(path)
    return np.asarray((labels > 0) & (labels != 255))


def auroc(risk: NDArray[np.float64], wrong: NDArray[np.bool_]) -> float:
    """Return the probability that a wrong frame has a higher risk than a right one; ties half."""
    _, rank, count = np.unique(risk, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[rank]
    bad, good = np.count_nonzero(wrong), np.count_nonzero(~wrong)
    return float((ranks[wrong].sum() - bad * (bad + 1) / 2) / (bad * good))


def fit(score: NDArray[np.float64], wrong: NDArray[np.bool_]) -> tuple[float, float]:
    """Return offset and slope of the logistic curve of greatest likelihood."""
    design, weights = np.stack([np.ones_like(score), score], axis=1), np.zeros(2)
    for _ in range(50):
        chance = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (chance - wrong)
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design
        weights -= np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
    return float(weights[0]), float(weights[1])


def score_of(risk: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the score that the stage's curve turned into a risk."""
    inside = risk.clip(1e-4, 1 - 1e-4)
    return np.asarray((np.log(inside / (1 - inside)) - TRUST_CURVE[0]) / TRUST_CURVE[1])


def print_table(risk: NDArray[np.float64], wrong: NDArray[np.bool_]) -> None:
    """Print how often frames of each fifth of the scale of risk are wrong."""
    print("| risk | frames | mean risk | wrong |\n|---|---|---|---|")
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        chosen = (risk >= low) & (risk < low + 0.2 + 1e-9 * (low > 0.7))
        if chosen.any():
            share = wrong[chosen].mean()
            edges, mean = f"{low:.1f}–{low + 0.2:.1f}", risk[chosen].mean()
            print(f"| {edges} | {chosen.sum()} | {mean:.2f} | {share:.2f} |")


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("runs", nargs="+", metavar="OUT=TRUTH")
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args()
    every: list[tuple[str, str, Samples]] = []
    for run in options.runs:
        out, _, truth = run.partition("=")
        frames = samples(Path(out), Path(truth))
        every += [(out, name, values) for name, values in frames.items()]
        risk, wrong = (np.concatenate(part) for part in zip(*frames.values(), strict=True))
        value = f"{auroc(risk, wrong):.3f}" if 0 < wrong.sum() < len(wrong) else "–"
        print(f"{out}: {len(wrong)} frames, {wrong.mean():.0%} wrong, AUROC {value}")
    risk, wrong = (np.concatenate(part) for part in zip(*(v for _, _, v in every), strict=True))
    print(f"all: {len(wrong)} frames, {wrong.mean():.0%} wrong, AUROC {auroc(risk, wrong):.3f}")
    print_table(risk, wrong)
    if not options.fit:
        return
    offset, slope = fit(score_of(risk), wrong)
    print(f"best: offset {offset:.3f}, slope {slope:.3f}; each clip by the curve of the others:")
    objects = []
    for name in sorted({name for _, name, _ in every}):
        others = [values for _, other, values in every if other != name]
        parts = [np.concatenate(part) for part in zip(*others, strict=True)]
        curve = fit(score_of(parts[0]), parts[1])
        for values in (v for _, other, v in every if other == name):
            chance = 1 / (1 + np.exp(-(curve[0] + curve[1] * score_of(values[0]))))
            objects.append((chance, values[1]))
    print_table(*(np.concatenate(part) for part in zip(*objects, strict=True)))


if __name__ == "__main__":
    main()
