"""Measure what finding masks with all readers adds to the start of a run, processor seconds.

Usage: python benchmarks/speed/reader_start.py [--clips 1000] [--pairs 5]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

sys.path[0] = str(Path(__file__).resolve().parents[2])  # this folder has a pipeline.py of its own

from stages.media.masks import pairing  # noqa: E402
from steadymask.cli.clip_pairing import pair_masks  # noqa: E402

FRAMES, SIZE = 3, (24, 32)


def write_library(root: Path, clips: int) -> tuple[Path, Path]:
    """Write footage and masks of tiny clips, a folder of PNG each; return both folders."""
    footage, masks = root / "footage", root / "masks"
    frame = Image.fromarray(np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8))
    mask = Image.fromarray(np.kron(np.eye(2), np.full((12, 16), 255)).astype(np.uint8))
    for clip in range(clips):
        for folder, picture in ((footage, frame), (masks, mask)):
            place = folder / f"clip{clip:05d}"
            place.mkdir(parents=True)
            for number in range(FRAMES):
                picture.save(place / f"{number:05d}.png")
    return footage, masks


def start_s(footage: Path, masks: Path | None) -> float:
    """Return processor seconds until the clips of a library are known, nothing cached."""
    pairing._masks_by_name.cache_clear()
    pairing._set_files.cache_clear()
    start = time.process_time()
    pair_masks(footage, masks)
    return time.process_time() - start


def main() -> None:
    """Print the seconds of one clip and of many, with masks and without, in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    for clips in (1, options.clips):
        with TemporaryDirectory() as folder:
            footage, masks = write_library(Path(folder), clips)
            start_s(footage, masks)
            pairs = [
                (start_s(footage, None), start_s(footage, masks)) for _ in range(options.pairs)
            ]
        without, added = median(p[0] for p in pairs), median(b - a for a, b in pairs)
        print(f"{clips} clips: {without:.3f} s without masks, masks add {added:.3f} s")


if __name__ == "__main__":
    main()
