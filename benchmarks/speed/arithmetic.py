"""Filter, vote and check of flow: compiled for the CPU beside torch, on a CPU and on a GPU.

    python benchmarks/speed/arithmetic.py SEQUENCE [--runs 5]

SEQUENCE is a DAVIS folder with JPEGImages/ and Annotations/. One class, default settings, medians
in milliseconds for one frame: the fit of one box of four frames, one vote of six neighbours, six
checks. Arrays start and end in memory of the CPU, so that copies count. One thread on a CPU, as a
worker has. Differences are the largest from the compiled ones.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pipeline.stage import Span, Window  # noqa: E402 (the project is beside this folder)
from stages.backend import HOST, Arithmetic, TorchArithmetic  # noqa: E402
from stages.flow import Flow  # noqa: E402
from stages.media.masks.palette import read_labels  # noqa: E402
from stages.ops.fixed_point import pack_mask  # noqa: E402
from stages.ops.soft_masks import mask_confidence, softened_masks  # noqa: E402
from stages.ops.voting import appearance_table  # noqa: E402

FRAMES, MIDDLE = 7, 3


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sequence", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    frames, masks = read(options.sequence)
    flow = Flow().run(Window(0, FRAMES, {}, {"ingest.frames": Span(0, frames)}))["flow"]
    works = {"filter": filtered, "vote": voted, "check": checked}
    print("| what | where | ms a frame | difference |\n|---|---|---|---|")
    ways: dict[str, Arithmetic] = {"compiled, cpu": HOST, "torch, cpu": TorchArithmetic("cpu")}
    if torch.cuda.is_available():
        ways["torch, cuda"] = TorchArithmetic("cuda")
    for what, work in works.items():
        expected = work(HOST, frames, masks, flow)
        for where, on in ways.items():
            values = work(on, frames, masks, flow)
            difference = np.abs(values.astype(np.float64) - expected).max()
            seconds = median_s(lambda w=work, on=on: w(on, frames, masks, flow), options.runs)
            print(f"| {what} | {where} | {1e3 * seconds:.1f} | {difference:.1e} |", flush=True)
        if "torch, cuda" not in ways:
            print(f"| {what} | torch, cuda | not measured | |")


def read(sequence: Path) -> tuple[Any, Any]:
    """Return the first frames and their true masks as one class."""
    paths = sorted((sequence / "JPEGImages").iterdir())[:FRAMES]
    frames = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in paths]
    labels = [read_labels(sequence / "Annotations" / f"{path.stem}.png") > 0 for path in paths]
    masks = [
        pack_mask(softened_masks(frame_labels.astype(np.uint16), [1], sigma=1.5))
        for frame_labels in labels
    ]
    return np.stack(frames), np.stack(masks)


def filtered(on: Arithmetic, frames: Any, masks: Any, flow: Any) -> Any:
    """Return what one box of four frames makes."""
    part = slice(MIDDLE, MIDDLE + 4)
    weight = [mask_confidence(mask, floor=0.01) for mask in masks[part]]
    fit = on.fitted(frames[part], masks[part], weight, size=8, eps=1e-4)
    return on.get(on.applied([fit], frames[MIDDLE]))


def voted(on: Arithmetic, frames: Any, masks: Any, flow: Any) -> Any:
    """Return one frame's mask after a vote of six neighbours."""
    order = [MIDDLE, *(t for t in range(FRAMES) if t != MIDDLE)]
    voters = [on.put(masks[t].astype(np.float32) / 255) for t in order]
    return on.get(
        on.vote(
            voters,
            [on.put(frames[t]) for t in order],
            [on.flow(neighbour_flow) for neighbour_flow in flow[MIDDLE]],
            table=on.put(appearance_table(12.0)),
            flat=[on.flat_tiles(mask) for mask in voters],
        )
    )


def checked(on: Arithmetic, frames: Any, masks: Any, flow: Any) -> Any:
    """Return what the six neighbours show of a frame."""
    there = [on.flow(neighbour_flow) for neighbour_flow in flow[MIDDLE]]
    back = [on.flow(flow[t][5 - k]) for k, t in enumerate(t for t in range(FRAMES) if t != MIDDLE)]
    pairs = zip(there, back, strict=True)
    return np.stack([on.get(on.visible(a, b, slack=0.01, floor=0.125)) for a, b in pairs])


def median_s(work: Callable[[], object], runs: int) -> float:
    """Return the median of a few runs, in seconds."""
    took = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


if __name__ == "__main__":
    main()
