"""Small clips of masks, and ways to write them."""

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as coco

from stages.media.masks.contract import FootageFacts, ReadingChoices
from stages.media.masks.open import open_masks

SIZE = (12, 16)
FRAMES = 4


def labels(*values):
    """Return FRAMES label maps: a square of each value, which moves."""
    out = np.zeros((FRAMES, *SIZE), np.uint16)
    for t in range(FRAMES):
        for k, value in enumerate(values):
            out[t, 1 + 4 * k : 4 + 4 * k, t : t + 4] = value
    return out


def discs(frames=6, size=(48, 64), step=4):
    """Return a disc that moves to the right, (T, H, W) bool."""
    y, x = np.mgrid[: size[0], : size[1]]
    centres = [size[1] // 4 + step * t for t in range(frames)]
    return np.stack([(y - size[0] // 2) ** 2 + (x - c) ** 2 < 12**2 for c in centres])


def blurred(mask, sigma=1.5):
    """Return a mask as a grey matte with soft edges, uint8."""
    return cv2.GaussianBlur(mask.astype(np.uint8) * 255, (0, 0), sigma)


def opened(path, **how):
    """Open masks; `how` are fields of `FootageFacts` and `ReadingChoices`, and other arguments."""
    facts = {"clip": "clip", "frames": FRAMES, "size": SIZE}
    of_footage = {"clip", "frames", "size", "frame_names", "rotation", "aspect"}
    facts |= {name: how.pop(name) for name in of_footage & how.keys()}
    others = {name: how.pop(name) for name in {"known"} & how.keys()}
    return open_masks(path, FootageFacts(**facts), ReadingChoices(**how), **others)


def read(path, **how):
    return np.stack(list(opened(path, **how)))


def folder_of(tmp_path, arrays, write, name="{:05d}.png", start=0):
    """Write one file a frame into a new folder."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for t, array in enumerate(arrays):
        write(folder / name.format(t + start), array)
    return folder


def grey(path, values):
    Image.fromarray(values.astype(np.uint8)).save(path)


def colour(path, values):
    Image.fromarray(np.stack([values.astype(np.uint8)] * 3, axis=-1)).save(path)


def rle(mask):
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}
