"""From NumPy arrays to stable masks, and a picture of before and after.

Run ``python examples/arrays_before_after.py [before_after.png]``. Read it from top to bottom, as a
notebook: make frames and flickering masks, make them stable, look at both.
"""

import sys

import matplotlib

matplotlib.use("Agg")  # writes files, needs no screen
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

import steadymask

FRAMES, ROWS, COLUMNS = 12, 120, 160


# %% Frames with a disc that moves, and masks of it that flicker at the edge and have a hole.
def make_clip() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return frames (T, H, W, 3) and labels (T, H, W); put your own arrays here."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    picture = np.stack([90 + 60 * np.sin(x / 9), 90 + 60 * np.cos(y / 7), 0.0 * x + 120], axis=-1)
    frames = np.empty((FRAMES, ROWS, COLUMNS, 3), np.uint8)
    labels = np.zeros((FRAMES, ROWS, COLUMNS), np.uint8)
    for t in range(FRAMES):
        distance = np.hypot(y - 60, x - 45 - 5 * t)
        frames[t] = np.where(distance[..., None] < 28, (230, 120, 40), picture)
        labels[t] = distance < 28 + rng.normal(0, 4)
        if t == FRAMES // 2:
            labels[t, 40:70] = 0
    return frames, labels


# %% One call. Settings are typed: an editor completes them.
def stabilize_clip(frames: NDArray[np.uint8], labels: NDArray[np.uint8]) -> steadymask.StableMasks:
    """Return stable masks; every frame has labels, soft masks and trust."""
    return steadymask.stabilize(frames, labels, settings=steadymask.Settings.from_preset("fast"))


# %% Before and after, and the pixels that changed from each frame to the next.
def plot(
    frames: NDArray[np.uint8], before: NDArray[np.uint8], after: NDArray[np.uint16], path: str
) -> None:
    """Write a picture of three frames before and after."""
    shown = (0, FRAMES // 2, FRAMES - 1)
    _, axes = plt.subplots(2, len(shown), figsize=(9, 5), layout="constrained")
    for row, (title, masks) in enumerate({"before": before, "after": after}.items()):
        for column, t in enumerate(shown):
            axis = axes[row][column]
            axis.imshow(frames[t])
            axis.contour(masks[t] > 0, levels=[0.5], colors="white")
            axis.set_title(f"{title}, frame {t}")
            axis.axis("off")
    plt.savefig(path, dpi=100)
    plt.close()


def main(path: str = "before_after.png") -> float:
    """Run all of it; return how much less the masks change, as a share."""
    frames, labels = make_clip()
    stable = stabilize_clip(frames, labels)
    before = np.count_nonzero(np.diff(labels.astype(np.int32), axis=0))
    after = np.count_nonzero(np.diff(stable.labels.astype(np.int32), axis=0))
    plot(frames, labels, stable.labels, path)
    print(f"pixels that change between frames: {before} before, {after} after: {path}")
    return after / before


if __name__ == "__main__":
    main(*sys.argv[1:2])
