"""Fits a decoder to a library: its losses, its samples, the best of it written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import lightning
import torch
from torch import nn

from pipeline.wording import count_text
from stages.models.decoders.aligned import AlignedDecoder
from stages.models.decoders.deeplab import DeepLabDecoder
from stages.models.decoders.load import save_decoder
from steadymask.training.loop import Batch, Course, Epochs, Fitting, Tell, train
from steadymask.training.objective import Losses, aligned_losses, window_losses
from steadymask.training.samples import AlignedSamples, Shape, WindowSamples, pairs_of
from steadymask.training.stored_library import StoredLibrary


@dataclass(frozen=True)
class DecoderFitSettings:
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
    library: StoredLibrary,
    settings: DecoderFitSettings,
    folder: Path,
    to: Path,
    *,
    radius: int,
    appearance: float,
    tell: Tell,
) -> None:
    """Fit a decoder to a library and write the best of it.

    It goes on where it was stopped, see `steadymask.training.loop.train`.

    Parameters
    ----------
    decoder : AlignedDecoder or DeepLabDecoder
        To start from.
    library : StoredLibrary
        With the artifacts of ingest, segment, flow and refine.
    settings : DecoderFitSettings
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
    window = int(decoder.settings["window"])
    shape = Shape(window, radius, appearance, min(settings.side, library.side))
    places, held_out = library.places(apart=window + radius)
    tell(f"fit: {count_text(len(places), 'frame')} to train on, {len(held_out)} held out")
    if settings.method != "aligned":
        _tell_pairs(shape, tell)
    lightning.seed_everything(settings.seed, verbose=False)
    kind = AlignedSamples if settings.method == "aligned" else WindowSamples
    samples = partial(kind, library, shape=shape)
    data = Epochs(
        lambda numbers: samples(places, numbers=numbers, seed=settings.seed),
        lambda numbers: samples(held_out, numbers=numbers, seed=settings.seed + 1),
        settings.samples,
        settings.batch,
    )
    task = {"settings": asdict(settings), "library": list(library.digest)}
    course = Course("fit", folder, settings.epochs, task, tell)
    if train(_FitTask(decoder, settings.rate, _losses_of(settings, shape)), data, course):
        to.parent.mkdir(parents=True, exist_ok=True)
        save_decoder(to, decoder)


def _tell_pairs(shape: Shape, tell: Callable[[str], None]) -> None:
    """Say how many of a window's ordered pairs flow reaches, and how it would reach all."""
    pairs, every = len(pairs_of(shape.window, shape.radius)), shape.window * (shape.window - 1)
    advice = "" if pairs == every else f": --set flow.radius={shape.window - 1} uses all"
    tell(f"fit: {pairs} of the {every} ordered pairs of a window of {shape.window} frames{advice}")


def _losses_of(settings: DecoderFitSettings, shape: Shape) -> Callable[..., Losses]:
    if settings.method == "aligned":
        return partial(aligned_losses, data_weight=settings.data_weight)
    pairs = pairs_of(shape.window, shape.radius)
    return partial(window_losses, pairs=pairs, data_weight=settings.data_weight)


class _FitTask(Fitting):
    def __init__(self, decoder: nn.Module, rate: float, losses: Callable[..., Losses]) -> None:
        super().__init__()
        self.decoder = decoder
        self._rate, self._losses = rate, losses

    def losses(self, batch: Batch) -> Losses:
        """Return consistency and data term."""
        return self._losses(self.decoder, batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam on what is not frozen."""
        free = [p for p in self.decoder.parameters() if p.requires_grad]
        return torch.optim.Adam(free, lr=self._rate)
