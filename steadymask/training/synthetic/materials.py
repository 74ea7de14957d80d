"""What scenes are made of: photographs, runs of real video, shapes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_fill_holes
from skimage.segmentation import felzenszwalb

from stages.media.footage.timeline import probe, working_size
from stages.media.footage.video import read_frames
from stages.ops.shots import Changes, find_cuts

SHORT_SIDE = 480
SMALLEST, LARGEST = 0.01, 0.5  # share of a picture that a region covers
PHOTOGRAPHS = (
    # Those that scikit-image carries in its package, all free to use (see its data/README.txt).
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png",
    "grass.png", "gravel.png", "horse.png", "hubble_deep_field.jpg", "ihc.png",
    "motorcycle_left.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip

Picture = NDArray[np.uint8]
"""RGB, (H, W, 3)."""


@lru_cache(maxsize=1)
def sample_photographs() -> tuple[Picture, ...]:
    """Return the photographs and textures that come with scikit-image."""
    folder = Path(skimage.__file__).parent / "data"
    return tuple(np.asarray(Image.open(folder / name).convert("RGB")) for name in PHOTOGRAPHS)


def steady_runs(
    video: Path, rng: np.random.Generator, *, frames: int, size: int, each: int
) -> Iterator[list[Picture]]:
    """Yield runs of a video without a cut, each a window of the picture that stays in place.

    Parameters
    ----------
    video : Path
    rng : numpy Generator
    frames : int
        Length of a run.
    size : int
        Rows and columns of the window; the video is shrunk at random, to not less than that.
    each : int
        Windows from every run of frames.
    """
    timeline = probe(video, rate=24.0)
    changes, run_frames = Changes(), []
    for frame in read_frames(video, timeline, size=working_size(timeline.size, SHORT_SIDE)):
        changes.add_frame(frame)
        run_frames.append(frame)
        if len(run_frames) == frames:
            if not find_cuts(changes.values, 3.0):
                for _ in range(each):
                    yield _cut_window(run_frames, rng, size)
            changes, run_frames = Changes(), []


def _cut_window(frames: list[Picture], rng: np.random.Generator, size: int) -> list[Picture]:
    rows, columns = frames[0].shape[:2]
    scale = max(rng.uniform(0.6, 1.2), (size + 2) / min(rows, columns))
    large = round(columns * scale), round(rows * scale)
    y, x = rng.integers(large[1] - size + 1), rng.integers(large[0] - size + 1)
    shrunk = (cv2.resize(frame, large, interpolation=cv2.INTER_AREA) for frame in frames)
    return [np.ascontiguousarray(frame[y : y + size, x : x + size]) for frame in shrunk]


def random_texture(picture: Picture, rng: np.random.Generator, size: int) -> Picture:
    """Return a square piece of a picture, shrunk or enlarged at random."""
    rows, columns = picture.shape[:2]
    scale = max(rng.uniform(0.5, 1.3), (size + 2) / min(rows, columns))
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    large = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=kind)
    y = rng.integers(large.shape[0] - size + 1)
    x = rng.integers(large.shape[1] - size + 1)
    return np.ascontiguousarray(large[y : y + size, x : x + size])


def smooth_noise(rng: np.random.Generator, knots: int, size: int) -> NDArray[np.float32]:
    """Return normal noise at `knots` x `knots` places, smooth in between: (size, size)."""
    coarse = rng.standard_normal((knots, knots)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC))


def shape(rng: np.random.Generator, size: int) -> NDArray[np.bool_]:
    """Return a random shape around the middle: a star of waves, a cloud, or limbs."""
    kind = rng.integers(3)
    rows, columns = np.mgrid[:size, :size].astype(np.float32) - size / 2
    if kind == 0:
        waves = rng.integers(2, 9)
        height = rng.normal(0, 1, waves) / np.arange(1, waves + 1)
        phase = rng.uniform(0, 2 * np.pi, waves)
        angle = np.arctan2(rows, columns * rng.uniform(0.6, 1.6))
        radius = 1 + 0.5 * sum(height[k] * np.cos((k + 1) * angle + phase[k]) for k in range(waves))
        limit = np.maximum(radius, 0.15) * size * rng.uniform(0.15, 0.3)
        return np.asarray(np.hypot(rows, columns) < limit)
    if kind == 1:
        cloud = smooth_noise(rng, int(rng.integers(3, 9)), size)
        cloud = cloud - np.hypot(rows, columns) / size * 3
        return np.asarray(cloud > np.quantile(cloud, rng.uniform(0.6, 0.92)))
    canvas = np.zeros((size, size), np.uint8)
    for _ in range(rng.integers(1, 6)):
        turns = rng.uniform(-0.25, 0.25, (rng.integers(2, 4), 2)).cumsum(0) * size + size / 2
        points = np.vstack([[size / 2, size / 2], turns]).astype(np.int32)
        cv2.polylines(canvas, [points], False, 1, int(rng.integers(4, size // 6)))
    return canvas > 0


def picture_region(picture: Picture, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a part of a picture whose outline follows its edges, as an object's does.

    Grows over neighbouring segments (Felzenszwalb, Huttenlocher 2004), at random, to between a
    thirtieth and a third of the picture. Holes are filled and what is only a few pixels wide is
    left out: objects are made of parts that differ in colour, and are seldom porous. Where the
    picture has no such part, a random `shape`.
    """
    coarseness = float(rng.choice([300, 600, 1200, 2400]))
    least = int(rng.choice([200, 500, 1000]))
    while coarseness > 20:
        segment = _grown_segment(
            felzenszwalb(picture, scale=coarseness, sigma=0.8, min_size=least), rng
        )
        if SMALLEST < segment.mean() < LARGEST:
            return segment
        coarseness, least = coarseness / 3, least // 2
    rows, columns = picture.shape[:2]
    anything = shape(rng, max(rows, columns)).astype(np.uint8)
    return np.asarray(cv2.resize(anything, (columns, rows), interpolation=cv2.INTER_NEAREST) > 0)


def _grown_segment(segments: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a segment near the middle with some of its neighbours, smoothed."""
    count = np.bincount(segments.ravel())
    most = rng.uniform(0.03, 0.35) * segments.size
    middle = segments[tuple(slice(side // 4, -side // 4) for side in segments.shape)]
    starts = [number for number in np.unique(middle) if count[number] < most]
    chosen = segments == (rng.choice(starts) if starts else middle.flat[0])
    ring = np.ones((3, 3), np.uint8)
    for _ in range(40):
        edge = (cv2.dilate(chosen.astype(np.uint8), ring) > 0) & ~chosen
        next_to = np.unique(segments[edge])
        fitting = next_to[count[next_to] + chosen.sum() < 1.3 * most]
        if chosen.sum() > most or not len(fitting):
            break
        chosen |= segments == rng.choice(fitting)
    whole = binary_fill_holes(chosen).astype(np.uint8)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    smooth = cv2.morphologyEx(cv2.morphologyEx(whole, cv2.MORPH_CLOSE, disk), cv2.MORPH_OPEN, disk)
    return np.asarray(smooth > 0)
