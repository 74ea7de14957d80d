"""``refine-labels``: a label set in, the same with labels that follow the pictures out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.plugins import let_import
from pipeline.wording import count_text

EPILOG = """\
SET is a label set of layout davis, voc or cityscapes. OUT is a copy of it with refined labels,
whole or absent; OUT/refined.json says which refiner it was and the share of pixels changed in every
clip.
Without --refiner it is a small network, of any class, that comes with the project.
Exit status: 0 done, 1 a file of the set or the weights cannot be used, 2 cannot start."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="run_pipeline.py refine-labels",
        description="Refine coarse labels of a set before a network is trained on it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", type=Path, metavar="SET", help="label set to refine")
    parser.add_argument("--out", type=Path, required=True, help="new folder for the refined set")
    parser.add_argument(
        "--refiner", default="",
        help="module:function of a picture and a mask, an .onnx model of both, or a .safetensors "
        "file (the shipped one)",
    )  # fmt: skip
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    options = build_parser().parse_args(arguments)
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise ConfigError(f"--out {options.out}: expected a new or empty folder, got one in use")
    if options.out.resolve().is_relative_to(options.data.resolve()):
        raise ConfigError(f"--out {options.out}: expected a folder outside SET, got one inside")
    from stages.media.label_sets.refine import write_refined_set
    from stages.models.refiners.load import load_refiner

    let_import(str(Path.cwd()))
    changed = write_refined_set(
        options.data, options.out, load_refiner(options.refiner), options.refiner
    )
    for name, share in sorted(changed.items()):
        print(f"{name}: {share:.2%} of the pixels changed")
    print(f"refined: {count_text(len(changed), 'clip')}: {options.out}")
    return 0
