"""How fast the aligned decoder is: the network alone, and the refine stage around it.

    python benchmarks/speed/decoder_speed.py [--device cuda --batch 8] [--sequence SEQUENCE]

854 x 480, one class. The network alone needs nothing but torch, in bf16 on a GPU. With SEQUENCE (a
folder with JPEGImages/ and Predictions_*/) also the whole stage, voting included, in one process.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

ROWS, COLUMNS, FRAMES, REPEATS = 480, 854, 24, 3


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--weights", default="")
    parser.add_argument("--sequence", type=Path)
    options = parser.parse_args()
    print("| what | device | s/frame | frames/s |\n|---|---|---|---|")
    seconds = network(options.device, options.batch, options.weights)
    row(f"network, batch {options.batch}", options.device, seconds)
    if options.sequence:
        for method in ("vote", "aligned"):
            row(f"refine, {method}", "cpu", stage(options.sequence, method, options.weights))


def row(what: str, device: str, seconds: float) -> None:
    """Print one."""
    print(f"| {what} | {device} | {seconds:.4f} | {1 / seconds:.1f} |", flush=True)


def best(work: Callable[[], object]) -> float:
    """Return the least seconds of some runs, after one that does not count."""
    work()
    took = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return min(took)


def network(device: str, batch: int, weights: str) -> float:
    """Return seconds a frame of the network alone."""
    import torch

    from stages.models.decoders.load import load_decoder

    decoder = load_decoder("aligned", weights, device).to(memory_format=torch.channels_last)
    sizes = (6, ROWS, COLUMNS), (12, ROWS // 2, COLUMNS // 2)
    planes, near = (
        torch.rand(batch, *size, device=device).contiguous(memory_format=torch.channels_last)
        for size in sizes
    )
    rounds = 1 if device == "cpu" else 50
    if device == "cpu":
        torch.set_num_threads(1)  # as in the stage

    def work() -> None:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, device != "cpu"):
            for _ in range(rounds):
                decoder(planes, near)
        if device != "cpu":
            torch.cuda.synchronize()

    return best(work) / batch / rounds


def stage(sequence: Path, method: str, weights: str) -> float:
    """Return seconds a frame of the refine stage."""
    import cv2
    import numpy as np

    from pipeline.stage import Span, Window
    from stages.flow import Flow
    from stages.media.masks.palette import read_labels
    from stages.ops.fixed_point import pack_mask
    from stages.ops.soft_masks import softened_masks
    from stages.refine.stage import Refine

    cv2.setNumThreads(1)
    pictures = sorted((sequence / "JPEGImages").iterdir())[:FRAMES]
    frames = np.stack([cv2.imread(str(p))[..., ::-1] for p in pictures])
    labels = sorted(next(sequence.glob("Predictions_*")).glob("*.png"))[:FRAMES]
    masks = np.stack(
        [
            pack_mask(softened_masks((read_labels(p) > 0).astype(np.uint16), (1,), sigma=1.5))
            for p in labels
        ]
    )
    spans = {"ingest.frames": Span(0, frames), "segment.masks": Span(0, masks)}
    flow = Flow().run(Window(0, len(frames), {}, spans))["flow"]
    window = Window(0, len(frames), {}, spans | {"flow.flow": Span(0, flow)})
    refine = Refine(method=method, weights=weights)
    return best(lambda: refine.run(window)) / len(frames)


if __name__ == "__main__":
    main()
