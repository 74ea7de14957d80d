"""Trains a video network on a label set: settings, losses, the best epoch written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch

from pipeline.errors import ConfigError, InputError
from stages.metrics.semantic import true_class_scores
from stages.models.segmenters.context_blending.network import VideoNetwork, save_network
from stages.models.segmenters.context_blending.settings import CONTEXTS, NetworkSettings
from stages.ops.ignored_label import IGNORE
from steadymask.training.loop import (
    MOST_OVERLAP,
    PATIENCE,
    Batch,
    Course,
    Epochs,
    Fitting,
    Losses,
    Tell,
    train,
)
from steadymask.training.losses.label_agreement import cross_entropy
from steadymask.training.video.clip_samples import ClipSamples, LabelSetFrames

AUXILIARY = 0.4  # weight of the loss on the backbone's intermediate features
FALL = 0.9  # exponent of the rate's fall


@dataclass(frozen=True)
class VideoTrainingSettings:
    """How to train a video network.

    Attributes
    ----------
    epochs, samples, batch, side, seed : int
        `samples` of an epoch are rounded up to whole batches; `side` of a crop, pixels.
    rate : float
        Of Adam at the start; it falls as ``(1 − step/steps)^0.9``.
    patience : int
        Epochs without a better held-out mIoU before it stops.
    auxiliary : float
        Weight of the auxiliary loss.
    """

    epochs: int = 20
    samples: int = 400
    batch: int = 4
    side: int = 256
    seed: int = 0
    rate: float = 2e-3
    patience: int = PATIENCE
    auxiliary: float = AUXILIARY


def check_settings(settings: NetworkSettings) -> None:
    """Refuse settings that make no network of their model.

    Raises
    ------
    ConfigError
    """
    unknown = set(settings.context) - set(CONTEXTS)
    if unknown:
        raise ConfigError(f"--context {min(unknown)}: expected some of {', '.join(CONTEXTS)}")
    if any(back < 1 for back in settings.dilations):
        raise ConfigError(f"--dilations {settings.dilations}: expected frames back, 1 or more")
    if settings.memory and "ocr" not in settings.context:
        raise ConfigError(
            f"--memory {settings.memory}: expected --context with ocr, whose object regions are "
            f"remembered, got {','.join(settings.context) or 'none'}"
        )
    if settings.model == "tcb" and not (settings.dilations and settings.context):
        raise ConfigError(
            "train tcb: expected --context and --dilations of support frames, got "
            f"{settings.context} and {settings.dilations}: use train per_frame"
        )
    if settings.model == "per_frame" and settings.reach:
        raise ConfigError(
            f"train per_frame: expected no --dilations and no --memory, got {settings.dilations} "
            f"and {settings.memory}: use train tcb"
        )


def check_network_classes(network: VideoNetwork, class_ids: Sequence[int], path: Path) -> None:
    """Refuse weights that were trained for other classes.

    Raises
    ------
    InputError
    """
    if network.settings.class_ids != tuple(class_ids):
        raise InputError(
            f"{path}: expected weights for the labels {tuple(class_ids)} as the set has, got some "
            f"for {network.settings.class_ids}: start from others, or leave --weights out"
        )


def train_network(
    network: VideoNetwork,
    frames: LabelSetFrames,
    settings: VideoTrainingSettings,
    folder: Path,
    to: Path,
    *,
    tell: Tell,
) -> None:
    """Train a network and write the best of it, by the mIoU on held-out labels.

    It goes on where it was stopped, see `steadymask.training.loop.train`.

    Parameters
    ----------
    network : VideoNetwork
        To start from.
    frames : LabelSetFrames
    settings : VideoTrainingSettings
    folder : Path
        For checkpoints and curves.
    to : Path
        A .safetensors file.
    tell : callable
        Takes a line for the user now and then.

    Raises
    ------
    InputError
        If a file of the set cannot be read.
    PipelineError
        If the loss is not finite.
    """
    for warning in frames.warnings:
        tell(f"train: warning: {warning}")
    tell(f"train: {len(frames.train)} frames to train on, {len(frames.held_out)} held out")
    draw = partial(ClipSamples, frames, side=settings.side, dilations=network.settings.dilations)
    seed, batches = settings.seed, -(-settings.samples // settings.batch)
    data = Epochs(
        lambda numbers: draw(frames.train, numbers=numbers, seed=seed, varied=True),
        lambda numbers: draw(frames.held_out, numbers=numbers, seed=seed, varied=False),
        batches * settings.batch,
        settings.batch,
    )
    task = {
        "network": asdict(network.settings),
        "weights": weights_digest(network),
        "settings": asdict(settings),
        "frames": frames.task,
    }
    course = Course("train", folder, settings.epochs, task, tell, settings.patience, MOST_OVERLAP)
    if train(_ContextTask(network, settings), data, course):
        to.parent.mkdir(parents=True, exist_ok=True)
        save_network(to, network)


class _ContextTask(Fitting):
    """Cross-entropy of the head and, weighted, of the auxiliary head."""

    def __init__(self, network: VideoNetwork, settings: VideoTrainingSettings) -> None:
        super().__init__()
        lightning.seed_everything(settings.seed, verbose=False)
        self.network = network
        self._settings = settings
        self._sums = torch.zeros(3, network.classes, dtype=torch.int64)

    def losses(self, batch: Batch) -> Losses:
        """Return both cross-entropies and their weighted sum."""
        scores, auxiliary = self.network(batch["frames"])
        labels = batch["labels"]
        with torch.autocast(scores.device.type, enabled=False):  # sums over pixels need all bits
            entropy = cross_entropy(scores.float(), labels)
            aside = cross_entropy(auxiliary.float(), labels)
        total = entropy + self._settings.auxiliary * aside
        return {"total": total, "labels": entropy, "auxiliary": aside}

    def validation_step(self, batch: Batch) -> None:
        """Log the losses of a held-out batch and count its pixels by class."""
        super().validation_step(batch)
        labels, predicted = batch["labels"], self.network(batch["frames"])[0].argmax(dim=1)
        counted = labels < IGNORE
        labels, predicted = labels[counted], predicted[counted]
        parts = labels[labels == predicted], labels, predicted
        counts = [torch.bincount(part, minlength=self.network.classes) for part in parts]
        self._sums += torch.stack(counts).to(self._sums)

    def on_validation_epoch_end(self) -> None:
        """Log the mIoU of all that is held out, by which the best epoch is chosen."""
        sums = self.trainer.strategy.reduce(self._sums.to(self.device), reduce_op="sum")
        overlap = float(true_class_scores(sums.cpu().numpy())["mIoU"])
        self.log(MOST_OVERLAP.name, overlap)
        self._sums.zero_()

    def configure_optimizers(self) -> Any:
        """Return Adam with a rate that falls to 0."""
        adam = torch.optim.Adam(self.parameters(), lr=self._settings.rate)
        steps = max(int(self.trainer.estimated_stepping_batches), 1)
        falling = torch.optim.lr_scheduler.LambdaLR(
            adam, lambda step: max(1 - step / steps, 0) ** FALL
        )
        return {"optimizer": adam, "lr_scheduler": {"scheduler": falling, "interval": "step"}}


def weights_digest(network: torch.nn.Module) -> str:
    """Return the SHA-256 of a network's weights."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
