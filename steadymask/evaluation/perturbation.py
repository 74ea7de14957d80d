"""Sequences made from one labelled image, with exact flow: the set on which STB is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.ignored_label import IGNORE
from stages.ops.shapes import bind_shapes

Kind = Literal["translation", "rotation", "scaling", "occlusion"]

KINDS: tuple[Kind, ...] = ("translation", "rotation", "scaling", "occlusion")
SEVERITIES = 6
STRENGTHS: dict[Kind, tuple[float, ...]] = {
    "translation": (0.005, 0.01, 0.015, 0.02, 0.03, 0.04),  # of the shorter side, a frame
    "rotation": (1, 2, 3, 4, 6, 8),  # degrees a frame
    "scaling": (0.01, 0.02, 0.03, 0.04, 0.06, 0.08),  # growth or shrinkage a frame
    "occlusion": (0.1, 0.15, 0.2, 0.25, 0.3, 0.35),  # side of the occluder, of the shorter side
}
NOISE = 2.0  # grey levels (sigma)


@dataclass(frozen=True)
class Motion:
    """How one sequence moves.

    Attributes
    ----------
    places : ndarray, shape (T, 3, 3), float64
        For each frame the affine map from the image's pixels (x, y, 1) to the frame's.
    occluders : ndarray, shape (T, 4), int
        Left, top, right, bottom of what covers the picture; all 0 where nothing does.
    """

    places: NDArray[np.float64]
    occluders: NDArray[np.int64]


def random_motion(
    kind: Kind, severity: int, size: tuple[int, int], frames: int, rng: np.random.Generator
) -> Motion:
    """Return a motion; each frame is a perturbation of the one before.

    "Coherent Loss: A generic framework for stable video segmentation", section "Metric": four
    kinds, six severities, 11 frames. The paper gives no strengths; these are in `STRENGTHS`, each
    step in a random direction of that strength.

    Parameters
    ----------
    kind : {"translation", "rotation", "scaling", "occlusion"}
    severity : int
        1 to 6.
    size : (rows, columns)
    frames : int
        The first one is the image itself.
    rng : numpy Generator
    """
    strength = STRENGTHS[kind][severity - 1]
    places = np.tile(np.eye(3), (frames, 1, 1))
    occluders = np.zeros((frames, 4), np.int64)
    for t in range(1, frames):
        if kind == "occlusion":
            occluders[t] = _random_position(strength, size, rng)
        else:
            places[t] = _next_offset(kind, strength, size, rng) @ places[t - 1]
    return Motion(places, occluders)


def _next_offset(
    kind: Kind, strength: float, size: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float64]:
    middle = (size[1] - 1) / 2, (size[0] - 1) / 2
    side = 1 if rng.random() < 0.5 else -1
    turned = np.eye(3)
    if kind == "translation":
        angle, length = rng.uniform(0, 2 * np.pi), strength * min(size)
        turned[:2, 2] = length * np.cos(angle), length * np.sin(angle)
    elif kind == "rotation":
        turned[:2] = cv2.getRotationMatrix2D(middle, side * strength, 1.0)
    else:
        turned[:2] = cv2.getRotationMatrix2D(middle, 0.0, 1.0 + side * strength)
    return turned


def _random_position(
    share: float, size: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    side = max(round(share * min(size)), 1)
    left = int(rng.integers(0, max(size[1] - side, 0) + 1))
    top = int(rng.integers(0, max(size[0] - side, 0) + 1))
    return left, top, left + side, top + side


def perturbed_frame(
    image: NDArray[np.uint8],
    labels: NDArray[np.integer],
    motion: Motion,
    t: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
    """Return a frame and its labels, sampled from the image itself, with slight noise.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), uint8
    labels : ndarray, shape (H, W), uint8 or uint16
    motion : Motion
    t : int
    rng : numpy Generator
        For the noise.

    Returns
    -------
    (frame, labels)
        Labels are 255 where the frame shows what lies beyond the image (the border repeated), and
        0 under the occluder, which is grey.
    """
    dims = bind_shapes(image=(image, "H W 3"), labels=(labels, "H W"))
    size = dims["W"], dims["H"]
    move = motion.places[t][:2]
    frame = cv2.warpAffine(image, move, size, borderMode=cv2.BORDER_REPLICATE)
    moved = cv2.warpAffine(
        labels, move, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT,
        borderValue=IGNORE,
    )  # fmt: skip
    left, top, right, bottom = motion.occluders[t]
    frame[top:bottom, left:right] = 127
    moved[top:bottom, left:right] = 0
    noisy = frame + rng.normal(0, NOISE, frame.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), moved


def exact_flow(
    motion: Motion, i: int, j: int, size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the flow from frame i to frame j, and which pixels of i frame j shows too.

    Returns
    -------
    (flow, seen) : ndarrays, shape (2, H, W) float32 and (H, W) bool
        Flow in pixels, x before y, of the image, also under an occluder. Seen is what shows the
        image in both frames, inside both.
    """
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float64)
    here = np.stack([columns, rows, np.ones(size)])
    source = np.einsum("ab,bhw->ahw", np.linalg.inv(motion.places[i]), here)
    there = np.einsum("ab,bhw->ahw", motion.places[j], source)
    visible = _is_inside(source, size) & _is_inside(there, size)
    visible &= ~_covered_pixels(motion.occluders[i], here) & ~_covered_pixels(
        motion.occluders[j], np.rint(there)
    )
    return (there - here)[:2].astype(np.float32), visible


def _is_inside(places: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    x, y = places[0], places[1]
    slack = 1e-6  # of rounding
    return np.asarray(
        (x >= -slack) & (y >= -slack) & (x <= size[1] - 1 + slack) & (y <= size[0] - 1 + slack)
    )


def _covered_pixels(occluder: NDArray[np.int64], places: NDArray[np.float64]) -> NDArray[np.bool_]:
    left, top, right, bottom = occluder
    x, y = places[0], places[1]
    return np.asarray((x >= left) & (x < right) & (y >= top) & (y < bottom))
