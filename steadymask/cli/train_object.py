"""``train stcnn``: trains a network that is later tuned on one true mask."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from stages.models.segmenters.spatiotemporal.settings import (
    MODEL,
    PARTS,
    SpatiotemporalSettings,
)
from steadymask.cli.options import listed_labels, locked_folder, say

if TYPE_CHECKING:
    from stages.models.segmenters.spatiotemporal.network import SpatiotemporalNetwork

GENERATED = "generated"
LEAST_SIDE = 32  # of a picture, for three halvings and a pyramid


def train_object(options: argparse.Namespace) -> int:
    """Train as the options of ``train`` ask for; return the exit status."""
    settings = _network_settings(options)
    _refuse_others(options)
    from steadymask.training.video.clip_samples import LabelSetFrames
    from steadymask.training.video.train_object import (
        ObjectSettings,
        train_on_labels,
        train_on_scenes,
    )

    network = _starting_network(options, settings)
    how = ObjectSettings(
        epochs=options.epochs, samples=options.samples, batch=options.batch, side=options.side,
        seed=options.seed, rate=options.rate, patience=options.patience,
    )  # fmt: skip
    to = options.out / f"{MODEL}.safetensors"
    with locked_folder(options.out):
        if str(options.data) == GENERATED:
            train_on_scenes(network, how, options.out, to, tell=say)
        else:
            frames = LabelSetFrames(
                options.data, ignored=listed_labels("--ignore", options.ignore),
                classes=listed_labels("--classes", options.classes),
            )  # fmt: skip
            train_on_labels(network, frames, how, options.out, to, tell=say)
    say(f"trained: {to}")
    return 0


def _network_settings(options: argparse.Namespace) -> SpatiotemporalSettings:
    """Return the settings of the network that is asked for."""
    if options.context is None:
        return SpatiotemporalSettings()
    names = () if options.context == "none" else tuple(options.context.split(","))
    if unknown := set(names) - set(PARTS):
        raise ConfigError(f"--context {min(unknown)}: expected some of {', '.join(PARTS)}, or none")
    return SpatiotemporalSettings(tuple(part for part in PARTS if part in names))


def _refuse_others(options: argparse.Namespace) -> None:
    """Refuse options that mean nothing here."""
    others = {
        "--dilations": options.dilations is not None, "--memory": options.memory > 0,
        "--backbone": options.backbone != "small", "--backbone-weights": options.backbone_weights,
    }  # fmt: skip
    if str(options.data) == GENERATED:
        others |= {"--classes": options.classes, "--ignore": options.ignore}
    for option, used in others.items():
        if used:
            raise ConfigError(f"train stcnn {options.data}: expected no {option}: leave it out")
    if options.side < LEAST_SIDE:
        raise ConfigError(f"--side {options.side}: expected {LEAST_SIDE} pixels or more")


def _starting_network(
    options: argparse.Namespace, settings: SpatiotemporalSettings
) -> SpatiotemporalNetwork:
    """Return the network to start from, new or with the weights given."""
    import lightning

    from stages.models.segmenters.spatiotemporal.network import (
        SpatiotemporalNetwork,
        load_spatiotemporal,
    )

    lightning.seed_everything(options.seed, verbose=False)
    if options.weights is None:
        return SpatiotemporalNetwork(settings)
    start = load_spatiotemporal(options.weights)
    if start.settings != settings:
        wanted, have = (",".join(each.context) or "none" for each in (settings, start.settings))
        raise ConfigError(
            f"--weights {options.weights}: expected a network with --context {wanted}, got {have}"
        )
    return start
