"""Trains the decoder that comes with the project: generated scenes and unlabelled video, no labels.

    python -m steadymask.training.recipe --videos VIDEO …
        --to stages/models/decoders/aligned.safetensors

The truth is exact because it is generated: layers cut out and moved, or regions of real video whose
outlines follow its edges. docs/decoder.md says which videos the shipped weights saw.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

import lightning
import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from pipeline.whole_files import replacing
from stages.models.decoders.aligned import OWN, VOTED, AlignedDecoder, log_odds
from stages.models.decoders.load import load_decoder, save_decoder
from steadymask.training.augment import augmented_batch
from steadymask.training.synthetic.examples import training_examples

SHARD = 300  # examples in a file
VIDEOS = 3  # that a file of examples draws on
BAND = 6  # pixels to either side of the true outline that count more
BAND_WEIGHT = 5.0
AROUND = 8  # pixels
TRUST_SHARE = 0.3  # of the loss
HELD_OUT = 96  # examples, the last ones

Batch = dict[str, torch.Tensor]


def main() -> None:
    """Generate, train, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=Path, nargs="*", default=[])
    parser.add_argument("--examples", type=int, default=5400)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("out/recipe"), help="for the examples")
    parser.add_argument("--start", default="", help="weights to go on from (none)")
    parser.add_argument("--order", type=int, default=1, help="seed of the order of examples")
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    write_examples(options.videos, options.examples, options.work, seed=options.seed)
    train(
        options.work, options.to, rate=options.rate, steps=options.steps, batch=options.batch,
        seed=options.order, start=options.start,
    )  # fmt: skip


def train(
    folder: Path, to: Path, *, rate: float, steps: int, batch: int, seed: int, start: str = ""
) -> None:
    """Train a decoder on the examples in `folder`, a new one or that in the file `start`."""
    lightning.seed_everything(seed, verbose=False)
    network = cast("AlignedDecoder", load_decoder("aligned", start)) if start else AlignedDecoder()
    decoder = network.train().to(memory_format=torch.channels_last)
    training = Supervised(decoder, rate, steps)
    loader, held_out = batch_loaders(folder, batch, seed)
    trainer = lightning.Trainer(
        max_steps=steps, precision="bf16-mixed", gradient_clip_val=1.0, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        val_check_interval=500, check_val_every_n_epoch=None,
    )  # fmt: skip
    trainer.fit(training, loader, held_out)
    save_decoder(to, decoder)


def write_examples(videos: Sequence[Path], count: int, folder: Path, *, seed: int) -> None:
    """Write examples into `folder`, a few hundred a file; files that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [
        k for k in range(-(-count // SHARD)) if not (folder / f"{seed}-{k:03d}.npz").exists()
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(partial(_write_shard, tuple(videos), folder, seed), missing):
            pass


def _write_shard(videos: Sequence[Path], folder: Path, seed: int, number: int) -> None:
    few = [videos[(VIDEOS * number + k) % len(videos)] for k in range(min(VIDEOS, len(videos)))]
    batch = list(training_examples(few, SHARD, seed=1000 * seed + number))
    path = folder / f"{seed}-{number:03d}.npz"
    arrays: Any = {name: np.stack([e[name] for e in batch]) for name in batch[0]}
    with replacing(path) as draft:
        np.savez(draft, **arrays)


def batch_loaders(folder: Path, batch: int, seed: int) -> tuple[Iterator[Batch], DataLoader[Batch]]:
    """Return endless augmented batches, and the ones held out."""
    shards = [np.load(path) for path in sorted(folder.glob("*.npz"))]
    tensors: dict[str, torch.Tensor] = {
        name: torch.from_numpy(np.concatenate([shard[name] for shard in shards]))
        for name in ("planes", "near", "truth")
    }
    last = len(tensors["truth"]) - HELD_OUT

    def pick(rows: torch.Tensor) -> Batch:
        return {name: values[rows].float() / 255 for name, values in tensors.items()}

    def endless() -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(seed)
        while True:
            rows = torch.randint(last, (batch,), generator=generator)
            yield augmented_batch(pick(rows), generator)

    chunks = torch.split(torch.arange(last, last + HELD_OUT), batch)
    last_ones = cast("Dataset[Batch]", [pick(rows) for rows in chunks])
    return endless(), DataLoader(last_ones, batch_size=None)


class Supervised(lightning.LightningModule):
    """The aligned decoder against the true mask."""

    def __init__(self, decoder: AlignedDecoder, rate: float, steps: int) -> None:
        super().__init__()
        self.decoder, self.rate, self.steps = decoder, rate, steps

    def training_step(self, batch: Batch) -> torch.Tensor:
        """Return the loss of a batch."""
        decoded, trust = self._decoded_masks(batch)
        return mask_loss(decoded, batch["truth"]) + TRUST_SHARE * trust_loss(trust, batch)

    def validation_step(self, batch: Batch) -> None:
        """Log the loss and the J on what is held out, of the voted mask and of the decoder's."""
        truth, (decoded, trust) = batch["truth"], self._decoded_masks(batch)
        self.log("J", _mean_jaccard(decoded, truth))
        self.log("J voted", _mean_jaccard(log_odds(batch["planes"][:, VOTED]), truth))
        self.log("loss", mask_loss(decoded, truth))
        self.log("loss of trust", trust_loss(trust, batch))

    def on_validation_epoch_end(self) -> None:
        """Print how it stands."""
        metrics = {name: round(float(v), 4) for name, v in self.trainer.callback_metrics.items()}
        self.print(f"step {self.global_step}: {metrics}", flush=True)

    def configure_optimizers(self) -> Any:
        """Return AdamW with a rate that warms up and falls along a cosine."""
        adam = torch.optim.AdamW(self.decoder.parameters(), lr=self.rate, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.LambdaLR(adam, self._share_of_rate)
        return {"optimizer": adam, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _share_of_rate(self, step: int) -> float:
        rising = min(1.0, (step + 1) / 100)
        return rising * (0.01 + 0.5 * (1 + float(np.cos(np.pi * min(step / self.steps, 1.0)))))

    def _decoded_masks(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        planes, near = (
            batch[name].contiguous(memory_format=torch.channels_last) for name in ("planes", "near")
        )
        added, trust = self.decoder.decode(planes, near)
        return log_odds(planes[:, VOTED]) + added.float(), trust.float()


def mask_loss(log_odds: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return cross-entropy, heavier near the outline, plus half of 1 − soft J.

    Parameters
    ----------
    log_odds, truth : tensor, shape (B, 1, H, W)
        The truth 0 or 1.
    """
    side = 2 * BAND + 1
    band = F.max_pool2d(truth, side, 1, BAND) + F.max_pool2d(-truth, side, 1, BAND)
    weight = 1 + (BAND_WEIGHT - 1) * (band > 0).float()
    entropy = F.binary_cross_entropy_with_logits(log_odds, truth, reduction="none")
    p = torch.sigmoid(log_odds)
    shared = (p * truth).sum((1, 2, 3))
    either = (p + truth - p * truth).sum((1, 2, 3))
    soft_jaccard = (shared + 20) / (either + 20)
    return (entropy * weight).sum() / weight.sum() + 0.5 * (1 - soft_jaccard).mean()


def trust_loss(trust: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the cross-entropy of trust against whether the frame's own mask is right around here.

    Right is what differs from the truth by no more than a thin line, within `AROUND` pixels.
    """
    wrong = ((batch["planes"][:, OWN] > 0.5).float() != batch["truth"]).float()
    thick = -F.max_pool2d(-wrong, 3, 1, 1)
    right = 1 - F.max_pool2d(thick, 2 * AROUND + 1, 1, AROUND)
    return F.binary_cross_entropy_with_logits(trust, right)


def _mean_jaccard(log_odds: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    mask, true = log_odds > 0, truth > 0.5
    shared, either = ((f(mask, true)).sum((1, 2, 3)) for f in (torch.logical_and, torch.logical_or))
    return ((shared + 1) / (either + 1)).mean()


if __name__ == "__main__":
    main()
