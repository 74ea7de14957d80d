"""A refine method of your own: one function, named by ``refine.method``.

Run ``python examples/own_refine.py``. For the command, in the folder of this file:
``--set refine.method=own_refine:median --set refine.reach=2``.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import steadymask


def median(
    masks: NDArray[np.float32],
    frames: NDArray[np.uint8],
    flows: Mapping[int, NDArray[np.float32]],
    index: int,
    *,
    least: int = 3,
) -> NDArray[np.float32]:
    """Return the median over time of a frame's mask and of its neighbours'.

    Fit for a camera and an object that stand still: the flow is not used. See
    `stages.refine.plugin` for the arguments; `least` is ``refine.options.least``.
    """
    if len(masks) < least:
        return masks[index]
    middle: NDArray[np.float32] = np.median(masks, axis=0).astype(np.float32)
    return middle


def main() -> steadymask.StableMasks:
    """Return stable masks of a square that stands still and is lost in one frame."""
    frames = np.full((7, 48, 64, 3), 90, np.uint8)
    frames[:, 10:30, 20:44] = (200, 60, 60)
    masks = np.zeros((7, 48, 64), np.uint8)
    masks[:, 10:30, 20:44] = 1
    masks[3] = 0
    settings = {
        "refine": {
            "method": "own_refine:median",
            "reach": 2,
            "options": {"least": 3},
            "modules": str(Path(__file__).resolve().parent),
        }
    }
    stable = steadymask.stabilize(frames, masks, settings=settings)
    before, after = np.count_nonzero(masks[3]), np.count_nonzero(stable.labels[3])
    print(f"pixels of the mask where it is lost: {before} before, {after} after")
    return stable


if __name__ == "__main__":
    main()
