"""Trains the mask refiner that comes with the project: generated coarse masks, no labels by people.

    python -m steadymask.training.refiner_recipe --videos VIDEO …
        --to stages/models/refiners/refiner.safetensors

It starts from the shipped decoder, without neighbours. docs/refined_labels.md says which videos
the shipped weights saw.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.whole_files import replacing
from stages.models.decoders.aligned import PLANES, VOTED, AlignedDecoder, log_odds
from stages.models.decoders.load import load_decoder, save_decoder
from stages.ops.refiner_inputs import refiner_planes
from steadymask.training.recipe import mask_loss
from steadymask.training.synthetic.coarse_labels import SIZE, coarse_mask, labelled_pictures

SHARD = 150  # examples in a file
VIDEOS = 3  # that a file of examples draws on
HELD_OUT = 96  # examples, the last ones
REPORT = 100  # steps between two looks at them
WARM_UP = 50  # steps
SOFTENING = 1.5  # pixels, sigma, of masks of labels; as by default in segment.softness

Mask = NDArray[np.bool_]
Soft = NDArray[np.float32]
Picture = NDArray[np.uint8]


class Example(NamedTuple):
    """A picture (S, S, 3), its coarse mask, softened, and the true one (S, S)."""

    picture: Picture
    coarse: Soft
    truth: Mask


def main() -> None:
    """Generate, train, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=Path, nargs="*", default=[])
    parser.add_argument("--examples", type=int, default=2400)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("out/refiner"), help="for the examples")
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    write_examples(options.videos, options.examples, options.work, seed=options.seed)
    refiner = train_refiner(
        *read_examples(options.work), rate=options.rate, steps=options.steps,
        batch=options.batch, seed=options.seed,
    )  # fmt: skip
    save_decoder(options.to, refiner)


def write_examples(videos: Sequence[Path], count: int, folder: Path, *, seed: int) -> None:
    """Write examples into `folder`, some a file; files that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [k for k in range(-(-count // SHARD)) if not (folder / f"{k:03d}.npz").exists()]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for _ in pool.map(partial(_write_shard, tuple(videos), folder, seed), missing):
            pass


def _write_shard(videos: Sequence[Path], folder: Path, seed: int, number: int) -> None:
    few = [videos[(VIDEOS * number + k) % len(videos)] for k in range(min(VIDEOS, len(videos)))]
    pictures, masks = zip(*labelled_pictures(few, SHARD, seed=1000 * seed + number), strict=True)
    with replacing(folder / f"{number:03d}.npz") as draft:
        np.savez(draft, pictures=np.stack(pictures), masks=np.stack(masks))


def read_examples(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return pictures (N, S, S, 3) and masks (N, S, S) of the files in `folder`, in order."""
    shards = [np.load(path) for path in sorted(folder.glob("*.npz"))]
    pictures, masks = (np.concatenate([s[part] for s in shards]) for part in ("pictures", "masks"))
    return pictures, masks


def starting_refiner() -> AlignedDecoder:
    """Return the shipped decoder cut down to one frame: its weights for neighbours are left out."""
    source = cast("AlignedDecoder", load_decoder("aligned"))
    refiner, state = AlignedDecoder(window=1), dict(source.state_dict())
    state["stem.weight"] = state["stem.weight"][:, : 4 * PLANES]
    refiner.load_state_dict(state)
    return refiner


def train_refiner(
    pictures: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    *,
    rate: float,
    steps: int,
    batch: int,
    seed: int,
) -> AlignedDecoder:
    """Return a refiner trained by AdamW with a rate that falls along a cosine; prints its scores.

    Parameters
    ----------
    pictures, masks : ndarrays
        As `read_examples` returns them; the last `HELD_OUT` are not trained on.
    rate : float
    steps, batch, seed : int
    """
    torch.manual_seed(seed)
    rng, refiner = np.random.default_rng(seed), starting_refiner().train()
    optimiser = torch.optim.AdamW(refiner.parameters(), lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, partial(_share_of_rate, steps=steps))
    last, began = len(pictures) - HELD_OUT, time.process_time()
    for step in range(1, steps + 1):
        rows = rng.integers(last, size=batch)
        examples = [drawn_example(pictures[k], masks[k], rng) for k in rows]
        loss = cascade_loss(refiner, examples)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(refiner.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step == 1 or step % REPORT == 0 or step == steps:
            scores = held_out_scores(refiner, pictures[last:], masks[last:])
            spent = f"{time.process_time() - began:.0f} s"
            print(f"step {step}: {spent}, loss {float(loss.detach()):.4f}, {scores}", flush=True)  # noqa: T201
    return refiner.eval()


def _share_of_rate(step: int, *, steps: int) -> float:
    rising = min(1.0, (step + 1) / WARM_UP)
    return rising * (0.01 + 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0))))


def drawn_example(picture: Picture, mask: Mask, rng: np.random.Generator) -> Example:
    """Return a picture turned and mirrored at random, with a coarse mask drawn afresh."""
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    turned = [np.rot90(a[:, ::-1] if mirrored else a, turns) for a in (picture, mask)]
    truth = np.ascontiguousarray(turned[1]) != bool(rng.random() < 0.1)  # also the surroundings
    return Example(np.ascontiguousarray(turned[0]), softened(coarse_mask(rng, truth)), truth)


def softened(mask: Mask) -> Soft:
    """Return a mask (H, W) as it is given to the refiner."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), SOFTENING)
    return np.asarray(soft, np.float32)


def cascade_loss(refiner: AlignedDecoder, examples: Sequence[Example]) -> torch.Tensor:
    """Return the loss of the global pass, at half the size, plus that of the local one."""
    global_odds, global_truth, local_odds, local_truth = _cascade(refiner, examples)
    return mask_loss(global_odds, global_truth) + mask_loss(local_odds, local_truth)


def _cascade(
    refiner: AlignedDecoder, examples: Sequence[Example]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return log odds and truth, (B, 1, S, S) each, of the global and then of the local pass."""
    small = [_halved(example) for example in examples]
    first = _refined(refiner, small, [example.coarse for example in small])
    earlier = [
        np.asarray(cv2.resize(odds, (SIZE, SIZE)))
        for odds in torch.sigmoid(first.detach())[:, 0].numpy()
    ]
    second = _refined(refiner, examples, earlier)
    truths = [
        torch.from_numpy(np.stack([e.truth[None] for e in both]).astype(np.float32))
        for both in (small, examples)
    ]
    return first, truths[0], second, truths[1]


def _halved(example: Example) -> Example:
    half = (SIZE // 2, SIZE // 2)
    picture, coarse = (cv2.resize(p, half, interpolation=cv2.INTER_AREA) for p in example[:2])
    truth = cv2.resize(example.truth.view(np.uint8), half, interpolation=cv2.INTER_NEAREST)
    return Example(np.asarray(picture, np.uint8), np.asarray(coarse, np.float32), truth > 0)


def _refined(
    refiner: AlignedDecoder, examples: Sequence[Example], earlier: Sequence[Soft]
) -> torch.Tensor:
    """Return the log odds of one pass: (B, 1, S, S)."""
    inputs = [
        refiner_planes(e.picture, e.coarse, before)
        for e, before in zip(examples, earlier, strict=True)
    ]
    planes = torch.from_numpy(np.stack(inputs)).contiguous(memory_format=torch.channels_last)
    near = planes.new_zeros((len(inputs), 0, *(-(-side // 2) for side in planes.shape[-2:])))
    with torch.autocast("cpu", torch.bfloat16):
        added: torch.Tensor = refiner(planes, near)
    return log_odds(planes[:, VOTED]) + added.float()


def held_out_scores(
    refiner: AlignedDecoder, pictures: NDArray[np.uint8], masks: NDArray[np.bool_]
) -> str:
    """Return the J of coarse masks, after the global pass and after the local one, as text."""
    rng, scores = np.random.default_rng(0), []
    examples = [drawn_example(p, m, rng) for p, m in zip(pictures, masks, strict=True)]
    for k in range(0, len(examples), 8):
        with torch.inference_mode():
            few = examples[k : k + 8]
            first, small, second, truth = _cascade(refiner, few)
        coarse = torch.from_numpy(np.stack([e.coarse[None] > 0.5 for e in few]))
        pairs = ((coarse, truth), (first > 0, small), (second > 0, truth))
        scores += list(zip(*(_jaccards(mask, true > 0.5) for mask, true in pairs), strict=True))
    means = np.mean(scores, axis=0)
    return f"J coarse {means[0]:.4f}, global {means[1]:.4f}, local {means[2]:.4f}"


def _jaccards(mask: torch.Tensor, truth: torch.Tensor) -> list[float]:
    shared, either = (f(mask, truth).sum((1, 2, 3)) for f in (torch.logical_and, torch.logical_or))
    jaccards: list[float] = ((shared + 1) / (either + 1)).tolist()
    return jaccards


if __name__ == "__main__":
    main()
