"""``perturb``: labelled images in, short sequences with exact flow out, for the STB measure."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import ConfigError, InputError
from pipeline.wording import count_text
from stages.media.footage.video import read_picture
from stages.media.masks.folder import read_png
from stages.media.masks.palette import write_indexed_png
from steadymask.cli.corrupt import clip_generator, refuse_full
from steadymask.evaluation.perturbation import (
    KINDS,
    SEVERITIES,
    Kind,
    Motion,
    exact_flow,
    perturbed_frame,
    random_motion,
)

SUFFIXES = frozenset((".jpg", ".jpeg", ".png"))
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")  # that scikit-image carries

EPILOG = """\
Writes FOLDER/JPEGImages/<image>-<kind>-<severity>/00000.png and on (PNG, so that the noise is the
noise that was added), FOLDER/Annotations/… likewise, 255 where a frame shows what lies beyond the
image, and FOLDER/flow/….npz with, for every two neighbouring frames t and t + 1, `forward` and
`backward` (T - 1, 2, H, W) float32 in pixels, x before y, and `seen`, `seen_back` (T - 1, H, W)
bool: which pixels the other frame shows too. Exit status: 0 done, 2 cannot start."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="run_pipeline.py perturb",
        description="Make sequences with exact flow from labelled images.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "images", nargs="?", type=Path, help="pictures; without: scikit-image's photographs"
    )
    parser.add_argument("--masks", type=Path, help="a label PNG for each picture, named like it")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="new folder")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument(
        "--severities", nargs="+", type=int, choices=range(1, SEVERITIES + 1),
        default=list(range(1, SEVERITIES + 1)),
    )  # fmt: skip
    parser.add_argument("--frames", type=int, default=11)
    parser.add_argument("--seed", type=int, default=1)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    options = build_parser().parse_args(arguments)
    if options.frames < 2:
        raise ConfigError(f"--frames {options.frames}: expected at least 2")
    if (options.images is None) != (options.masks is None):
        raise ConfigError("expected IMAGES and --masks together, or neither")
    refuse_full(options.to)
    record = {}
    try:
        for stem, image, labels in _image_pairs(options):
            for kind in options.kinds:
                for severity in options.severities:
                    name = f"{stem}-{kind}-{severity}"
                    rng = clip_generator(options.seed, name)
                    motion = random_motion(kind, severity, labels.shape, options.frames, rng)
                    _write_clip(options.to, name, image, labels, motion, rng)
                    record[name] = _manifest_entry(kind, severity, motion)
    except InputError as error:
        raise ConfigError(str(error)) from error
    text = {"seed": options.seed, "clips": record}
    (options.to / "perturbation.json").write_text(json.dumps(text, indent=1) + "\n")
    print(f"{count_text(len(record), 'clip')} of {options.frames} frames: {options.to}")
    return 0


def _manifest_entry(kind: Kind, severity: int, motion: Motion) -> dict[str, object]:
    return {
        "kind": kind,
        "severity": severity,
        "places": motion.places.tolist(),
        "occluders": motion.occluders.tolist(),
    }


def _image_pairs(
    options: argparse.Namespace,
) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.integer]]]:
    """Yield name, picture and labels of every image."""
    if options.images is None:
        for name in PHOTOGRAPHS:
            picture = np.ascontiguousarray(getattr(skimage.data, name)())
            yield name, picture, _middle_region(picture)
        return
    for folder in (options.images, options.masks):
        if not folder.is_dir():
            raise ConfigError(f"{folder}: expected a folder, found none")
    yield from _read_pictures(options)


def _read_pictures(
    options: argparse.Namespace,
) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.integer]]]:
    """Yield the user's own pictures with their labels."""
    pictures = sorted(p for p in options.images.iterdir() if p.suffix.lower() in SUFFIXES)
    if not pictures:
        raise ConfigError(f"{options.images}: expected pictures (.jpg, .png), found none")
    for path in pictures:
        mask = options.masks / f"{path.stem}.png"
        if not mask.is_file():
            raise ConfigError(f"{mask}: expected the labels of {path.name}, found none")
        picture, labels = read_picture(path), read_png(mask).values
        if labels.shape != picture.shape[:2]:
            raise InputError(
                f"{mask}: expected {picture.shape[1]} x {picture.shape[0]} as {path.name}, got "
                f"{labels.shape[1]} x {labels.shape[0]}"
            )
        yield path.stem, picture, labels


def _middle_region(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a mask of a photograph without labels: the superpixel in the middle and around."""
    from skimage.segmentation import slic

    parts = slic(picture, n_segments=24, compactness=12, start_label=1)
    rows, columns = parts.shape
    middle = parts[3 * rows // 8 : 5 * rows // 8, 3 * columns // 8 : 5 * columns // 8]
    return np.isin(parts, np.unique(middle)).astype(np.uint8)


def _write_clip(
    folder: Path,
    name: str,
    image: NDArray[np.uint8],
    labels: NDArray[np.integer],
    motion: Motion,
    rng: np.random.Generator,
) -> None:
    """Write a clip: frames, labels, flow."""
    size = labels.shape[0], labels.shape[1]
    for part in ("JPEGImages", "Annotations"):
        (folder / part / name).mkdir(parents=True)
    for t in range(len(motion.places)):
        frame, moved = perturbed_frame(image, labels, motion, t, rng)
        Image.fromarray(frame).save(folder / "JPEGImages" / name / f"{t:05d}.png")
        write_indexed_png(folder / "Annotations" / name / f"{t:05d}.png", moved)
    pairs = range(len(motion.places) - 1)
    there = [exact_flow(motion, t, t + 1, size) for t in pairs]
    back = [exact_flow(motion, t + 1, t, size) for t in pairs]
    (folder / "flow").mkdir(exist_ok=True)
    np.savez_compressed(
        folder / "flow" / f"{name}.npz",
        forward=np.stack([flow for flow, _ in there]),
        backward=np.stack([flow for flow, _ in back]),
        seen=np.stack([visible for _, visible in there]),
        seen_back=np.stack([visible for _, visible in back]),
    )
