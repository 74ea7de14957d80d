"""Pictures with exact masks, and coarse masks of them as networks and hurried people draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from steadymask.training.synthetic.flicker import Flicker
from steadymask.training.synthetic.materials import (
    Picture,
    picture_region,
    random_texture,
    sample_photographs,
    steady_runs,
)
from steadymask.training.synthetic.scenes import random_scene

SIZE = 256
RUN = 13  # frames of a run of video, of which one picture is drawn
EACH = 2  # masks of one picture
FROM_PICTURES = 0.5  # share of pictures in which a region is cut out, instead of layers laid
KINDS = ("coarse", "torn", "moved", "polygon", "exact")
SHARES = (0.5, 0.22, 0.08, 0.15, 0.05)

Mask = NDArray[np.bool_]


def labelled_pictures(
    videos: Sequence[Path], count: int, *, seed: int
) -> Iterator[tuple[Picture, Mask]]:
    """Yield pictures (SIZE, SIZE, 3) with an object's exact mask.

    By turns layers of textures with a cut-out in front, and photographs or frames of video of which
    a region along the picture's own edges stands for the object.

    Parameters
    ----------
    videos : sequence of Path
        Unlabelled; may be empty.
    count : int
    seed : int
    """
    rng = np.random.default_rng(seed)
    stills = [
        run[int(rng.integers(RUN))]
        for video in videos
        for run in steady_runs(video, rng, frames=RUN, size=SIZE, each=2)
    ]
    sources = [*sample_photographs(), *stills]
    left = count
    while left > 0:
        drawn = _regions if rng.random() < FROM_PICTURES else _layers
        for picture, mask in list(drawn(rng, sources))[:left]:
            left -= 1
            yield picture, mask


def _regions(
    rng: np.random.Generator, sources: Sequence[Picture]
) -> Iterator[tuple[Picture, Mask]]:
    picture = random_texture(sources[int(rng.integers(len(sources)))], rng, SIZE)
    for _ in range(EACH):
        yield picture, picture_region(picture, rng)


def _layers(rng: np.random.Generator, sources: Sequence[Picture]) -> Iterator[tuple[Picture, Mask]]:
    scene = random_scene(rng, sources, size=SIZE, frames=1)
    pictures, tops = scene.render_frames()
    for k in rng.permutation(np.arange(1, len(scene.layers)))[:EACH]:
        if (tops[0] == k).any():
            yield pictures[0], tops[0] == k


def coarse_mask(rng: np.random.Generator, mask: Mask) -> Mask:
    """Return a mask as a coarse label has it, drawn afresh at each call.

    Kinds: `coarse`, `torn` and `moved` of `Flicker`; `polygon`, corners joined by straight lines,
    as by hand; `exact`, the mask itself, which is to be left alone.

    Parameters
    ----------
    rng : numpy Generator
    mask : ndarray, shape (S, S), bool
        Square.
    """
    kind = str(rng.choice(KINDS, p=SHARES))
    if kind == "exact":
        return mask
    if kind == "polygon":
        return _polygon_mask(rng, mask)
    habit = Flicker(rng, mask.shape[0], kind=kind)
    habit.share = 1.0
    return habit(mask, np.zeros_like(mask))


def _polygon_mask(rng: np.random.Generator, mask: Mask) -> Mask:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    slack, out = float(rng.uniform(1.5, 7.0)), np.zeros(mask.shape, np.uint8)
    for outline in outlines:
        corners = cv2.approxPolyDP(outline, slack, True).astype(np.float64)
        corners += rng.normal(0, slack / 3, corners.shape)
        cv2.fillPoly(out, [np.rint(corners).astype(np.int32)], 1)
    return out > 0
