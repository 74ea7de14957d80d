"""Coarse masks before and after `refine-labels`: J and F against the truth, clip by clip.

    python benchmarks/quality/refined_labels.py SEQUENCES

Coarse are: truths at an eighth of the size, truths redrawn as polygons, the truth itself (to be
left alone), and the predictions of a network that lie beside them. SEQUENCES is a folder of clips
as in docs/benchmarks.md, or clips themselves.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.media.label_sets.read import read_picture
from stages.media.masks.palette import read_labels
from stages.metrics.accuracy import boundary_f, jaccard
from stages.models.refiners.load import Refiner, load_refiner

STRIDE = 8
SLACK = 6.0  # pixels that a polygon may leave the outline by
NETWORKS = ("deeplabv3-mnv2-pascal", "isnet")
KINDS = ("stride 8", "polygon", "truth", *NETWORKS)
TOLERANCE = 2  # pixels, of F

Mask = NDArray[np.bool_]


def main() -> None:
    """Refine, score, print a table for each kind of mask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sequences", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=5, help="of each clip, evenly spread")
    parser.add_argument("--refiner", default="", help="as of the command refine-labels")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS)
    options = parser.parse_args()
    refiner = load_refiner(options.refiner)
    clips = [clip for folder in options.sequences for clip in _clip_folders(folder)]
    print("| masks | clip | J before | J after | F before | F after |\n|---|---|---|---|---|---|")
    for kind in options.kinds:
        means = []
        for clip in clips:
            scores = [_scores(refiner, *parts) for parts in _frames(clip, kind, options.frames)]
            if scores:
                means.append(np.mean(scores, axis=0))
                print(_row(kind, clip.name, means[-1]), flush=True)
        if means:
            print(_row(kind, "**mean**", np.mean(means, axis=0)), flush=True)


def _clip_folders(folder: Path) -> list[Path]:
    if (folder / "Annotations").is_dir():
        return [folder]
    return sorted(path for path in folder.iterdir() if (path / "Annotations").is_dir())


def _frames(clip: Path, kind: str, count: int) -> Iterator[tuple[NDArray[np.uint8], Mask, Mask]]:
    """Yield picture, coarse mask and truth of some frames in which there is something."""
    truths = sorted((clip / "Annotations").glob("*.png"))
    rng = np.random.default_rng(1)
    for k in np.linspace(0, len(truths) - 1, count).round().astype(int):
        stem, truth = truths[k].stem, read_labels(truths[k]) > 0
        if kind in NETWORKS:
            path = clip / f"Predictions_{kind}" / f"{stem}.png"
            if not path.exists():
                continue
            coarse = read_labels(path) > 0
        else:
            coarse = _coarsened(truth, kind, rng)
        if truth.any() and coarse.any():
            picture = next((clip / "JPEGImages").glob(f"{stem}.*"))
            yield read_picture(picture), coarse, truth


def _coarsened(truth: Mask, kind: str, rng: np.random.Generator) -> Mask:
    if kind == "stride 8":
        size = truth.shape[1] // STRIDE, truth.shape[0] // STRIDE
        small = cv2.resize(truth.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, truth.shape[::-1]) > 0.5)
    if kind == "polygon":
        out = np.zeros(truth.shape, np.uint8)
        outlines, _ = cv2.findContours(
            truth.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        for outline in outlines:
            corners = cv2.approxPolyDP(outline, SLACK, True).astype(np.float64)
            corners += rng.normal(0, SLACK / 3, corners.shape)
            cv2.fillPoly(out, [np.rint(corners).astype(np.int32)], 1)
        return out > 0
    return truth


def _scores(refiner: Refiner, picture: NDArray[np.uint8], coarse: Mask, truth: Mask) -> list[float]:
    after = refiner(picture, coarse) > 0.5
    return [
        score
        for measure in (jaccard, lambda a, b: boundary_f(a, b, tolerance=TOLERANCE))
        for score in (measure(coarse, truth), measure(after, truth))
    ]


def _row(kind: str, name: str, scores: NDArray[np.float64]) -> str:
    return f"| {kind} | {name} | {' | '.join(f'{score:.3f}' for score in scores)} |"


if __name__ == "__main__":
    main()
