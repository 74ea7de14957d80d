"""Recall and precision of the cover that redaction uses, on sequences with true masks.

    python -m benchmarks.results.redaction_cover ../shared/data/sequences --work /tmp/cover

For each sequence: masks of ISNet and of OSVOS where there are any, and true masks of which runs of
up to 12 frames are gone (`dropout`). All foreground is one class.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.events import Event
from pipeline.executor import InlineExecutor
from pipeline.scheduler import Run
from pipeline.settings import Sections
from pipeline.stage import Clip, Facts, Input, Reader, Sink
from pipeline.store.store import Store
from stages.arrays import COVER, INPUT_LABELS, SMOOTH_LABELS
from stages.catalogue import build_steps
from stages.media.masks.palette import read_labels, write_indexed_png
from stages.ops.cover import grown_mask

SYSTEMS = {"isnet": "Predictions_isnet", "osvos": "Predictions_osvos"}
MARGINS = (0, 2, 4, 8, 12, 16, 24)
GAP = 12


@dataclass
class Count:
    """Pixels over frames, and frames in which the object is there and nothing covers it."""

    hit: int = 0
    true: int = 0
    covered: int = 0
    bare: int = 0
    frames: int = 0

    def add(self, cover: NDArray[np.bool_], truth: NDArray[np.bool_]) -> None:
        """Count a frame."""
        hit = int((cover & truth).sum())
        self.hit += hit
        self.true += int(truth.sum())
        self.covered += int(cover.sum())
        self.frames += bool(truth.any())
        self.bare += bool(truth.any()) and not hit

    def join(self, other: Count) -> None:
        """Add another's counts."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def truths(sequence: Path) -> list[NDArray[np.bool_]]:
    """Return the true foreground of every frame; [] where frames lack one."""
    frames = sorted((sequence / "JPEGImages").iterdir())
    paths = [sequence / "Annotations" / f"{frame.stem}.png" for frame in frames]
    if not all(path.is_file() for path in paths):
        return []
    labels = [read_labels(path) for path in paths]
    return [values > 0 for values in labels]


def write_dropout(truth: list[NDArray[np.bool_]], folder: Path, seed: int = 0) -> None:
    """Write true masks without runs of 1 to 12 frames, about a quarter of all."""
    rng, gone, t = np.random.default_rng(seed), set[int](), 3
    while t < len(truth) - 3:
        length = int(rng.integers(1, GAP + 1))
        gone |= set(range(t, min(t + length, len(truth) - 3)))
        t += length + int(rng.integers(10, 30))
    folder.mkdir(parents=True, exist_ok=True)
    for k, mask in enumerate(truth):
        write_indexed_png(folder / f"{k:05d}.png", (mask & (k not in gone)).astype(np.uint8))


class Planes(Sink):
    """Keeps what the cover is made of, for this benchmark."""

    name: ClassVar[str] = "planes"
    version: ClassVar[int] = 1

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read input, output and cover."""
        return INPUT_LABELS.within(), SMOOTH_LABELS.within(), COVER.within()

    def run(self, clip: Clip, facts: Facts, read: Reader, folder: Path) -> list[str]:
        """Write one file."""
        arrays: dict[str, Any] = {
            "input": np.stack(list(read(INPUT_LABELS))) > 0,
            "output": np.stack(list(read(SMOOTH_LABELS))) > 0,
            "cover": np.stack([cover.any(axis=-1) for cover in read(COVER)]),
        }
        np.savez_compressed(folder / "planes.npz", **arrays)
        return ["planes.npz"]


def planes(
    frames: Path, masks: Path, work: Path, url: str, growth: int
) -> dict[str, NDArray[np.bool_]]:
    """Run the pipeline as far as the cover, without margin; return (T, H, W) bool each."""
    settings: Sections = {
        "segment": {"union": True},
        "cover": {"gap": GAP, "margin": 0, "growth": growth},
        "export": {"formats": ["redacted"]},
        "report": {"enabled": False},
    }
    steps, engine = build_steps(settings, "benchmark")
    last = next(k for k, step in enumerate(steps) if step.name == "cover")
    store, events = Store(url), list[Event]()
    Run(
        [*steps[: last + 1], Planes()], store, work / "out",
        lambda: InlineExecutor(store.url, 2, recent=0),
        chunk=engine.chunk, listener=events.append,
    ).go([Clip("clip", {"footage": frames, "masks": masks})])  # fmt: skip
    with np.load(work / "out" / "clip" / "planes.npz") as arrays:
        return dict(arrays)


def score(sequence: Path, masks: Path, work: Path, url: str, growth: int) -> dict[str, Count]:
    """Return the counts of one sequence and one system: input, output, cover by margin."""
    truth = truths(sequence)
    masks_by_kind = planes(sequence / "JPEGImages", masks, work, url, growth)
    counts: dict[str, Count] = defaultdict(Count)
    for t, true in enumerate(truth):
        rows, columns = masks_by_kind["cover"].shape[1:]
        small = cv2.resize(true.astype(np.uint8), (columns, rows), interpolation=cv2.INTER_NEAREST)
        for name in ("input", "output"):
            counts[name].add(masks_by_kind[name][t], small > 0)
        for margin in MARGINS:
            counts[f"cover +{margin}"].add(grown_mask(masks_by_kind["cover"][t], margin), small > 0)
    return counts


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--growth", type=int, default=1, help="cover.growth")
    parser.add_argument("--only", nargs="*", help="names of sequences")
    parser.add_argument("--systems", nargs="*", default=[*SYSTEMS, "dropout"])
    options = parser.parse_args()
    url = str(options.work / "store")
    total: dict[str, dict[str, Count]] = {}
    for sequence in sorted(options.sequences.iterdir()):
        if (options.only and sequence.name not in options.only) or not truths(sequence):
            continue
        systems = {name: sequence / folder for name, folder in SYSTEMS.items()}
        systems["dropout"] = options.work / "dropout" / sequence.name
        write_dropout(truths(sequence), systems["dropout"])
        for system, masks in systems.items():
            if masks.is_dir() and system in options.systems:
                work = options.work / sequence.name / system
                for name, count in score(sequence, masks, work, url, options.growth).items():
                    total.setdefault(system, defaultdict(Count))[name].join(count)
        print(f"# {sequence.name} done", flush=True)
    print("| masks | what is covered | recall | precision | frames bare | of |")
    print("|---|---|---|---|---|---|")
    for system, counts in total.items():
        for name, count in counts.items():
            print(
                f"| {system} | {name} | {count.hit / count.true:.4f} | "
                f"{count.hit / max(count.covered, 1):.3f} | {count.bare} | {count.frames} |"
            )


if __name__ == "__main__":
    main()
