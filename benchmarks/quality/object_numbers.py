"""Numbers of objects through clips, matched as `segment.objects=match` does and by overlap alone.

    python benchmarks/quality/object_numbers.py [SEQUENCES] [--seeds 6]

Generated clips of five objects that cross, leave and return, of unlike colours and of one colour;
with holes (a mask in ten is missing); and the sequences in SEQUENCES (DAVIS layout) that have two
objects or more. The true masks are numbered anew in every frame. Prints switches of numbers, IDF1,
HOTA, and frames per second of processor time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stages.media.footage.video import read_picture  # noqa: E402 (as quality.py)
from stages.media.masks.palette import read_labels  # noqa: E402
from steadymask.evaluation.object_tracks import ObjectTracks  # noqa: E402
from tests.support.object_scenes import (  # noqa: E402
    matched_labels,
    overlap_labels,
    scene_with_crossings,
    shuffled_numbers,
)

Labels = NDArray[np.uint16]
Pictures = NDArray[np.uint8]


def main() -> None:
    """Print a row for each kind of clip."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sequences", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, default=6)
    options = parser.parse_args()
    print("| clips | switches: as given, by overlap, matched | IDF1 | HOTA | frames/s |")
    print("|---|---|---|---|---|")
    for kind, clips in {
        "unlike": generated_clips(options.seeds, alike=False, holes=False),
        "alike": generated_clips(options.seeds, alike=True, holes=False),
        "unlike, with holes": generated_clips(options.seeds, alike=False, holes=True),
    }.items():
        print_row(f"generated, {kind}", clips)
    for folder in sorted(options.sequences.iterdir()) if options.sequences else []:
        clip = sequence_clip(folder)
        if clip is not None:
            print_row(folder.name, iter([clip]))


def print_row(name: str, clips: Iterator[tuple[Pictures, Labels]]) -> None:
    """Match the objects of some clips and print what comes out, means over clips."""
    rows, frames, seconds = [], 0, 0.0
    for seed, (pictures, truth) in enumerate(clips):
        mixed = shuffled_numbers(truth, seed)
        start = time.process_time()
        ours = matched_labels(pictures, mixed)
        seconds, frames = seconds + time.process_time() - start, frames + len(truth)
        systems = (mixed, overlap_labels(mixed), ours)
        rows.append([track_scores(labels, truth) for labels in systems])
    switches = [sum(row[k]["switches"] for row in rows) for k in range(3)]
    means = {
        measure: [np.mean([row[k][measure] for row in rows]) for k in range(3)]
        for measure in ("IDF1", "HOTA")
    }
    cells = [", ".join(f"{value:.3f}" for value in means[measure]) for measure in means]
    counts = ", ".join(f"{count:.0f}" for count in switches)
    print(f"| {name} | {counts} | {' | '.join(cells)} | {frames / seconds:.0f} |", flush=True)


def generated_clips(seeds: int, *, alike: bool, holes: bool) -> Iterator[tuple[Pictures, Labels]]:
    """Yield pictures and true numbers of generated clips."""
    rng = np.random.default_rng(0)
    for seed in range(seeds):
        pictures, labels = scene_with_crossings(seed, alike=alike)
        for plane in labels if holes else ():
            plane[np.isin(plane, np.flatnonzero(rng.uniform(size=5) < 0.1) + 1)] = 0
        yield pictures, labels


def sequence_clip(folder: Path) -> tuple[Pictures, Labels] | None:
    """Return pictures and true numbers of a sequence with two objects or more, else None."""
    files = sorted((folder / "Annotations").glob("*.png"))
    if not files or folder.name.startswith("camvid"):  # classes, not objects
        return None
    labels = np.stack([read_labels(file) for file in files]).astype(np.uint16)
    labels[labels == 255] = 0
    if labels.max() < 2:
        return None
    pictures = sorted((folder / "JPEGImages").iterdir())
    return np.stack([read_picture(file) for file in pictures]), labels


def track_scores(labels: Labels, truth: Labels) -> dict[str, float]:
    """Return the measures of tracks of one clip; numbers above 254 wrap round."""
    tracks = ObjectTracks()
    for ours, true in zip(labels, truth, strict=True):
        small = np.where(ours > 0, (ours - 1) % 254 + 1, 0)
        tracks.add(small.astype(np.uint8), true.astype(np.uint8))
    return tracks.values()


if __name__ == "__main__":
    main()
