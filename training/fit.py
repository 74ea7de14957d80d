"""Fits a decoder to a library, on Lightning: checkpoints, resuming, early stop, several GPUs."""

from __future__ import annotations

import csv
import json
import logging
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, Dataset

from pipeline.errors import PipelineError
from pipeline.keys import digest_json
from stages.models.decoder_aligned import AlignedDecoder
from stages.models.decoder_deeplab import DeepLabDecoder
from stages.models.decoders import save_decoder
from training.library import Library, Place
from training.objective import Losses, aligned_losses, window_losses
from training.samples import AlignedSamples, Sample, Shape, WindowSamples, pairs_of

PATIENCE = 4  # epochs without a better held-out loss
ALWAYS_THE_SAME = 0  # number of the first held-out sample


@dataclass(frozen=True)
class Settings:
    """How to fit.

    Attributes
    ----------
    method : {"aligned", "deeplab"}
    epochs, samples, batch, side, seed : int
        `samples` of an epoch; `side` of a sample, pixels.
    rate : float
        Of Adam.
    data_weight : float
        λ, of the data term.
    """

    method: str
    epochs: int = 20
    samples: int = 400
    batch: int = 4
    side: int = 256
    seed: int = 0
    rate: float = 1e-4
    data_weight: float = 1.0


def fit(
    decoder: AlignedDecoder | DeepLabDecoder,
    library: Library,
    settings: Settings,
    folder: Path,
    to: Path,
    *,
    radius: int,
    appearance: float,
    tell: Callable[[str], None],
) -> None:
    """Fit a decoder to a library and write the best of it.

    The same call goes on after the last finished epoch of one that was stopped. `losses.csv` and
    `losses.png` in `folder` show how it went.

    Parameters
    ----------
    decoder : AlignedDecoder or DeepLabDecoder
        To start from.
    library : Library
        With the artifacts of ingest, segment, flow and refine.
    settings : Settings
    folder : Path
        For checkpoints and curves.
    to : Path
        A .safetensors file.
    radius, appearance : int, float
        Of flow and voting, as the library has them.
    tell : callable
        Takes a line for the user now and then.

    Raises
    ------
    InputError
        If the library is too short.
    PipelineError
        If the loss is not finite.
    """
    _be_quiet()
    folder.mkdir(parents=True, exist_ok=True)
    window = int(decoder.settings["window"])
    shape = Shape(window, radius, appearance, min(settings.side, library.side))
    train, held_out = library.places(apart=window + radius)
    tell(f"fit: {len(train)} frames to train on, {len(held_out)} held out")
    lightning.seed_everything(settings.seed, verbose=False)
    module = _Fit(decoder, settings, _losses_of(settings, shape))
    data = _Data(library, train, held_out, shape, settings)
    best = ModelCheckpoint(folder, "best", monitor="held_out_total", save_last=True)
    best.CHECKPOINT_NAME_LAST = "last"
    stop = EarlyStopping("held_out_total", patience=PATIENCE, check_finite=False)
    trainer = lightning.Trainer(
        default_root_dir=folder, max_epochs=settings.epochs, logger=False,
        callbacks=[_Curves(folder, tell), stop, best],
        precision="bf16-mixed" if torch.cuda.is_available() else "32-true",
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    last = _to_go_on_from(folder, settings, library, tell)
    trainer.fit(module, datamodule=data, ckpt_path=last, weights_only=True)
    if trainer.is_global_zero:
        state = torch.load(best.best_model_path, weights_only=True)["state_dict"]
        module.load_state_dict(state)
        to.parent.mkdir(parents=True, exist_ok=True)
        save_decoder(to, decoder)


def _losses_of(settings: Settings, shape: Shape) -> Callable[..., Losses]:
    if settings.method == "aligned":
        return partial(aligned_losses, data_weight=settings.data_weight)
    pairs = pairs_of(shape.window, shape.radius)
    return partial(window_losses, pairs=pairs, data_weight=settings.data_weight)


def _to_go_on_from(
    folder: Path, settings: Settings, library: Library, tell: Callable[[str], None]
) -> Path | None:
    """Return the last checkpoint if it is of this very task, else start afresh and say so."""
    task = digest_json({"settings": asdict(settings), "library": list(library.digest)})
    about, last = folder / "task.json", folder / "last.ckpt"
    before = json.loads(about.read_text())["task"] if about.exists() else None
    if before != task:
        for path in (*folder.glob("*.ckpt"), folder / "losses.csv"):
            path.unlink(missing_ok=True)
        if before is not None:
            tell("fit: other settings or another library than before: starting afresh")
        about.write_text(json.dumps({"task": task}))
        return None
    if not last.exists():
        return None
    tell(f"fit: going on from {last}")
    return last


class _Data(lightning.LightningDataModule):
    """Other samples each epoch, the same ones held out."""

    def __init__(
        self,
        library: Library,
        train: list[Place],
        held_out: list[Place],
        shape: Shape,
        settings: Settings,
    ) -> None:
        super().__init__()
        kind = AlignedSamples if settings.method == "aligned" else WindowSamples
        self._settings = settings
        few = max(settings.samples // 5, 1)
        fixed = range(ALWAYS_THE_SAME, ALWAYS_THE_SAME + few)
        self._held_out: Dataset[Sample] = kind(library, held_out, fixed, shape, settings.seed + 1)
        self._train = partial(kind, library, train, shape=shape, seed=settings.seed)

    def train_dataloader(self) -> DataLoader[Sample]:
        """Return this epoch's samples."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        count = self._settings.samples
        numbers = range(epoch * count, (epoch + 1) * count)
        return DataLoader(self._train(numbers=numbers), batch_size=self._settings.batch)

    def val_dataloader(self) -> DataLoader[Sample]:
        """Return the held-out samples."""
        return DataLoader(self._held_out, batch_size=self._settings.batch)


class _Fit(lightning.LightningModule):
    def __init__(
        self, decoder: nn.Module, settings: Settings, losses: Callable[..., Losses]
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self._settings, self._losses = settings, losses

    def training_step(self, batch: Sample) -> torch.Tensor:
        """Return the loss of a batch."""
        return self._logged("train", batch)

    def validation_step(self, batch: Sample) -> None:
        """Log the loss of a held-out batch."""
        self._logged("held_out", batch)

    def _logged(self, which: str, batch: Sample) -> torch.Tensor:
        losses = self._losses(self.decoder, batch)
        if not torch.isfinite(losses["total"]):
            values = {name: float(value) for name, value in losses.items()}
            raise PipelineError(
                f"fit: expected finite losses, got {values} in epoch {self.current_epoch}: "
                "use a smaller --rate"
            )
        size = len(next(iter(batch.values())))
        for name, value in losses.items():
            self.log(f"{which}_{name}", value, on_epoch=True, on_step=False, batch_size=size)
        return losses["total"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam on what is not frozen."""
        free = [p for p in self.decoder.parameters() if p.requires_grad]
        return torch.optim.Adam(free, lr=self._settings.rate)


class _Curves(Callback):
    """Writes every epoch's losses as a line of CSV and as a picture."""

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self._folder, self._tell = folder, tell

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Add an epoch."""
        if not trainer.is_global_zero:
            return
        path, epoch = self._folder / "losses.csv", trainer.current_epoch
        rows = [row for row in _read_rows(path) if int(row["epoch"]) < epoch]
        found = {name: f"{float(value):.6f}" for name, value in trainer.callback_metrics.items()}
        rows.append({"epoch": str(epoch)} | dict(sorted(found.items())))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[-1]))
            writer.writeheader()
            writer.writerows(rows)
        _plot(rows, self._folder / "losses.png")
        self._tell(
            f"fit: epoch {epoch}: loss {found['train_total']}, held out {found['held_out_total']} "
            f"(consistency {found['held_out_consistency']}, data {found['held_out_data']})"
        )


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _plot(rows: list[dict[str, str]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, 3), ("total", "consistency", "data"), strict=True):
        for which in ("train", "held_out"):
            values = [float(row[f"{which}_{name}"]) for row in rows]
            axes.plot([int(row["epoch"]) for row in rows], values, label=which.replace("_", " "))
        axes.set(title=name, xlabel="epoch")
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
