"""``fit``: trains a decoder on a library's own frames, masks and flows, without annotations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError
from pipeline.plan import steps_for
from pipeline.stage import Clip, Step
from pipeline.store.store import Store
from stages.catalogue import Engine, build_steps
from steadymask.cli.clip_pairing import chosen_readers, pair_masks
from steadymask.cli.execution import prepare
from steadymask.cli.options import add_library, locked_folder, read_settings, say

if TYPE_CHECKING:
    from steadymask.training.stored_library import StoredLibrary

TRAINED_ON = {"aligned": ("segment", "flow", "refine"), "deeplab": ("segment", "flow")}
RATES = {"aligned": 1e-4, "deeplab": 1e-5}  # the paper's for its own decoder
EPILOG = """\
Runs what is not cached yet of ingest, segment, flow and voting, then trains. OUT/fit/METHOD then
holds checkpoints and the curves of the losses; the same command goes on after the last epoch."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="run_pipeline.py fit",
        description="Fit a decoder to a library, without annotations.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_library(parser)
    parser.add_argument("--method", choices=("aligned", "deeplab"), default="aligned")
    parser.add_argument(
        "--weights", default="", help="to start from (aligned: those that come with it)"
    )
    parser.add_argument(
        "--encoder-weights", default="", help="of deeplab: path; empty downloads torchvision's"
    )
    parser.add_argument("--to", type=Path, help="file to write (OUT/fit/METHOD.safetensors)")
    parser.add_argument("--epochs", type=int, default=20, help="at most")
    parser.add_argument("--samples", type=int, default=400, help="of an epoch")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--side", type=int, default=256, help="of a sample, pixels")
    parser.add_argument(
        "--rate", type=float, default=0.0, help="of Adam (aligned 1e-4, deeplab 1e-5)"
    )
    parser.add_argument("--data-weight", type=float, default=1.0, help="of staying near the masks")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    options = build_parser().parse_args(arguments)
    if options.footage is None or options.out is None or not (options.masks or options.segmenter):
        raise ConfigError("expected FOOTAGE, --out, and either --masks or --segmenter; see --help")
    settings, source = read_settings(options)
    voting = dict(settings.get("refine", {})) | {"method": "vote"}
    everything, engine = build_steps({**settings, "refine": voting}, source)
    steps = steps_for(everything, TRAINED_ON[options.method])
    clips, unpaired, _ = pair_masks(
        options.footage, options.masks, follow_links=options.follow_links,
        readers=chosen_readers(settings),
    )  # fmt: skip
    for name, reason in unpaired.items():
        say(f"{name}: left out: {reason}")
    with locked_folder(options.out):
        store = Store(options.store or str(options.out / ".store"))
        clips = prepare("fit", options, clips, steps, store, engine)
        refine = next(step for step in everything if step.name == "refine")
        _fit_decoder(options, clips, steps, store, engine, refine)
    return 0


def _fit_decoder(
    options: argparse.Namespace,
    clips: list[Clip],
    steps: list[Step],
    store: Store,
    engine: Engine,
    refine: Any,
) -> None:
    """Train on what is cached."""
    from steadymask.training.fit import DecoderFitSettings, fit
    from steadymask.training.stored_library import StoredLibrary

    if not clips:
        raise ConfigError("fit: no clip is left to fit on")
    library = StoredLibrary(clips, steps, store, engine.chunk)
    decoder = _starting_decoder(options, library)
    settings = DecoderFitSettings(
        method=options.method, epochs=options.epochs, samples=options.samples,
        batch=options.batch, side=options.side, seed=options.seed,
        rate=options.rate or RATES[options.method], data_weight=options.data_weight,
    )  # fmt: skip
    to = options.to or options.out / "fit" / f"{options.method}.safetensors"
    fit(
        decoder, library, settings, options.out / "fit" / options.method, to,
        radius=refine.radius, appearance=refine.appearance, tell=say,
    )  # fmt: skip
    say(f"fitted: {to}\nuse it: --set refine.method={options.method} --set refine.weights={to}")


def _starting_decoder(options: argparse.Namespace, library: StoredLibrary) -> Any:
    """Return the decoder to start from."""
    from stages.models.decoders.load import SHIPPED, build_decoder, load_decoder

    if options.weights or options.method in SHIPPED:
        # A copy: the one loaded is shared by whoever asks for it.
        return deepcopy(load_decoder(options.method, options.weights)).train()
    return build_decoder(
        options.method, classes=library.classes + 1, encoder_weights=options.encoder_weights
    )
