"""Do the measures say what they should? On masks made worse along two axes, and of many sizes.

    python benchmarks/quality/axes.py SEQUENCES [--cache DIR]

True masks are eroded by 0, 10 or 20 pixels on one side (less right, as still) and displaced by 0,
4 or 8 pixels, anew in each frame (less still): Azulay et al., sec. 4.1. E_cons is judged with DIS
and should rise with the second axis and hardly with the first; E_smooth prefers what moves less.
Then blobs of many sizes get the same displacement: E_cons should not depend on the size. Prints
Markdown tables.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from quality import RADIUS, binary, judging_flow
from scipy.stats import pearsonr, spearmanr

from stages.metrics.stability import Consistency, boundary_pixels, disagreement, restlessness
from stages.ops.corruption import corrupted_mask, eroded_mask
from stages.ops.fixed_point import unpack_flow
from stages.ops.visibility import visible

ERODED = (0, 10, 20)
DISPLACED = (0, 4, 8)
SIGMA = 0.15 * 24  # frames
FRAMES = 40
BLOBS = 500
ANGLES = 4  # directions of erosion, averaged over

Masks = list[NDArray[np.uint8]]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--cache", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cache = options.cache or Path(scratch)
        print_axes(options.sequences, cache)
    print_sizes()


def print_axes(sequences: Path, cache: Path) -> None:
    """Print E_cons and E_smooth over the grid, and their rank correlations with its axes."""
    names = sorted(path.parent.name for path in sequences.glob("*/Predictions_*pascal"))
    grid = [(n, d) for n in ERODED for d in DISPLACED]
    heads = [f"−{n} px, ±{d} px" for n, d in grid]
    print("| sequence | measure | " + " | ".join(heads) + " | ρ consistency | ρ accuracy |")
    print("|---" * (len(heads) + 4) + "|")
    for name in names:
        truth = [mask > 0 for mask in binary(sequences / name / "Annotations")[:FRAMES]]
        systems = [worsened(truth, n, d, k) for k in range(ANGLES) for n, d in grid]
        every = {
            "E_cons": inconsistency(sequences / name, cache, systems),
            "E_smooth": [unsmoothness(masks) for masks in systems],
        }
        values = {m: np.reshape(scores, (ANGLES, -1)).mean(axis=0) for m, scores in every.items()}
        for measure, scores in values.items():
            still = spearmanr(scores, [d for _, d in grid]).statistic
            right = spearmanr(scores, [n for n, _ in grid]).statistic
            cells = " | ".join(f"{value:.3g}" for value in scores)
            print(f"| {name} | {measure} | {cells} | {still:.2f} | {right:.2f} |", flush=True)


def worsened(truth: list[NDArray[np.bool_]], pixels: int, displacement: float, turn: int) -> Masks:
    """Return masks eroded in one direction and displaced in any."""
    rng = np.random.default_rng(turn)
    angle = 2 * np.pi * (turn + 0.5) / ANGLES
    out = []
    for mask in truth:
        less = eroded_mask(mask, pixels=pixels, angle=angle)
        out.append(corrupted_mask(less, rng, growth=0, displacement=displacement).astype(np.uint8))
    return out


def inconsistency(sequence: Path, cache: Path, systems: list[Masks]) -> list[float]:
    """Return E_cons of several systems' masks, judged with DIS."""
    totals = [Consistency() for _ in systems]
    for distance in range(1, RADIUS + 1):
        flows = judging_flow(sequence, "dis", distance, cache)
        for i in range(len(systems[0]) - distance):
            there, back = (unpack_flow(flow) for flow in flows[i])
            visible_there, seen_back = visible(there, back), visible(back, there)
            for total, masks in zip(totals, systems, strict=True):
                total.add(
                    disagreement(masks[i], masks[i + distance], there, visible_there),
                    disagreement(masks[i + distance], masks[i], back, seen_back),
                )
    return [
        total.value(area=masks[0].size, boundary=median_boundary(masks))
        for total, masks in zip(totals, systems, strict=True)
    ]


def unsmoothness(masks: Masks) -> float:
    """Return the mean E_smooth of a frame."""
    values = restlessness(np.stack(masks), range(len(masks)), sigma=SIGMA)
    return float(np.mean(values)) / median_boundary(masks)


def median_boundary(masks: Masks) -> float:
    """Return the median over frames of the boundary's pixels."""
    return float(np.median([boundary_pixels(mask) for mask in masks]))


def print_sizes() -> None:
    """Print how E_cons goes with the size of blobs that are displaced alike."""
    rng = np.random.default_rng(2)
    still = np.zeros((2, 480, 854), np.float32)
    visible_pixels = np.ones((480, 854), bool)
    sizes, plain, normalised = [], [], []
    for _ in range(BLOBS):
        blob = random_blob(rng)
        masks = [
            corrupted_mask(blob, rng, growth=0, displacement=6).astype(np.uint8) for _ in range(8)
        ]
        total = Consistency()
        for before, other in pairwise(masks):
            total.add(
                disagreement(before, other, still, visible_pixels),
                disagreement(other, before, still, visible_pixels),
            )
        sizes.append(float(blob.mean()))
        plain.append(total.mean())
        normalised.append(total.value(area=blob.size, boundary=median_boundary(masks)))
    print()
    print(
        f"{BLOBS} blobs of {min(sizes):.3f} to {max(sizes):.3f} of the picture, displaced by 6 px"
    )
    print()
    print("| measure | correlation with the size |")
    print("|---|---|")
    print(f"| E_pair, mean, not normalised | {pearsonr(sizes, plain).statistic:.2f} |")
    print(f"| E_cons | {pearsonr(sizes, normalised).statistic:.2f} |")


def random_blob(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a mask with a lobed outline somewhere in a picture of 480 rows."""
    rows, columns = np.mgrid[:480, :854]
    x, y = rng.uniform(250, 600), rng.uniform(200, 280)
    radius = rng.uniform(40, 170)
    angle = np.arctan2(rows - y, columns - x)
    lobes = 1 + rng.uniform(0, 0.25) * np.cos(rng.integers(2, 7) * angle + rng.uniform(0, 6))
    mask: NDArray[np.bool_] = np.hypot(columns - x, rows - y) < radius * lobes
    return np.asarray(cv2.medianBlur(mask.astype(np.uint8), 3) > 0)


if __name__ == "__main__":
    main()
