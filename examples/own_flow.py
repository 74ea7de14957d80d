"""A flow method of your own: one function, named by ``flow.method``.

Run ``python examples/own_flow.py``. For the command: ``--set flow.method=own_flow:phase_shift``.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import steadymask


def phase_shift(
    first: NDArray[np.uint8], second: NDArray[np.uint8], *, least: float = 0.05
) -> NDArray[np.float32]:
    """Return one shift for the whole picture, by phase correlation: (2, H, W), x before y.

    Parameters
    ----------
    first, second : ndarray, shape (H, W, 3), uint8
    least : float
        Below this response there is no motion; ``flow.options.least``.
    """
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64) for image in (first, second)]
    (dx, dy), response = cv2.phaseCorrelate(grey[0], grey[1])
    shift = (dx, dy) if response >= least else (0.0, 0.0)
    return np.ones((2, *grey[0].shape), np.float32) * np.float32(shift)[:, None, None]


def main() -> steadymask.StableMasks:
    """Return stable masks of a picture that pans."""
    rng = np.random.default_rng(2)
    wide = cv2.GaussianBlur(rng.integers(0, 255, (64, 160, 3), np.uint8), (0, 0), 2)
    labels = np.zeros((64, 160), np.uint8)
    labels[20:45, 50:90] = 1
    frames = np.stack([wide[:, 3 * t : 3 * t + 96] for t in range(8)])
    masks = np.stack([labels[:, 3 * t : 3 * t + 96] for t in range(8)])
    masks[4, 20:30] = 0
    settings = {
        "flow": {
            "method": "own_flow:phase_shift",
            "options": {"least": 0.01},
            "modules": str(Path(__file__).resolve().parent),
        }
    }
    stable = steadymask.stabilize(frames, masks, settings=settings)
    lost = np.count_nonzero(masks[4]), np.count_nonzero(stable.labels[4])
    print(f"pixels of the mask in the frame that has a hole: {lost[0]} before, {lost[1]} after")
    return stable


if __name__ == "__main__":
    main()
