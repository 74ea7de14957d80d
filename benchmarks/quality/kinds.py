"""Kinds of masks, sharp and wrong now and then: this project beside what people use instead.

    python benchmarks/quality/kinds.py SEQUENCES [--kinds …] [--frames 40] [--store DIR] [--set …]

SEQUENCES is that of `quality.py`. Kinds are made from the true masks (`make_masks`) or are real
predictions (`Predictions_NAME`: pass NAME). Prints J and boundary F at 2 px for each clip, mean
and worst, then the same means for majority, union, moving average, EMA, hysteresis and the last
mask carried along DIS flow. Every label above 0 is one foreground.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stages.media.masks.palette import read_labels, write_indexed_png  # noqa: E402 (as quality.py)
from stages.metrics.accuracy import boundary_f, jaccard  # noqa: E402
from steadymask.evaluation.kinds_of_masks import KINDS, make_masks  # noqa: E402

Masks = NDArray[np.uint8]
"""Of a clip: (T, H, W), 0 or 1."""


def main() -> None:
    """Make the masks, run the command, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--kinds", nargs="*", default=[*KINDS, "isnet", "osvos"])
    parser.add_argument("--frames", type=int, default=10**6)
    parser.add_argument("--store", type=Path, default=None)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    for kind in options.kinds:
        with tempfile.TemporaryDirectory() as scratch:
            report(kind, measure(options, kind, Path(scratch)))


def measure(
    options: argparse.Namespace, kind: str, folder: Path
) -> dict[str, dict[str, tuple[float, float]]]:
    """Return J and F by clip and method, for one kind of masks."""
    clips = {}
    for path in sorted(options.sequences.glob("*/Predictions_isnet")):
        sequence = path.parent
        truth = binary(sorted((sequence / "Annotations").glob("*.png"))[: options.frames])
        masks = input_masks(sequence, kind, truth, options.frames)
        if masks is not None:
            frames = sorted((sequence / "JPEGImages").iterdir())[: options.frames]
            write_clip(folder, sequence.name, frames, masks)
            clips[sequence.name] = frames, masks, truth
    run_command(options, folder)
    rows = {}
    for name, (frames, masks, truth) in clips.items():
        results = {method: work(masks, frames) for method, work in ALTERNATIVES.items()}
        results["this project"] = binary(sorted((folder / "out" / name / "masks").glob("*.png")))
        rows[name] = {method: score(result, truth) for method, result in results.items()}
        print(kind, name, rows[name]["input"], rows[name]["this project"], file=sys.stderr)
    return rows


def input_masks(sequence: Path, kind: str, truth: Masks, count: int) -> Masks | None:
    """Return a clip's masks of one kind, or None where it has no such predictions."""
    if kind in KINDS:
        rng = np.random.default_rng(zlib.crc32(sequence.name.encode()))
        return np.stack(make_masks(list(truth), kind, rng))
    folders = [*sequence.glob(f"Predictions_{kind}*")]
    return binary(sorted(folders[0].glob("*.png"))[:count]) if folders else None


def binary(paths: list[Path]) -> Masks:
    """Return masks, 1 where there is any label."""
    return np.stack([(read_labels(path) > 0).astype(np.uint8) for path in paths])


def write_clip(folder: Path, name: str, frames: list[Path], masks: Masks) -> None:
    """Write a clip's masks, and links to its frames, where the command is to find them."""
    for part in ("footage", "masks"):
        (folder / part / name).mkdir(parents=True)
    for frame, mask in zip(frames, masks, strict=True):
        (folder / "footage" / name / frame.name).symlink_to(frame.resolve())
        write_indexed_png(folder / "masks" / name / f"{frame.stem}.png", mask)


def run_command(options: argparse.Namespace, folder: Path) -> None:
    """Run the command on all clips."""
    command = [sys.executable, str(ROOT / "run_pipeline.py"), str(folder / "footage")]
    command += ["--masks", str(folder / "masks"), "--out", str(folder / "out"), "--follow-links"]
    command += ["--set", "report.enabled=false", "--set", "segment.union=true"]
    command += [part for text in options.set for part in ("--set", text)]
    if options.store:
        command += ["--store", str(options.store)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def score(masks: Masks, truth: Masks) -> tuple[float, float]:
    """Return mean J and mean boundary F at 2 px."""
    pairs = [(mask > 0, true > 0) for mask, true in zip(masks, truth, strict=True)]
    return (
        float(np.mean([jaccard(mask, true) for mask, true in pairs])),
        float(np.mean([boundary_f(mask, true, tolerance=2) for mask, true in pairs])),
    )


def neighbourhood(masks: Masks, reach: int) -> list[Masks]:
    """Return for each frame the masks within `reach`, its own among them."""
    return [masks[max(t - reach, 0) : t + reach + 1] for t in range(len(masks))]


def majority(reach: int) -> Callable[[Masks, list[Path]], Masks]:
    """Return the method that takes what most frames around have; a moving average over half."""
    return lambda masks, _: np.stack(
        [(near.mean(axis=0) > 0.5).astype(np.uint8) for near in neighbourhood(masks, reach)]
    )


def union(masks: Masks, _: list[Path]) -> Masks:
    """Return what any of three frames has."""
    return np.stack([near.max(axis=0) for near in neighbourhood(masks, 1)])


def exponential_average(masks: Masks, _: list[Path]) -> Masks:
    """Return the exponential moving average (0.5), over half."""
    average, out = masks[0].astype(np.float32), []
    for mask in masks:
        average = 0.5 * average + 0.5 * mask
        out.append((average > 0.5).astype(np.uint8))
    return np.stack(out)


def hysteresis(masks: Masks, _: list[Path]) -> Masks:
    """Return masks that switch on over .7 and off under .3 of an exponential average."""
    average, state, out = masks[0].astype(np.float32), masks[0].copy(), []
    for mask in masks:
        average = 0.5 * average + 0.5 * mask
        state = np.where(average > 0.7, 1, np.where(average < 0.3, 0, state)).astype(np.uint8)
        out.append(state)
    return np.stack(out)


def last_mask_carried(masks: Masks, frames: list[Path]) -> Masks:
    """Return the mean of each mask and the last result carried along DIS flow, over half."""
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in frames]
    y, x = np.mgrid[: masks.shape[1], : masks.shape[2]].astype(np.float32)
    soft, out = masks[0].astype(np.float32), [masks[0]]
    for t in range(1, len(masks)):
        flow = estimator.calc(grey[t], grey[t - 1], None)
        carried = cv2.remap(soft, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)
        soft = 0.5 * carried + 0.5 * masks[t]
        out.append((soft > 0.5).astype(np.uint8))
    return np.stack(out)


ALTERNATIVES: dict[str, Callable[[Masks, list[Path]], Masks]] = {
    "input": lambda masks, _: masks,
    "majority ±1": majority(1),
    "majority ±2": majority(2),
    "union ±1": union,
    "moving average ±3": majority(3),
    "EMA": exponential_average,
    "hysteresis .7/.3": hysteresis,
    "last mask carried": last_mask_carried,
}


def report(kind: str, rows: dict[str, dict[str, tuple[float, float]]]) -> None:
    """Print the tables of one kind."""
    print(f"\n**{kind}**\n\n| clip | J in → out | F in → out |\n|---|---|---|")
    for name, row in rows.items():
        cells = [
            f"{a:.3f} → {b:.3f}" for a, b in zip(row["input"], row["this project"], strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    print("\n| method | mean J, F | worst change in J, F, points |\n|---|---|---|")
    values = {m: np.array([row[m] for row in rows.values()]) for m in next(iter(rows.values()))}
    for method, scores in values.items():
        worst = 100 * (scores - values["input"]).min(axis=0)
        mean = scores.mean(axis=0)
        print(f"| {method} | {mean[0]:.3f}, {mean[1]:.3f} | {worst[0]:+.1f}, {worst[1]:+.1f} |")


if __name__ == "__main__":
    main()
