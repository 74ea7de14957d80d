"""Train a network of the RAFT family for a while, to measure with weights that converge.

    python benchmarks/quality/train_flow.py OUT.safetensors
        [--network raft_small] [--minutes 60] [--seed 0]

Examples are generated scenes (`steadymask.training.synthetic.scenes`) with exact flow, made of the
photographs that scikit-image carries: pairs of frames up to three apart, the loss that of
RAFT (Teed, Deng, ECCV 2020, eq. 7). An hour on one core makes weights that are far from
published ones; what needs weights that find motion at all, as the error of a warm start, can
be measured with them:

    python benchmarks/speed/flow.py --networks raft_small
        --weights OUT.safetensors --middlebury FLOW
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stages.models.flow.ptlflow import load_flow_network  # noqa: E402
from steadymask.training.synthetic.materials import sample_photographs  # noqa: E402
from steadymask.training.synthetic.scenes import random_scene  # noqa: E402

FRAMES, PAIRS = 4, 4  # of a scene; pairs of them that are learned from
GAMMA = 0.8  # weight of an iteration over that of the next
TOLD_EVERY = 50


def main() -> None:
    """Train until the time is over, then write the weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--network", default="raft_small")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--side", type=int, default=160, help="rows and columns of an example")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=6)
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        driver: Any = load_flow_network(options.network, "random")
    model = driver.model.train().requires_grad_(True).to(memory_format=torch.channels_last)
    model.iters = options.iterations
    fit(model, options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save(model, options.out)


def fit(model: Any, options: argparse.Namespace) -> None:
    """Train for the time given; the rate rises in a twentieth of it and falls to nothing."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=1e-5)
    examples = DataLoader(
        Pairs(options.side, options.seed),
        batch_size=options.batch,
        num_workers=1,
        prefetch_factor=4,
    )
    began, errors = time.monotonic(), []
    for step, (images, truth) in enumerate(examples):
        gone = (time.monotonic() - began) / (60 * options.minutes)
        if gone >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = options.rate * min(gone / 0.05, (1 - gone) / 0.95)
        with warnings.catch_warnings(), torch.autocast("cpu", torch.bfloat16):
            warnings.simplefilter("ignore")
            predictions = model({"images": images})["flow_preds"]
        weights = [GAMMA ** (len(predictions) - 1 - k) for k in range(len(predictions))]
        loss = sum(
            w * (flow.float() - truth).abs().mean()
            for w, flow in zip(weights, predictions, strict=True)
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        errors.append(float((predictions[-1].float() - truth).detach().norm(dim=1).mean()))
        if step % TOLD_EVERY == 0:
            mean = np.mean(errors[-TOLD_EVERY:])
            print(f"{time.monotonic() - began:6.0f} s, step {step}: {mean:.2f} px", flush=True)
            if step % (10 * TOLD_EVERY) == 0:
                save(model, options.out)


def save(model: Any, path: Path) -> None:
    """Write the weights as flow.weights takes them."""
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)


class Pairs(IterableDataset[Any]):
    """Two frames (2, 3, H, W), BGR from 0 to 1, and the flow (2, H, W) from one to the other."""

    def __init__(self, side: int, seed: int) -> None:
        self._side, self._seed = side, seed

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield for ever; what comes one after the other is of different scenes."""
        rng = np.random.default_rng(self._seed)
        torch.set_num_threads(1)
        pool: list[tuple[torch.Tensor, torch.Tensor]] = []
        while True:
            pool += self._of_a_scene(rng)
            while len(pool) > 16 * PAIRS:
                yield pool.pop(int(rng.integers(len(pool))))

    def _of_a_scene(self, rng: np.random.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        scene = random_scene(rng, sample_photographs(), size=self._side, frames=FRAMES)
        frames, tops = scene.render_frames()
        every = [(i, j) for i in range(FRAMES) for j in range(FRAMES) if i != j]
        for k in rng.choice(len(every), PAIRS, replace=False):
            i, j = every[k]
            images = np.stack([frames[i], frames[j]])[..., ::-1].transpose(0, 3, 1, 2) / 255
            flow = scene.flow(tops, i, j)
            yield torch.from_numpy(images.astype(np.float32)), torch.from_numpy(flow)


if __name__ == "__main__":
    main()
