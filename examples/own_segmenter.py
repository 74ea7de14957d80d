"""A segmenter of your own: a function from one picture to labels, made stable over time.

Run ``python examples/own_segmenter.py``. The same function serves the command:
``steadymask FOOTAGE --segmenter own_segmenter:find_orange --set segment.classes=[1] --out OUT``,
given in the folder of this file.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import steadymask

SEGMENTER = "own_segmenter:find_orange"


def find_orange(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return labels (H, W) of a picture (H, W, 3): 1 where it is orange. Put your network here.

    It sees one frame at a time and must depend on nothing else.
    """
    red, green, blue = (picture[..., channel].astype(np.int32) for channel in range(3))
    return ((red > 180) & (green < 160) & (blue < 100)).astype(np.uint8)


def make_frames() -> NDArray[np.uint8]:
    """Return frames (T, H, W, 3) with an orange square and light that flickers."""
    rng = np.random.default_rng(1)
    frames = np.full((8, 60, 80, 3), 100, np.uint8)
    for t, frame in enumerate(frames):
        frame[15:40, 10 + 4 * t : 35 + 4 * t] = (185 + rng.integers(-8, 30), 110, 40)
    return frames


def main() -> steadymask.StableMasks:
    """Return the stable masks of the frames."""
    settings = {
        "segment": {
            "segmenter": SEGMENTER,
            "classes": [1],
            "modules": str(Path(__file__).resolve().parent),
            "check": False,  # of the first frames, for networks that are set up wrongly
        }
    }
    frames = make_frames()
    stable = steadymask.stabilize(frames, None, settings=settings)
    single = np.stack([find_orange(frame) for frame in frames])
    print(f"frames with a mask: {single.any(axis=(1, 2)).sum()} alone, "
          f"{stable.labels.any(axis=(1, 2)).sum()} of {len(stable)} made stable")  # fmt: skip
    return stable


if __name__ == "__main__":
    main()
