"""A small data set: a textured square that moves two pixels a frame before a textured wall."""

import cv2
import numpy as np
from PIL import Image

from stages.media.masks.palette import write_indexed_png

SIZE = (64, 96)
FRAMES = 9


def write_clips(root, names=("a", "b"), frames=FRAMES):
    """Write frames, true masks and masks that flicker; return the three folders."""
    rng = np.random.default_rng(0)
    blur = [cv2.GaussianBlur(rng.integers(0, 256, (64, 128, 3), np.uint8), (0, 0), 2) for _ in "ab"]
    for name in names:
        for t in range(frames):
            left = 20 + 2 * t
            picture = blur[0][:, :96].copy()
            picture[20:44, left : left + 24] = blur[1][20:44, :24]
            mask = np.zeros(SIZE, np.uint8)
            mask[20:44, left : left + 24] = 1
            torn = mask.copy()
            if t % 2:
                torn[20:30] = 0
            write(root / "frames" / name / f"{t:05d}.png", picture)
            label(root / "truth" / name / f"{t:05d}.png", mask)
            label(root / "torn" / name / f"{t:05d}.png", torn)
    return root / "frames", root / "truth", root / "torn"


def write(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def label(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_indexed_png(path, labels)
