"""``corrupt``: true masks in, masks as a flickering per-frame network gives them out."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.wording import count_text
from stages.media.masks.folder import read_png
from stages.media.masks.palette import write_indexed_png
from stages.ops.corruption import corrupted_mask, eroded_mask
from stages.ops.ignored_label import IGNORE
from steadymask.evaluation.layouts import find_labels

EPILOG = """\
The grid of Azulay et al., section 4.1: --growth 0 --blobs 0, --erosion 0, 10 or 20 (less right, as
still) and --displacement 0, 4 or 8 (less still).
Exit status: 0 done, 1 bad mask, 2 cannot start."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="run_pipeline.py corrupt",
        description="Make true masks flicker, each object and frame by itself, reproducibly.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("masks", type=Path, help="true masks, a folder a clip")
    parser.add_argument("--to", type=Path, required=True, help="new folder")
    parser.add_argument(
        "--growth", type=int, default=10,
        help="pixels of erosion or dilation, anew in every frame: neither of the paper's axes",
    )  # fmt: skip
    parser.add_argument(
        "--displacement", type=float, default=4.0,
        help="pixels that the knots of a 4 x 4 grid move, anew in every frame; what lies between "
        "them moves by .71 of it on average: the consistency axis",
    )  # fmt: skip
    parser.add_argument(
        "--erosion", type=int, default=0,
        help="pixels taken off on one side, the same in all frames of a clip: the accuracy axis",
    )  # fmt: skip
    parser.add_argument("--blobs", type=float, default=0.1, help="chance of a blob more, and less")
    parser.add_argument("--seed", type=int, default=1)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    options = build_parser().parse_args(arguments)
    lengths = options.growth, options.displacement, options.erosion
    if min(lengths) < 0 or not 0 <= options.blobs <= 1:
        raise ConfigError(
            "--growth, --displacement, --erosion: expected 0 or more; --blobs: 0 to 1"
        )
    clips = find_labels(options.masks)
    refuse_full(options.to)
    for name, files in clips.items():
        folder = options.to / name
        folder.mkdir(parents=True)
        rng = clip_generator(options.seed, name)
        angle = clip_generator(options.seed, f"{name} erosion").uniform(0, 2 * np.pi)
        for path in files.values():
            labels = read_png(path).values
            flickering = _corrupted_labels(labels, rng, angle, options)
            write_indexed_png(folder / f"{path.stem}.png", flickering)
    print(f"{count_text(len(clips), 'clip')}: {options.to}")
    return 0


def clip_generator(seed: int, name: str) -> np.random.Generator:
    """Return random numbers for a clip, the same whatever other clips there are."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def refuse_full(folder: Path) -> None:
    """Refuse to write where there is something already.

    Raises
    ------
    ConfigError
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"--to {folder}: expected a new or empty folder, there is something")


def _corrupted_labels(
    labels: NDArray[np.integer],
    rng: np.random.Generator,
    angle: float,
    options: argparse.Namespace,
) -> NDArray[np.integer]:
    """Return labels with each object corrupted by itself; those with higher numbers on top."""
    binary = set(np.unique(labels).tolist()) <= {0, IGNORE}
    objects = [v for v in np.unique(labels).tolist() if v and (binary or v != IGNORE)]
    out = np.zeros_like(labels)
    for value in objects:
        smaller = eroded_mask(labels == value, pixels=options.erosion, angle=angle)
        mask = corrupted_mask(
            smaller, rng, growth=options.growth, displacement=options.displacement,
            blobs=options.blobs,
        )  # fmt: skip
        out[mask] = value
    if not binary:
        out[labels == IGNORE] = IGNORE
    return out
