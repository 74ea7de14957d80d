"""Trains STCNN: both branches in turn, the one that predicts frames against a discriminator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from stages.models.segmenters.spatiotemporal.formulas import (
    discriminator_loss,
    generator_loss,
    multi_scale_loss,
)
from stages.models.segmenters.spatiotemporal.network import (
    Discriminator,
    SpatiotemporalNetwork,
    save_spatiotemporal,
)
from stages.models.segmenters.spatiotemporal.settings import PAST
from steadymask.training.loop import (
    LEAST_TOTAL,
    PATIENCE,
    Batch,
    Course,
    Epochs,
    Fitting,
    Losses,
    Tell,
    train,
)
from steadymask.training.video.clip_samples import ClipSamples, LabelSetFrames
from steadymask.training.video.object_samples import AsOneObject, GeneratedClips, scene_pictures
from steadymask.training.video.train import FALL, weights_digest

PRETRAINING = 0.3  # share of the epochs in which each branch is trained by itself
HELD_OUT_SEED = 1 << 20  # added: held-out scenes are others than those to train on

Drawing = Callable[[range], Dataset[Batch]]


@dataclass(frozen=True)
class ObjectSettings:
    """How to train STCNN.

    Attributes
    ----------
    epochs, samples, batch, side, seed : int
        `samples` of an epoch are rounded up to whole batches; `side` of a picture, pixels.
    rate : float
        Of Adam in the first epoch; it falls as ``(1 − epoch/epochs)^0.9``.
    patience : int
        Epochs without a better held-out loss of masks before it stops.
    pretraining : float, in [0, 1]
        Share of the epochs in which each branch is trained by itself.
    """

    epochs: int = 20
    samples: int = 400
    batch: int = 4
    side: int = 96
    seed: int = 0
    rate: float = 2e-3
    patience: int = PATIENCE
    pretraining: float = PRETRAINING


def train_on_scenes(
    network: SpatiotemporalNetwork, settings: ObjectSettings, folder: Path, to: Path, *, tell: Tell
) -> None:
    """Train a network on generated scenes; see `train_object_network`."""
    draw = partial(GeneratedClips, side=settings.side)
    train_object_network(
        network,
        lambda numbers: draw(scene_pictures(held_out=False), numbers=numbers, seed=settings.seed),
        lambda numbers: draw(
            scene_pictures(held_out=True), numbers=numbers, seed=settings.seed + HELD_OUT_SEED
        ),
        settings, folder, to, source="generated", tell=tell,
    )  # fmt: skip


def train_on_labels(
    network: SpatiotemporalNetwork, frames: LabelSetFrames, settings: ObjectSettings, folder: Path,
    to: Path, *, tell: Tell,
) -> None:  # fmt: skip
    """Train a network on a label set, all its labels as one; see `train_object_network`."""
    for warning in frames.warnings:
        tell(f"train: warning: {warning}")
    tell(f"train: {len(frames.train)} frames to train on, {len(frames.held_out)} held out")
    draw = partial(
        ClipSamples, frames, side=settings.side, dilations=tuple(range(1, PAST + 1)),
        seed=settings.seed,
    )  # fmt: skip
    train_object_network(
        network,
        lambda numbers: AsOneObject(draw(frames.train, numbers=numbers, varied=True)),
        lambda numbers: AsOneObject(draw(frames.held_out, numbers=numbers, varied=False)),
        settings, folder, to, source=frames.task, tell=tell,
    )  # fmt: skip


def train_object_network(
    network: SpatiotemporalNetwork, samples: Drawing, held_out: Drawing, settings: ObjectSettings,
    folder: Path, to: Path, *, source: Any, tell: Tell,
) -> None:  # fmt: skip
    """Train a network and write the best of it, by the loss of masks on held-out samples.

    It goes on where it was stopped, see `steadymask.training.loop.train`.

    Parameters
    ----------
    network : SpatiotemporalNetwork
        To start from.
    samples, held_out : callable
        From a range of numbers to the samples with these numbers.
    settings : ObjectSettings
    folder : Path
        For checkpoints and curves.
    to : Path
        A .safetensors file.
    source : JSON value
        All that the samples depend on besides `settings`.
    tell : callable
        Takes a line for the user now and then.

    Raises
    ------
    PipelineError
        If the loss is not finite.
    """
    batches = -(-settings.samples // settings.batch)
    data = Epochs(samples, held_out, batches * settings.batch, settings.batch)
    task = {
        "network": asdict(network.settings),
        "weights": weights_digest(network),
        "settings": asdict(settings),
        "samples": source,
    }
    course = Course("train", folder, settings.epochs, task, tell, settings.patience, LEAST_TOTAL)
    if train(_ObjectTask(network, settings), data, course):
        to.parent.mkdir(parents=True, exist_ok=True)
        save_spatiotemporal(to, network)


class _ObjectTask(Fitting):
    """Discriminator, temporal branch and spatial branch, a step of each by turns.

    In the first epochs each branch has its own loss alone; then the loss of masks reaches the
    temporal branch too.
    """

    def __init__(self, network: SpatiotemporalNetwork, settings: ObjectSettings) -> None:
        super().__init__()
        lightning.seed_everything(settings.seed, verbose=False)
        self.automatic_optimization = False
        self.network, self.discriminator = network, Discriminator()
        self._settings = settings

    def training_step(self, batch: Batch) -> None:  # type: ignore[override]
        """Make a step of every part and log the losses before it."""
        steps = self._part_optimizers()
        losses: Losses = {}
        features = self.network.predict(batch["frames"])
        if features is not None:
            real, predicted = batch["frames"][:, 0], features.prediction
            answers = self.discriminator(real), self.discriminator(predicted.detach())
            losses["discriminator"] = discriminator_loss(*answers)
            self._make_step(steps[1], losses["discriminator"])
            losses["frame"] = generator_loss(real, predicted, self.discriminator(predicted))
            joint = losses["frame"]
            if self.current_epoch >= self._settings.pretraining * self._settings.epochs:
                scores = self.network.segment(batch["frames"], features)
                joint = joint + multi_scale_loss(scores, batch["labels"])
            self._make_step(steps[2], joint)
            features = features.detached()
        scores = self.network.segment(batch["frames"], features)
        losses["total"] = multi_scale_loss(scores, batch["labels"])
        self._make_step(steps[0], losses["total"])
        self.log_losses("train", losses, len(batch["labels"]))

    def losses(self, batch: Batch) -> Losses:
        """Return the loss of masks, which chooses the epoch, and those of frames."""
        features = self.network.predict(batch["frames"])
        scores = self.network.segment(batch["frames"], features)
        losses = {"total": multi_scale_loss(scores, batch["labels"])}
        if features is not None:
            real, predicted = batch["frames"][:, 0], features.prediction
            answers = self.discriminator(real), self.discriminator(predicted)
            losses["discriminator"] = discriminator_loss(*answers)
            losses["frame"] = generator_loss(real, predicted, answers[1])
        return losses

    def on_train_epoch_start(self) -> None:
        """Set the rates of the epoch."""
        left = 1 - self.current_epoch / self._settings.epochs
        for optimizer in self._part_optimizers():
            for group in optimizer.param_groups:
                group["lr"] = self._settings.rate * left**FALL

    def configure_optimizers(self) -> Any:
        """Return one Adam for each part: spatial branch, discriminator, temporal branch."""
        parts: list[nn.Module] = [self.network.spatial]
        if self.network.temporal is not None:
            parts += [self.discriminator, self.network.temporal]
        return [torch.optim.Adam(part.parameters(), lr=self._settings.rate) for part in parts]

    def _part_optimizers(self) -> list[Any]:
        optimizers = self.optimizers()
        return list(optimizers) if isinstance(optimizers, Sequence) else [optimizers]

    def _make_step(self, optimizer: Any, loss: Tensor) -> None:
        """Move one part alone; gradients that reach others are dropped before their own step."""
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
