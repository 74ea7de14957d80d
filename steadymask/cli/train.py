"""``train``: trains a per-frame or a video network on a label set."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from stages.models.segmenters.context_blending.settings import (
    CONTEXTS,
    DILATIONS,
    MODELS,
    NetworkSettings,
)
from stages.models.segmenters.spatiotemporal.settings import MODEL as OBJECT_MODEL
from steadymask.cli.options import listed_labels, locked_folder, say
from steadymask.cli.train_object import GENERATED, train_object

if TYPE_CHECKING:
    from stages.models.segmenters.context_blending.network import VideoNetwork

MEMORY = 30  # frames back, where --memory has no number
EPILOG = """\
SET is a label set as the command labels writes it, of layout davis, voc, cityscapes or coco. Where
it holds out no clip, the last fifth of each clip's labelled frames is held out. The epoch with the
best mIoU on held-out labels counts. OUT holds checkpoints, losses.csv and the curves; the same
command goes on after the last epoch. OUT/MODEL.safetensors holds weights, classes and settings:
  run_pipeline.py footage --segmenter tcb:OUT/tcb.safetensors --out results
stcnn learns to tell an object from all else; it takes a set, whose labels are then one, or the word
generated, for scenes of moving layers. The epoch with the least loss of held-out masks counts.
Exit status: 0 done, 2 cannot start, 3 a file of the set or the weights cannot be used."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="run_pipeline.py train",
        description="Train a network that sees one frame (per_frame) or several (tcb, stcnn).",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", choices=(*MODELS, OBJECT_MODEL))
    parser.add_argument(
        "data", type=Path, metavar="SET", help=f"label set to train on; of stcnn also {GENERATED}"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    _add_network(parser)
    parser.add_argument("--epochs", type=int, default=20, help="at most")
    parser.add_argument("--samples", type=int, default=400, help="crops of an epoch")
    parser.add_argument("--batch", type=int, default=4, help="2 or more")
    parser.add_argument("--side", type=int, help="of a crop, pixels (256; stcnn: 96)")
    parser.add_argument("--rate", type=float, default=2e-3, help="of Adam, at the start")
    parser.add_argument("--patience", type=int, default=4, help="epochs without a better one")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def _add_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--context",
        help="ppm, ocr, ppm,ocr or none (tcb: ppm,ocr; per_frame: none); of stcnn temporal, "
        "attention, both (default) or none",
    )
    parser.add_argument("--dilations", help="frames back to the support frames of tcb (3,6,9)")
    parser.add_argument(
        "--memory", type=int, nargs="?", const=MEMORY, default=0, metavar="FRAMES",
        help=f"remember object regions of so many frames back when segmenting ({MEMORY})",
    )  # fmt: skip
    parser.add_argument("--backbone", default="small", help="small or mobilenet_v3_large")
    parser.add_argument(
        "--backbone-weights", default="",
        help="of mobilenet_v3_large: path, or random; empty downloads torchvision's",
    )  # fmt: skip
    parser.add_argument("--weights", type=Path, help="of the same network, to go on from")
    parser.add_argument("--classes", default="", help="labels to learn, as 1,2,5 (all)")
    parser.add_argument(
        "--ignore",
        default="",
        help="labels that count for nothing, as 255 does; 0 where it is void",
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    options = build_parser().parse_args(arguments)
    options.side = options.side if options.side is not None else _usual_side(options.model)
    _check_numbers(options)
    if options.model == OBJECT_MODEL:
        return train_object(options)
    chosen = _network_settings(options, ())
    from steadymask.training.video.clip_samples import LabelSetFrames
    from steadymask.training.video.train import VideoTrainingSettings, check_settings, train_network

    check_settings(chosen)
    frames = LabelSetFrames(
        options.data, ignored=listed_labels("--ignore", options.ignore),
        classes=listed_labels("--classes", options.classes),
    )  # fmt: skip
    network = _starting_network(options, frames.class_ids)
    how = VideoTrainingSettings(
        epochs=options.epochs, samples=options.samples, batch=options.batch, side=options.side,
        seed=options.seed, rate=options.rate, patience=options.patience,
    )  # fmt: skip
    to = options.out / f"{options.model}.safetensors"
    with locked_folder(options.out):
        train_network(network, frames, how, options.out, to, tell=say)
    say(f"trained: {to}")
    say(f"use it: --segmenter {options.model}:{to}")
    return 0


def _usual_side(model: str) -> int:
    return 96 if model == OBJECT_MODEL else 256


def _check_numbers(options: argparse.Namespace) -> None:
    """Refuse numbers that cannot be meant."""
    for name in ("epochs", "samples", "side", "patience", "rate"):
        if getattr(options, name) <= 0:
            raise ConfigError(f"--{name} {getattr(options, name):g}: expected a number above 0")
    if options.batch < 2:  # batch normalisation of pooled maps of 1 × 1
        raise ConfigError(f"--batch {options.batch}: expected 2 or more")
    if options.memory < 0:
        raise ConfigError(f"--memory {options.memory}: expected frames back, 0 or more")


def _network_settings(options: argparse.Namespace, class_ids: tuple[int, ...]) -> NetworkSettings:
    """Return the settings of the network that is asked for."""
    blends = options.model == "tcb"
    context: tuple[str, ...] = CONTEXTS if blends else ()
    if options.context is not None:
        names = () if options.context == "none" else options.context.split(",")
        context = tuple(names)
    dilations: tuple[int, ...] = DILATIONS if blends else ()
    if options.dilations is not None:
        dilations = listed_labels("--dilations", options.dilations)
    return NetworkSettings(
        model=options.model, class_ids=class_ids, backbone=options.backbone, context=context,
        dilations=dilations, memory=options.memory,
    )  # fmt: skip


def _starting_network(options: argparse.Namespace, class_ids: tuple[int, ...]) -> VideoNetwork:
    """Return the network to start from, new or with the weights given."""
    import lightning

    from stages.models.segmenters.context_blending.network import VideoNetwork, load_network
    from steadymask.training.video.train import check_network_classes

    lightning.seed_everything(options.seed, verbose=False)
    settings = _network_settings(options, class_ids)
    if options.weights is None:
        return VideoNetwork(settings, backbone_weights=options.backbone_weights)
    start = load_network(options.weights)
    check_network_classes(start, class_ids, options.weights)
    if (start.settings.backbone, start.settings.context) != (settings.backbone, settings.context):
        raise ConfigError(
            f"--weights {options.weights}: expected a network with --backbone {settings.backbone} "
            f"and --context {','.join(settings.context) or 'none'}, got {start.settings.backbone} "
            f"and {','.join(start.settings.context) or 'none'}: give these options as it has them"
        )
    start.settings = settings  # dilations and memory change no weight
    return start
