"""Small clips of masks, and ways to write them."""

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
    found = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": found["size"], "counts": found["counts"].decode()}
