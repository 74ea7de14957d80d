"""Masks before and after, against the truth and against flow that the pipeline did not use.

    python benchmarks/quality/quality.py SEQUENCES
        [--config PRESET] [--set …] [--cache DIR] [--store DIR]

SEQUENCES holds one folder a sequence with JPEGImages/, Annotations/ and Predictions_*/. Runs the
command on all of them, every label above 0 as one foreground, and prints a Markdown table. The
judging flows take long the first time (DeepFlow: 2 s a pair of frames); --cache keeps them, and
--store what the pipeline made, for the next settings. --truth puts in the truth itself: does it
come out unharmed?
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stages.media.masks.palette import read_labels  # noqa: E402 (the project is beside this folder)
from stages.metrics.accuracy import boundary_f, jaccard  # noqa: E402
from stages.metrics.stability import Consistency, boundary_pixels, disagreement  # noqa: E402
from stages.ops.fixed_point import pack_flow, unpack_flow  # noqa: E402
from stages.ops.visibility import visible  # noqa: E402

PREDICTIONS = ("Predictions_osvos", "Predictions_deeplabv3-mnv2-pascal")
JUDGES = {"dis": "DIS medium, full size, every pair", "deep": "DeepFlow, full size, every pair"}
RADIUS = 3

Masks = list[NDArray[np.uint8]]


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--config", default="configs/default.yaml")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--store", type=Path, default=None)
    parser.add_argument("--truth", action="store_true")
    parser.add_argument("--judges", nargs="*", default=list(JUDGES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cache = options.cache or Path(scratch) / "flow"
        cache.mkdir(exist_ok=True, parents=True)
        rows = []
        for kind in ("Annotations",) if options.truth else PREDICTIONS:
            folder = Path(scratch) / kind
            names = stabilise(options, kind, folder)
            rows += [case(options, kind, name, folder / "out", cache) for name in names]
    report(rows, options.judges)


def stabilise(options: argparse.Namespace, kind: str, folder: Path) -> list[str]:
    """Run the command on all sequences that have this kind of predictions; return their names."""
    names = sorted(
        path.parent.name
        for path in options.sequences.glob(f"*/{kind}")
        if any((path.parent / known).is_dir() for known in PREDICTIONS)
    )
    for part, source in (("footage", "JPEGImages"), ("masks", kind)):
        (folder / part).mkdir(parents=True)
        for name in names:
            (folder / part / name).symlink_to((options.sequences / name / source).resolve())
    command = [sys.executable, str(ROOT / "run_pipeline.py"), str(folder / "footage")]
    command += ["--masks", str(folder / "masks"), "--out", str(folder / "out"), "--follow-links"]
    command += ["--config", options.config, "--set", "segment.union=true"]
    if options.store:
        command += ["--store", str(options.store)]
    command += [part for text in options.set for part in ("--set", text)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return names


def case(
    options: argparse.Namespace, kind: str, name: str, out: Path, cache: Path
) -> dict[str, Any]:
    """Return the scores of one sequence with one kind of predictions."""
    sequence = options.sequences / name
    systems = [
        binary(sequence / kind),
        binary(out / name / "masks"),
        binary(sequence / "Annotations"),
    ]
    row: dict[str, Any] = {"case": f"{name} / {kind.removeprefix('Predictions_')[:7]}"}
    row |= scores(sequence, systems, options.judges, cache)
    for judge in options.judges:
        print(row["case"], judge, np.round(row[judge], 2), file=sys.stderr, flush=True)
    return row


def scores(sequence: Path, systems: list[Masks], judges: list[str], cache: Path) -> dict[str, Any]:
    """Return J, F and E_cons of masks before and after; `systems` ends with the truth."""
    row: dict[str, Any] = {}
    for system, masks in zip(("in", "out"), systems, strict=False):
        pairs = list(zip(masks, systems[2], strict=True))
        row[f"J {system}"] = np.mean([jaccard(m > 0, t > 0) for m, t in pairs])
        for tolerance in (2, 8):
            row[f"F{tolerance} {system}"] = np.mean(
                [boundary_f(m > 0, t > 0, tolerance=tolerance) for m, t in pairs]
            )
    for judge in judges:
        row[judge] = inconsistency(sequence, judge, cache, systems)
    return row


def binary(folder: Path) -> Masks:
    """Return the masks of a folder, 1 where there is any label."""
    return [(read_labels(path) > 0).astype(np.uint8) for path in sorted(folder.glob("*.png"))]


def inconsistency(sequence: Path, judge: str, cache: Path, systems: list[Masks]) -> list[float]:
    """Return E_cons of several systems' masks, judged with the same flow."""
    totals = [Consistency() for _ in systems]
    for distance in range(1, RADIUS + 1):
        flows = judging_flow(sequence, judge, distance, cache)
        for i, (there, back) in enumerate(flows):
            j, there, back = i + distance, unpack_flow(there), unpack_flow(back)
            visible_there, seen_back = visible(there, back), visible(back, there)
            for total, masks in zip(totals, systems, strict=True):
                total.add(
                    disagreement(masks[i], masks[j], there, visible_there),
                    disagreement(masks[j], masks[i], back, seen_back),
                )
    return [
        total.value(
            area=masks[0].size, boundary=float(np.median([boundary_pixels(m) for m in masks]))
        )
        for total, masks in zip(totals, systems, strict=True)
    ]


def judging_flow(sequence: Path, judge: str, distance: int, cache: Path) -> NDArray[np.int16]:
    """Return flow of all pairs `distance` apart, both ways: (T - distance, 2, 2, H, W)."""
    path = cache / f"{judge}-{sequence.name}-{distance}.npy"
    if path.exists():
        kept: NDArray[np.int16] = np.load(path, mmap_mode="r")
        return kept
    grey = [
        cv2.imread(str(p), cv2.IMREAD_GRAYSCALE)
        for p in sorted((sequence / "JPEGImages").iterdir())
    ]
    model = (
        cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        if judge == "dis"
        else cv2.optflow.createOptFlow_DeepFlow()
    )
    pairs = [
        np.stack([pack_flow(model.calc(a, b, None).transpose(2, 0, 1)) for a, b in (ab, ab[::-1])])
        for ab in zip(grey, grey[distance:], strict=False)
    ]
    np.save(path, np.stack(pairs))
    return np.load(path, mmap_mode="r")


def excess(values: list[float]) -> float:
    """Return the share left of the inconsistency that the truth itself does not have."""
    before, after, floor = values
    return max(0.0, after - floor) / (before - floor) if before > floor else float("nan")


def report(rows: list[dict[str, Any]], judges: list[str]) -> None:
    """Print a table of all cases and their mean."""
    heads = [f"{name} in → out" for name in ("J", "F 2 px", "F 8 px")]
    heads += [f"E {judge} in → out (truth), excess" for judge in judges]
    print("| sequence / masks | " + " | ".join(heads) + " |")
    print("|---" * (len(heads) + 1) + "|")
    for row in rows:
        cells = [f"{row[f'{n} in']:.3f} → {row[f'{n} out']:.3f}" for n in ("J", "F2", "F8")]
        for judge in judges:
            before, after, floor = row[judge]
            left = excess(row[judge])
            cells.append(f"{before:.2f} → {after:.2f} ({floor:.2f}), {left:.2f}")
        print(f"| {row['case']} | " + " | ".join(cells) + " |")
    cells = []
    for n in ("J", "F2", "F8"):
        gain = [row[f"{n} out"] - row[f"{n} in"] for row in rows]
        cells.append(f"{100 * np.mean(gain):+.1f} points, worst {100 * np.min(gain):+.1f}")
    cells += [f"excess {np.mean([excess(row[judge]) for row in rows]):.3f}" for judge in judges]
    print("| **mean** | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
