"""A small library for tests: photographs that pan behind a moving cut-out, and flickering masks."""

import cv2
import numpy as np
import skimage.data

from stages.media.masks.palette import write_indexed_png
from stages.ops.corruption import corrupted_mask

SIZE = (64, 96)


def scene(t, size=SIZE, picture="astronaut"):
    """Return frame t and its true labels: 3 is a disc, 7 a bar."""
    rows, columns = size
    photograph = getattr(skimage.data, picture)()
    left = 60 + t % (photograph.shape[1] - 60 - columns)
    frame = photograph[80 : 80 + rows, left : left + columns].copy()
    labels = np.zeros(size, np.uint16)
    centre = (20 + 2 * t) % columns, rows // 2
    y, x = np.mgrid[:rows, :columns]
    labels[np.hypot(x - centre[0], y - centre[1]) < rows / 5] = 3
    labels[rows - 14 : rows - 4, columns - 30 - t // 2 : columns - 10 - t // 2] = 7
    inside = skimage.data.coffee()[100 : 100 + rows, 100 : 100 + columns]
    frame[labels == 3] = inside[labels == 3]
    frame[labels == 7] = (30, 200, 90)
    return frame, labels


def flicker(labels, rng):
    out = np.zeros_like(labels)
    for label in (3, 7):
        out[corrupted_mask(labels == label, rng, growth=1, displacement=2, blobs=0.1)] = label
    return out


def write_clip(root, name, frames, size=SIZE, cut=None):
    """Write FOOTAGE/name as JPEG and MASKS/name as indexed PNG; return the true labels."""
    footage, masks = root / "footage" / name, root / "masks" / name
    footage.mkdir(parents=True)
    masks.mkdir(parents=True)
    rng, truth = np.random.default_rng(5), []
    for t in range(frames):
        late = cut is not None and t >= cut
        frame, labels = scene(t, size, "coffee" if late else "astronaut")
        cv2.imwrite(str(footage / f"{t:05d}.png"), frame[..., ::-1])
        write_indexed_png(masks / f"{t:05d}.png", flicker(labels, rng))
        truth.append(labels)
    return truth
