"""The loop around any training here, on Lightning: resuming, early stop, curves, several GPUs."""

from __future__ import annotations

import csv
import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch.utils.data import DataLoader, Dataset

from pipeline.errors import PipelineError
from pipeline.store.keys import digest_json

Batch = dict[str, torch.Tensor]
Losses = dict[str, torch.Tensor]
Tell = Callable[[str], None]

ALWAYS_THE_SAME = 0  # number of the first held-out sample
PATIENCE = 4  # epochs without a better one


@dataclass(frozen=True)
class Criterion:
    """Which epoch is the best one.

    Attributes
    ----------
    name : str
        Of a number that is logged at the end of an epoch.
    better : {"min", "max"}
    """

    name: str
    better: Literal["min", "max"]


LEAST_TOTAL = Criterion("held_out_total", "min")
MOST_OVERLAP = Criterion("held_out_mIoU", "max")


@dataclass(frozen=True)
class Course:
    """How a training goes.

    Attributes
    ----------
    name : str
        Of the command, for messages.
    folder : Path
        For checkpoints and curves.
    epochs : int
        At most.
    patience : int
        Epochs without a better one before it stops.
    criterion : Criterion
        Which epoch is the best.
    task : mapping
        All that makes another training of it, as JSON values: it goes on where one of the same
        task was stopped.
    tell : callable
        Takes a line for the user now and then.
    """

    name: str
    folder: Path
    epochs: int
    task: Mapping[str, Any]
    tell: Tell
    patience: int = PATIENCE
    criterion: Criterion = LEAST_TOTAL


class Fitting(lightning.LightningModule):
    """A network and its named losses: logs them, and refuses what is not finite."""

    def losses(self, batch: Batch) -> Losses:
        """Return the losses of a batch, scalars; the one called `total` is made smaller."""
        raise NotImplementedError

    def training_step(self, batch: Batch) -> torch.Tensor:
        """Return the loss of a batch."""
        return self._logged_losses("train", batch)

    def validation_step(self, batch: Batch) -> None:
        """Log the loss of a held-out batch."""
        self._logged_losses("held_out", batch)

    def _logged_losses(self, which: str, batch: Batch) -> torch.Tensor:
        losses = self.losses(batch)
        self.log_losses(which, losses, len(next(iter(batch.values()))))
        return losses["total"]

    def log_losses(self, which: str, losses: Losses, size: int) -> None:
        """Log the losses of a batch of a size.

        Raises
        ------
        PipelineError
            If the total is not finite.
        """
        if not torch.isfinite(losses["total"]):
            values = {name: float(value.detach()) for name, value in losses.items()}
            raise PipelineError(
                f"expected finite losses, got {values} in epoch {self.current_epoch}: "
                "use a smaller --rate"
            )
        for name, value in losses.items():
            self.log(
                f"{which}_{name}", value, on_epoch=True, on_step=False, batch_size=size,
                sync_dist=True,
            )  # fmt: skip


class Epochs(lightning.LightningDataModule):
    """Other samples each epoch, the same ones held out.

    Parameters
    ----------
    train : callable
        From a range of numbers to the samples with these numbers.
    held_out : callable
        The same, for what is held out.
    samples : int
        Of an epoch; a fifth as many are held out.
    batch : int
    """

    def __init__(
        self,
        train: Callable[[range], Dataset[Batch]],
        held_out: Callable[[range], Dataset[Batch]],
        samples: int,
        batch: int,
    ) -> None:
        super().__init__()
        few = max(samples // 5, 1)
        self._held_out = held_out(range(ALWAYS_THE_SAME, ALWAYS_THE_SAME + few))
        self._train, self._samples, self._batch = train, samples, batch

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return this epoch's samples."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        numbers = range(epoch * self._samples, (epoch + 1) * self._samples)
        return DataLoader(self._train(numbers), batch_size=self._batch)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the held-out samples."""
        return DataLoader(self._held_out, batch_size=self._batch)


def train(module: Fitting, data: Epochs, course: Course) -> bool:
    """Train a module, leave the weights in it that did best on what is held out.

    The same call goes on after the last finished epoch of one that was stopped. `losses.csv` and
    `losses.png` in the folder show how it went, and so does ``tensorboard --logdir FOLDER``.

    Parameters
    ----------
    module : Fitting
    data : Epochs
    course : Course

    Returns
    -------
    bool
        Whether this process is the one to write results: of several, on several GPUs, the first.

    Raises
    ------
    PipelineError
        If the loss is not finite.
    KeyboardInterrupt
        At a signal to stop; the checkpoint of the last finished epoch stays.
    """
    _be_quiet()
    course.folder.mkdir(parents=True, exist_ok=True)
    name, better = course.criterion.name, course.criterion.better
    best = ModelCheckpoint(course.folder, "best", monitor=name, mode=better)
    # Of every epoch: `save_last` would write it only when an epoch is the best one. It comes after
    # `best`, whose state it holds.
    last = ModelCheckpoint(course.folder, "last", enable_version_counter=False)
    stop = EarlyStopping(name, mode=better, patience=course.patience, check_finite=False)
    trainer = lightning.Trainer(
        default_root_dir=course.folder, max_epochs=course.epochs, logger=False,
        callbacks=[_LossCurves(course), _LossBoard(course.folder), stop, best, last],
        reload_dataloaders_every_n_epochs=1,
        precision="bf16-mixed" if torch.cuda.is_available() else "32-true",
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    checkpoint = _to_go_on_from(course)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except PipelineError as error:
        raise type(error)(f"{course.name}: {error}") from error
    except SystemExit as error:  # Lightning makes a 1 of every signal
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None
        raise
    if not trainer.is_global_zero:
        return False
    state = torch.load(best.best_model_path, weights_only=True)["state_dict"]
    module.load_state_dict(state)
    return True


def _to_go_on_from(course: Course) -> Path | None:
    """Return the last checkpoint if it is of this very task, else start afresh and say so."""
    task = digest_json(course.task)
    about, last = course.folder / "task.json", course.folder / "last.ckpt"
    before = json.loads(about.read_text())["task"] if about.exists() else None
    if before != task:
        for path in (*course.folder.glob("*.ckpt"), course.folder / "losses.csv"):
            path.unlink(missing_ok=True)
        if before is not None:
            course.tell(
                f"{course.name}: other settings or another library than before: starting afresh"
            )
        about.write_text(json.dumps({"task": task}))
        return None
    if not last.exists():
        return None
    course.tell(f"{course.name}: going on from {last}")
    return last


class _LossCurves(Callback):
    """Writes every epoch's losses as a line of CSV and as a picture."""

    def __init__(self, course: Course) -> None:
        self._course = course

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Add an epoch."""
        if not trainer.is_global_zero:
            return
        path, epoch = self._course.folder / "losses.csv", trainer.current_epoch
        rows = [row for row in _read_rows(path) if int(row["epoch"]) < epoch]
        losses = {name: f"{float(value):.6f}" for name, value in trainer.callback_metrics.items()}
        rows.append({"epoch": str(epoch)} | dict(sorted(losses.items())))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[-1]))
            writer.writeheader()
            writer.writerows(rows)
        names = _loss_names(losses)
        _plot_losses(rows, names, self._course.folder / "losses.png")
        shown = [*names[1:], *(["mIoU"] if "held_out_mIoU" in losses else [])]
        parts = ", ".join(f"{name} {losses[f'held_out_{name}']}" for name in shown)
        self._course.tell(
            f"{self._course.name}: epoch {epoch}: loss {losses['train_total']}, held out "
            f"{losses['held_out_total']} ({parts})"
        )


class _LossBoard(Callback):
    """Writes every epoch's losses for TensorBoard, where that is installed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Add an epoch."""
        if not trainer.is_global_zero or importlib.util.find_spec("tensorboard") is None:
            return
        from torch.utils.tensorboard import SummaryWriter

        epoch = trainer.current_epoch
        if self._writer is None:  # purged: what a stopped or another training wrote
            self._writer = SummaryWriter(self._folder, purge_step=epoch)
        for name, value in trainer.callback_metrics.items():
            which = "held_out" if name.startswith("held_out_") else "train"
            name = name.removeprefix(f"{which}_")
            self._writer.add_scalar(f"{name}/{which}", float(value), epoch)
        self._writer.flush()

    def teardown(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


def _loss_names(losses: Mapping[str, str]) -> list[str]:
    """Return the names of the losses, `total` first."""
    names = [name.removeprefix("train_") for name in losses if name.startswith("train_")]
    return sorted(names, key=lambda name: (name != "total", name))


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _plot_losses(rows: list[dict[str, str]], names: list[str], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(names), 3), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for which in ("train", "held_out"):
            values = [float(row[f"{which}_{name}"]) for row in rows]
            axes.plot([int(row["epoch"]) for row in rows], values, label=which.replace("_", " "))
        axes.set(title=name.replace("_", " "), xlabel="epoch")
    axes.legend()
    figure.savefig(path, dpi=120)


def _be_quiet() -> None:
    """Silence advice of Lightning that is not for the user of this program."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for text in (
        ".*does not have many workers.*",  # samples come from a store, not from slow decoding
        ".*isinstance.treespec, LeafSpec.*",  # between Lightning and torch
        ".*Checkpoint directory .* exists and is not empty.*",  # to go on from
        ".*number of training batches.*",  # few, when the library is small
        ".*module.s. in eval mode.*",  # the frozen encoders
    ):
        warnings.filterwarnings("ignore", text)
