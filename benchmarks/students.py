"""A student trained on masks as a network gave them, on stabilised ones, and with each loss.

    python benchmarks/students.py SEQUENCES [--work DIR] [--seeds 3] [--rows NAME …]

Trains a small network from nothing on the first part of some sequences (masks: DeepLabV3's, each
frame by itself; the truth is never shown) and scores it on their last part: from nothing it cannot
learn what an object is, so on other sequences it finds none (tried: J 0.09). Layout as table I of
Liu et al. and table 2 of Coherent Loss: one row a loss, mean over seeds and its standard error; the
differences are paired by seed. Judged with DeepFlow, which the pipeline did not use. What is done
is kept in the work folder; the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cli.distill import NEEDED  # noqa: E402 (the project is beside this folder)
from cli.distill import parser as distill_parser  # noqa: E402
from cli.library import pair_masks  # noqa: E402
from cli.options import prepare, read_settings  # noqa: E402
from cli.steps import build_steps  # noqa: E402
from evaluation.correctness import Objects  # noqa: E402
from evaluation.judge import EstimatedFlow, Link  # noqa: E402
from evaluation.stability import Stability  # noqa: E402
from pipeline.store import Store  # noqa: E402
from stages.io.palette import read_labels  # noqa: E402
from stages.metrics.temporal import edge_band  # noqa: E402
from stages.models.segmenters import load_segmenter  # noqa: E402
from stages.ops.fixed_point import pack_flow, unpack_flow  # noqa: E402
from stages.ops.soft import winners  # noqa: E402
from stages.ops.visibility import visible  # noqa: E402
from training.distill import Settings, distill  # noqa: E402
from training.labelled import LabelledClips, Origin  # noqa: E402
from training.library import Library  # noqa: E402
from training.student_objective import WEIGHTS  # noqa: E402
from training.students import build_student  # noqa: E402

MASKS = "Predictions_deeplabv3-mnv2-pascal"
SEQUENCES = ("bus", "dance-twirl", "dog", "libby", "tennis")
CHOSEN_BY = ("dance-twirl", "tennis")  # by the masks of their middle the best epoch is chosen
FIRST, MIDDLE = 0.6, 0.72  # shares of a sequence at which these parts end
FRAMES = 15  # of a sequence to test on, its last ones
SHORT_SIDE = 240
RADIUS = 3
MEASURES = {"J": "↑", "E_cons": "↓", "TC": "↑", "STB": "↑", "STB_local": "↑"}

PFI = ("temporal", "pair_wise", "multi_frame")
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "raw predictions": ("raw", ()),
    "stabilised": ("stabilised", ()),
    "raw + temporal": ("raw", ("temporal",)),
    "stabilised + temporal": ("stabilised", ("temporal",)),
    "stabilised + pair-wise (PF)": ("stabilised", ("pair_wise",)),
    "stabilised + multi-frame (MF)": ("stabilised", ("multi_frame",)),
    "stabilised + temporal, PF, MF": ("stabilised", PFI),
    "stabilised + boundary (bc)": ("stabilised", ("boundary",)),
    "stabilised + global (gc)": ("stabilised", ("global",)),
    "stabilised + bc, gc (CL)": ("stabilised", ("boundary", "global")),
    "stabilised + transform (TI)": ("stabilised", ("transform",)),
}

Labels = NDArray[np.uint8]
Scores = dict[str, float]


class Small(nn.Module):
    """A U of 4 levels, 0.1 million weights: what a CPU trains in a minute."""

    def __init__(self, classes: int, widths: Sequence[int] = (8, 16, 32, 64)) -> None:
        super().__init__()
        sources = (3, *widths[:-1])
        self.down = nn.ModuleList(
            _block(a, b, stride=2) for a, b in zip(sources, widths, strict=True)
        )
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(_block(a + b, b) for a, b in pairs)
        self.scores = nn.Conv2d(widths[0], classes, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Return scores at half the size of the frames."""
        levels = [frames]
        for block in self.down:
            levels.append(block(levels[-1]))
        values = levels.pop()
        for block in self.up:
            fine = levels.pop()
            coarse = nn.functional.interpolate(values, size=fine.shape[-2:], mode="bilinear")
            values = block(torch.cat([coarse, fine], dim=1))
        scores: Tensor = self.scores(values)
        return scores


def small(classes: int) -> nn.Module:
    """Return the student, as `module:function` is called."""
    return Small(classes)


def _block(sources: int, width: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(sources, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
    )  # fmt: skip


def main() -> None:
    """Train and score all rows; print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--work", type=Path, default=Path("out/students"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", nargs="*", default=list(ROWS))
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--samples", type=int, default=240)
    parser.add_argument("--side", type=int, default=96)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    library = trained_on(options)
    clips = {
        labels: LabelledClips(library, Origin(labels=labels)) for labels in ("raw", "stabilised")
    }
    tests = [test_clip(options, name) for name in SEQUENCES]
    scores: dict[str, list[Scores]] = {name: [] for name in options.rows}
    for seed in range(options.seeds):
        for name in options.rows:
            labels, terms = ROWS[name]
            scores[name].append(one(options, name, clips[labels], terms, seed, library, tests))
            print(name, seed, json.dumps(scores[name][-1]), file=sys.stderr, flush=True)
    report(scores, tests)


def trained_on(options: argparse.Namespace) -> Library:
    """Run the pipeline on the parts to train on, those to choose by last: they are held out."""
    for name in SEQUENCES:
        link_part(options, name, name, 0, FIRST)
    for name in CHOSEN_BY:
        link_part(options, name, f"z-{name}", FIRST, MIDDLE)
    given = [str(options.work / "footage"), "--masks", str(options.work / "masks")]
    given += ["--out", str(options.work), "--executor", "inline", "--set", "segment.union=true"]
    parsed = distill_parser().parse_args([*given, "--set", f"ingest.short_side={SHORT_SIDE}"])
    everything, engine = build_steps(*read_settings(parsed))
    steps = [step for step in everything if step.name in NEEDED]
    clips, _ = pair_masks(parsed.footage, parsed.masks)
    store = Store(str(options.work / ".store"))
    clips = prepare("students", parsed, clips, steps, store, engine)
    return Library(clips, steps, store, engine.chunk)


def link_part(options: argparse.Namespace, name: str, clip: str, start: float, stop: float) -> None:
    """Link frames and masks of a part of a sequence as a clip."""
    for part, source in (("footage", "JPEGImages"), ("masks", MASKS)):
        folder = options.work / part / clip
        folder.mkdir(parents=True, exist_ok=True)
        paths = sorted((options.sequences / name / source).iterdir())
        for path in paths[round(start * len(paths)) : round(stop * len(paths))]:
            if not (folder / path.name).exists():
                (folder / path.name).symlink_to(path.resolve())


class Test:
    """A sequence to test on: frames, truth, and the flow to judge with."""

    def __init__(
        self, frames: list[NDArray[np.uint8]], truth: list[Labels], flow: list[NDArray[np.int16]]
    ) -> None:
        self.frames, self.truth, self._flow = frames, truth, flow

    def links(self) -> Iterator[list[Link]]:
        """Yield for each frame the links to those before it, the nearest first."""
        for packed in self._flow:
            pairs = [(unpack_flow(there), unpack_flow(back)) for there, back in packed]
            yield [Link(a, b, visible(a, b), visible(b, a)) for a, b in pairs]

    def score(self, masks: Sequence[Labels]) -> Scores:
        """Return how right and how still masks are."""
        right, still = Objects([1], contours=False), Stability(RADIUS, 24.0)
        for labels, truth, links in zip(masks, self.truth, self.links(), strict=True):
            right.add(labels, truth)
            still.add(labels, links, edge_band(truth))
        return {name: (right.values() | still.values())[name] for name in MEASURES}


def test_clip(options: argparse.Namespace, name: str) -> Test:
    """Return a sequence to test on, its flow estimated once."""
    folder = options.sequences / name
    paths = sorted((folder / "JPEGImages").iterdir())[-FRAMES:]
    pictures = [cv2.imread(str(path))[..., ::-1] for path in paths]
    rows, columns = pictures[0].shape[:2]
    size = round(columns * SHORT_SIDE / rows), SHORT_SIDE
    frames = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in pictures]
    truth = [
        cv2.resize(
            (read_labels(folder / "Annotations" / f"{path.stem}.png") > 0).astype(np.uint8),
            size, interpolation=cv2.INTER_NEAREST_EXACT,
        )
        for path in paths
    ]  # fmt: skip
    kept = options.work / f"deepflow-{name}.npz"
    if not kept.exists():
        judge = EstimatedFlow("deepflow", radius=RADIUS, workers=2)
        flow = [
            np.array([[pack_flow(link.there), pack_flow(link.back)] for link in links], np.int16)
            for links in judge.links(frames)
        ]
        np.savez(kept, *flow)
    with np.load(kept) as held:
        return Test(frames, truth, [held[f"arr_{t}"] for t in range(len(frames))])


def one(
    options: argparse.Namespace,
    name: str,
    clips: LabelledClips,
    terms: Sequence[str],
    seed: int,
    library: Library,
    tests: Sequence[Test],
) -> Scores:
    """Train a student and return its scores, means over the test sequences."""
    folder = options.work / name.replace(" ", "-") / str(seed)
    done = folder / "scores.json"
    settings = Settings(
        epochs=options.epochs, samples=options.samples, batch=6, side=options.side, seed=seed,
        rate=3e-3, weights={term: WEIGHTS[term] for term in terms}, patience=options.epochs,
    )  # fmt: skip
    if done.exists():
        return dict(json.loads(done.read_text()))
    torch.manual_seed(seed)
    student = build_student("students:small", clips.class_ids)
    to = folder / "student.onnx"
    distill(
        student, clips, settings, folder / "training", to, radius=RADIUS, side=library.side,
        tell=lambda line: None,
    )  # fmt: skip
    segmenter = load_segmenter(str(to))
    each = [
        test.score([winners(np.moveaxis(segmenter(frame), 0, -1)) for frame in test.frames])
        for test in tests
    ]
    load_segmenter.cache_clear()
    found = {name: float(np.nanmean([scores[name] for scores in each])) for name in MEASURES}
    done.write_text(json.dumps(found))
    return found


def report(scores: dict[str, list[Scores]], tests: Sequence[Test]) -> None:
    """Print means with standard errors, and what stabilised labels change, paired by seed."""
    print("| trained on | " + " | ".join(f"{m} {way}" for m, way in MEASURES.items()) + " |")
    print("|---" * (len(MEASURES) + 1) + "|")
    for name, rows in scores.items():
        print(f"| {name} | " + " | ".join(_cell([row[m] for row in rows]) for m in MEASURES) + " |")
    floor = [test.score(test.truth) for test in tests]
    cells = [f"{np.mean([row[m] for row in floor]):.3f}" for m in MEASURES]
    print("| *truth itself* | " + " | ".join(cells) + " |")
    base, better = scores.get("raw predictions"), scores.get("stabilised")
    if base and better:
        gains = {m: [b[m] - a[m] for a, b in zip(base, better, strict=True)] for m in MEASURES}
        cells = [_cell(gain, sign="+") for gain in gains.values()]
        print("| **stabilised − raw, paired** | " + " | ".join(cells) + " |")


def _cell(values: list[Any], sign: str = "") -> str:
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{np.mean(values):{sign}.3f} ± {error:.3f}"


if __name__ == "__main__":
    main()
