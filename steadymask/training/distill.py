"""Trains a student on a library's labels: settings, optimiser, the best of it written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch

from pipeline.errors import ConfigError
from pipeline.wording import count_text
from stages.metrics.semantic import true_class_scores
from steadymask.training.labelled import LabelledClips
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
from steadymask.training.losses.coherence import MARGIN, WIDTH
from steadymask.training.losses.distillation import ConvLSTM
from steadymask.training.onnx_file import export_onnx
from steadymask.training.student_objective import TERMS, class_sums, student_losses
from steadymask.training.students import Student, save_student, weights_digest
from steadymask.training.triplets import Triplets

REACH = 10  # frames; PFI: of 30 the 20th is labelled, any before and after it may be drawn
FALL = 0.9  # exponent of the rate's fall, PFI section IV-A


@dataclass(frozen=True)
class DistillationSettings:
    """How to train a student.

    Attributes
    ----------
    epochs, samples, batch, side, seed : int
        `samples`, triplets of frames, of an epoch; `side` of a sample, pixels.
    rate : float
        Of Adam at the start; it falls as ``(1 − step/steps)^0.9``.
    weights : mapping
        Of the terms that are added to the cross-entropy, by names of
        `steadymask.training.student_objective.TERMS`.
    patience : int
        Epochs without a better held-out mIoU before it stops.
    reach : int
        Frames from the labelled one to its neighbours, at most.
    band, margin
        θ (pixels, odd) and γ (probability) of Coherent Loss.
    varied : bool
        Zoom, mirror and light samples at random.
    """

    epochs: int = 20
    samples: int = 400
    batch: int = 8
    side: int = 256
    seed: int = 0
    rate: float = 1e-3
    weights: Mapping[str, float] = field(default_factory=dict)
    patience: int = PATIENCE
    reach: int = REACH
    band: int = WIDTH
    margin: float = MARGIN
    varied: bool = True


def distill(
    student: Student,
    clips: LabelledClips,
    settings: DistillationSettings,
    folder: Path,
    to: Path,
    *,
    radius: int,
    side: int,
    tell: Tell,
    teacher: Student | None = None,
) -> None:
    """Train a student and write the best of it, as ONNX and, beside it, as .safetensors.

    The best epoch is the one with the highest mIoU on held-out labels. A total with terms that ask
    for agreement between frames would choose masks that are nearly empty: these agree best.

    It goes on where it was stopped, see `steadymask.training.loop.train`.

    Parameters
    ----------
    student : Student
        To start from.
    clips : LabelledClips
    settings : DistillationSettings
    folder : Path
        For checkpoints and curves.
    to : Path
        A .onnx file.
    radius : int
        Of the library's flow: frames so near what is trained on are not held out.
    side : int
        Rows or columns of the smallest clip, whichever is less.
    tell : callable
        Takes a line for the user now and then.
    teacher : Student, optional
        See `student_losses`.

    Raises
    ------
    ConfigError
        If a term is not known.
    InputError
        If nothing can be trained on.
    PipelineError
        If the loss is not finite, or the student cannot be written.
    """
    unknown = set(settings.weights) - set(TERMS)
    if unknown:
        raise ConfigError(f"--loss {min(unknown)!r}: expected some of {', '.join(TERMS)}")
    places, held_out, warnings = clips.places(apart=2 * radius)
    for line in warnings:
        tell(f"distill: {line}")
    tell(f"distill: {count_text(len(places), 'frame')} to train on, {len(held_out)} held out")
    # The end of a single clip is held out: no neighbour of what is trained on may be of it.
    reach = settings.reach if clips.several else min(settings.reach, 2 * radius)
    samples = partial(Triplets, clips, side=min(settings.side, side), reach=reach)
    seed, varied = settings.seed, settings.varied
    data = Epochs(
        lambda numbers: samples(places, numbers=numbers, seed=seed, varied=varied),
        lambda numbers: samples(held_out, numbers=numbers, seed=seed + 1, varied=False),
        settings.samples,
        settings.batch,
    )
    task = _training_task(student, clips, settings, teacher)
    course = Course(
        "distill", folder, settings.epochs, task, tell, settings.patience, MOST_OVERLAP
    )  # fmt: skip
    if train(_DistillTask(student, settings, teacher), data, course):
        to.parent.mkdir(parents=True, exist_ok=True)
        save_student(to.with_suffix(".safetensors"), student)
        export_onnx(student, to)


def _training_task(
    student: Student, clips: LabelledClips, settings: DistillationSettings, teacher: Student | None
) -> dict[str, Any]:
    """Return all that makes another training of it."""
    return {
        "student": [student.name, list(student.class_ids), weights_digest(student)],
        "teacher": weights_digest(teacher) if teacher else "",
        "settings": asdict(settings),
        "clips": clips.task,
        "criterion": MOST_OVERLAP.name,
    }


class _DistillTask(Fitting):
    def __init__(
        self, student: Student, settings: DistillationSettings, teacher: Student | None
    ) -> None:
        super().__init__()
        lightning.seed_everything(settings.seed, verbose=False)
        self.student = student
        self.lstm = ConvLSTM() if "multi_frame" in settings.weights else None
        # In a tuple: it is neither trained nor written into checkpoints.
        self._teacher = (teacher.eval(),) if teacher else ()
        self._settings = settings
        self._sums = torch.zeros(3, 1 + len(student.class_ids), dtype=torch.int64)

    def losses(self, batch: Batch) -> Losses:
        """Return the cross-entropy and the terms asked for."""
        teacher = next((network.to(self.device) for network in self._teacher), None)
        return student_losses(
            self.student, batch, self._settings.weights, teacher=teacher, lstm=self.lstm,
            band=self._settings.band, margin=self._settings.margin,
        )  # fmt: skip

    def validation_step(self, batch: Batch) -> None:
        """Log the losses of a held-out batch and count its pixels by class."""
        super().validation_step(batch)
        self._sums += class_sums(self.student, batch).to(self._sums)

    def on_validation_epoch_end(self) -> None:
        """Log the mIoU of all that is held out, by which the best epoch is chosen."""
        sums = self.trainer.strategy.reduce(self._sums.to(self.device), reduce_op="sum")
        overlap = float(true_class_scores(sums.cpu().numpy())["mIoU"])
        self.log(MOST_OVERLAP.name, overlap)
        self._sums.zero_()

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Hold the embedding's weights in bounds."""
        if self.lstm is not None:
            self.lstm.clip()

    def configure_optimizers(self) -> Any:
        """Return Adam with a rate that falls to 0."""
        adam = torch.optim.Adam(self.parameters(), lr=self._settings.rate)
        steps = max(int(self.trainer.estimated_stepping_batches), 1)
        falling = torch.optim.lr_scheduler.LambdaLR(
            adam, lambda step: max(1 - step / steps, 0) ** FALL
        )
        return {"optimizer": adam, "lr_scheduler": {"scheduler": falling, "interval": "step"}}
