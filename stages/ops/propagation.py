"""Carry the masks of labelled frames to frames without any, along the motion.

From each labelled frame a class's mask is carried from frame to frame: where flow and picture agree
with it, the carried mask counts; where they do not, the colours of the class and of what surrounds
it decide, within reach of the carried outline. What both sides carry to a frame is mixed by
distance and by how well it was carried (compare VSPW, CVPR 2021, sec. 3.2.2: from both sides, with
checks), and with the classes of the pixels that look most alike in the labelled frames themselves
(`stages.ops.key_matching`), which do not drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes
from stages.ops.source_size import signed_pixel_distance

Floats = NDArray[np.float32]

BINS = 16  # of a colour histogram, a channel
NEAR = 40  # pixels around an object whose colours are those of its surroundings
WINDOW = 20  # pixels to either side in which local colours are gathered
CERTAIN = 4.0  # log odds of what is beyond doubt
BAND = 6.0  # pixels around a well carried outline in which colour may move it
FAR = 35.0  # pixels around an outline that was carried badly
SOFT = 16.0  # pixels over which such an outline is uncertain
GLOBAL_WEIGHT, LOCAL_WEIGHT = 1.2, 0.9  # of the two colour models, where they can tell
FLOW_SHARE = 1.0  # of the weight of colours that a confirmed step takes away
LOOK_ALIKE = 25.0  # grey levels (1 sigma)
ROUND_TRIP = 8.0  # squared pixels that flow there and back may miss
FILTER_RADIUS, FILTER_EPS = 6, 90.0  # guided filter of the log odds, pixels and squared grey levels
DECAY = 0.15  # of confidence in a step that flow and picture do not confirm
DISTANCE_POWER = 1.5  # of the share of the way, in mixing both sides
CONFIDENCE_POWER = 3  # of confidence, by which what was carried gives way to what looks alike
MATCH_WEIGHT = 2.0  # of the log odds of pixels that look exactly alike
UNLIKE = 0.1  # squared distance of descriptors at which a third of that weight is left
EDGE_RADIUS, EDGE_EPS = 2, 30.0  # guided filter of the mixed log odds
SUPPORT = 0.02  # probability from which a class may be at a pixel
AROUND = 1 / 16  # of the height: how far from there pixels are looked for


@dataclass(frozen=True)
class ColourModel:
    """Colours of an object against those of its surroundings.

    Attributes
    ----------
    log_ratio : ndarray, shape (BINS ** 3,), float32
    weight : float, in [0, 1]
        How well they tell the object from its surroundings where that is known.
    """

    log_ratio: Floats
    weight: float

    def __call__(self, picture: NDArray[np.uint8]) -> Floats:
        """Return the log ratio of every pixel of an RGB picture, (H, W)."""
        return self.log_ratio[_colour_bins(picture)]


@dataclass(frozen=True)
class CarriedMask:
    """One class's mask, carried to a frame.

    Attributes
    ----------
    log_odds : ndarray, shape (H, W), float32
        > 0 is the class.
    confidence : ndarray, shape (H, W), float32, in (0, 1]
    """

    log_odds: Floats
    confidence: Floats

    @property
    def probability(self) -> Floats:
        """Return the probability of the class, (H, W)."""
        return np.asarray(1 / (1 + np.exp(-self.log_odds)), np.float32)


def learn_colours(picture: NDArray[np.uint8], mask: Floats) -> ColourModel:
    """Return the colours of an object against its surroundings, from a frame that shows it.

    Parameters
    ----------
    picture : ndarray, shape (H, W, 3), uint8, RGB
    mask : ndarray, shape (H, W), float32, in [0, 1]
    """
    bind_shapes(picture=(picture, "H W 3"), mask=(mask, "H W"))
    inside = (mask > 0.5).astype(np.uint8)
    near = cv2.dilate(inside, np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8)) > 0
    bins = _colour_bins(picture)
    front, back = _colour_histogram(bins, mask), _colour_histogram(bins, (1 - mask) * near)
    ratio = np.clip(np.log((front + 1e-5) / (back + 1e-5)), -CERTAIN, CERTAIN).astype(np.float32)
    return ColourModel(ratio, _class_separation(ratio[bins], mask, near))


def carry_on(
    own: CarriedMask,
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    back: Floats,
    there: Floats,
    colours: ColourModel,
    *,
    local_weight: float,
) -> CarriedMask:
    """Return a mask carried from one frame to a neighbour.

    Parameters
    ----------
    own : CarriedMask
        On the frame that it comes from.
    before, after : ndarray, shape (H, W, 3), uint8
        That frame and the one that it is carried to, RGB.
    back, there : ndarray, shape (2, H, W), float32
        Flow from `after` to `before`, on the grid of `after`, and the other way; pixels.
    colours : ColourModel
    local_weight : float, in [0, 1]
        Of local colours; see `local_separation`.
    """
    x, y, inside = flow_targets(back)
    odd = back + np.stack([sample_plane(axis, x, y) for axis in there])
    confirmed = np.exp(-(odd**2).sum(axis=0) / ROUND_TRIP) * inside
    unlike = ((sample_plane(before.astype(np.float32), x, y) - after) ** 2).sum(axis=-1)
    reliable = (confirmed * np.exp(-unlike / (2 * LOOK_ALIKE**2))).astype(np.float32)
    prior = sample_plane(own.probability, x, y)
    distance = signed_pixel_distance(prior > 0.5, reach=FAR)
    doubtful = np.clip(distance / SOFT, -1, 1) * CERTAIN
    odds: Floats = reliable * _log_odds(prior) + (1 - reliable) * doubtful
    doubt = 1 - FLOW_SHARE * reliable  # colour decides where flow and picture do not
    local = _local_ratio(after, before, own.probability)
    evidence = GLOBAL_WEIGHT * colours.weight * colours(after) + LOCAL_WEIGHT * local_weight * local
    odds = np.asarray(odds + doubt * evidence, np.float32)
    odds = cv2.ximgproc.guidedFilter(after, odds.astype(np.float32), FILTER_RADIUS, FILTER_EPS)
    open_to_change = (np.abs(distance) < BAND) | ((reliable < 0.3) & (np.abs(distance) < FAR))
    odds = np.where(open_to_change, odds, np.sign(distance) * CERTAIN).astype(np.float32)
    confidence = sample_plane(own.confidence, x, y) * (1 - DECAY + DECAY * reliable)
    return CarriedMask(odds, np.clip(confidence, 1e-3, 1).astype(np.float32))


def local_separation(picture: NDArray[np.uint8], mask: Floats) -> float:
    """Return how well local colours tell an object from its surroundings, in [0, 1].

    Parameters
    ----------
    picture : ndarray, shape (H, W, 3), uint8, RGB
    mask : ndarray, shape (H, W), float32, in [0, 1]
    """
    near = np.abs(signed_pixel_distance(mask > 0.5, reach=20)) < 10
    return _class_separation(_local_ratio(picture, picture, mask), mask, near)


def labelled_mask(mask: Floats) -> CarriedMask:
    """Return the mask of a labelled frame, to be carried from there."""
    return CarriedMask(_log_odds(mask), np.ones(mask.shape, np.float32))


def mix_sides(
    sides: Sequence[tuple[CarriedMask, int]],
    picture: NDArray[np.uint8],
    matched: tuple[Floats, Floats],
) -> Floats:
    """Return the probability of a class where one or two sides carried its mask to a frame.

    Parameters
    ----------
    sides : sequence of (CarriedMask, int)
        Each with the number of frames that it was carried, >= 1.
    picture : ndarray, shape (H, W, 3), uint8
        The frame, RGB.
    matched : pair of ndarray, shape (H, W), float32
        Of pixels that look alike in the labelled frames: the probability of the class, and the
        squared distance of descriptors.

    Returns
    -------
    ndarray, shape (H, W), float32, in [0, 1]
    """
    way = sum(frames for _, frames in sides)
    shape = sides[0][0].log_odds.shape
    total, weights = np.zeros(shape, np.float32), np.float32(0)
    for side, frames in sides:
        share = np.float32(1 if len(sides) == 1 else (1 - frames / way) ** DISTANCE_POWER)
        total = total + share * side.confidence**CONFIDENCE_POWER * side.log_odds
        weights = weights + share
    alike = np.float32(MATCH_WEIGHT) * np.exp(-matched[1] / np.float32(UNLIKE))
    odds = np.asarray(total / weights + alike * _log_odds(matched[0]), np.float32)
    odds = cv2.ximgproc.guidedFilter(picture, odds, EDGE_RADIUS, EDGE_EPS)
    return np.asarray(1 / (1 + np.exp(-odds)), np.float32)


def search_region(sides: Sequence[CarriedMask]) -> NDArray[np.bool_]:
    """Return where any of the masks carried to a frame may be, and what surrounds it: (H, W)."""
    support = np.any([side.probability > SUPPORT for side in sides], axis=0)
    reach = 2 * max(round(AROUND * support.shape[0]), 1) + 1
    wider = cv2.dilate(support.astype(np.uint8), np.ones((reach, reach), np.uint8))
    return np.asarray(wider > 0)


def _log_odds(mask: Floats) -> Floats:
    p = np.clip(mask, 0.02, 0.98)
    return np.asarray(np.log(p / (1 - p)), np.float32)


def _colour_bins(picture: NDArray[np.uint8]) -> NDArray[np.int32]:
    coarse = (picture // (256 // BINS)).astype(np.int32)
    return (coarse[..., 0] * BINS + coarse[..., 1]) * BINS + coarse[..., 2]


def _colour_histogram(bins: NDArray[np.int32], weights: Floats) -> NDArray[np.float64]:
    """Return the shares of colours, each bin spread to its neighbours."""
    counts = np.bincount(bins.ravel(), weights=weights.ravel(), minlength=BINS**3)
    cube = counts.reshape(BINS, BINS, BINS)
    for axis in range(3):
        cube = np.moveaxis(cube, axis, 0)
        spread = cube.copy()
        spread[1:] = spread[1:] + 0.5 * cube[:-1]
        spread[:-1] = spread[:-1] + 0.5 * cube[1:]
        cube = np.moveaxis(spread, 0, axis)
    return np.asarray(cube.ravel() / max(cube.sum(), 1e-6))


def _class_separation(ratio: Floats, mask: Floats, near: NDArray[np.bool_]) -> float:
    """Return 0 where a log ratio is right in 60 % of cases or fewer, 1 from 90 % on."""
    front, back = (mask > 0.9) & near, (mask < 0.1) & near
    if front.sum() < 20 or back.sum() < 20:
        return 0.0
    right = 0.5 * ((ratio[front] > 0).mean() + (ratio[back] < 0).mean())
    return float(np.clip((right - 0.6) / 0.3, 0, 1))


def _local_ratio(picture: NDArray[np.uint8], known: NDArray[np.uint8], mask: Floats) -> Floats:
    """Return the log ratio of Gaussians of the colours around, inside and outside, of `known`."""
    image, shown = picture.astype(np.float32), known.astype(np.float32)
    counts, fits = [], []
    for side in (mask > 0.9, mask < 0.1):
        share = side.astype(np.float32)
        count = _box_sum(share) + np.float32(1e-3)
        mean = _box_sum(shown * share[..., None]) / count[..., None]
        square = _box_sum(shown * shown * share[..., None]) / count[..., None]
        variance = np.maximum(square - mean**2, 60)
        counts.append(count)
        fits.append(-0.5 * ((image - mean) ** 2 / variance + np.log(variance)).sum(axis=-1))
    both = (counts[0] > 15) & (counts[1] > 15)
    return np.where(both, np.clip(fits[0] - fits[1], -5, 5), 0).astype(np.float32)


def _box_sum(values: Floats) -> Floats:
    size = (2 * WINDOW + 1, 2 * WINDOW + 1)
    total: Floats = cv2.boxFilter(values, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return total


def flow_targets(flow: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return where flow (2, H, W) leads, columns and rows, and whether that is in the picture."""
    rows, columns = flow.shape[1:]
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    x, y = x + flow[0], y + flow[1]
    return x, y, (x >= 0) & (y >= 0) & (x <= columns - 1) & (y <= rows - 1)


def sample_plane(values: Floats, x: Floats, y: Floats) -> Floats:
    """Return values (H, W, …) at columns x and rows y, those of the border beyond it."""
    sampled: Floats = cv2.remap(
        np.ascontiguousarray(values), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return sampled
