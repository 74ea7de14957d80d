"""Colours that edges blend between those of areas: told apart by where they lie, and labelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stages.media.masks.raw import unpacked

WITHIN = 3  # levels that rounding moves a blend off the line between two colours
OVERSHOOT = 56  # levels by which sharp interpolation leaves a colour
RARE = 0.02  # share of a frame, above which a colour is no blend there
MOST_PIXELS = 20_000  # of rare colours that are looked at in a frame
DISTANCES = (1, 2, 4, 8)  # pixels, to either side of a blend, at which the blended colours lie
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows and columns
RARER = 20  # times, that a wide blend is rarer than each colour it blends
FEWEST = 3  # blends that tell of blended edges; fewer colours may be thin classes
FEWEST_COLOURS = FEWEST + 2  # of a frame with blends: those and the two that are blended
PLATEAU = 0.05  # share of pixels between others, from which a rare colour of areas may be one
SHARE = 0.5  # of a blend's pixels that lie between the colours it blends
STRAY = 0.25  # share of pixels between others, below which a colour of many pixels is no blend
FEWEST_PIXELS = 6  # of a colour in a frame, that may be told to lie between no others


@dataclass
class BlendCounts:
    """How often rare colours lie between two others that they are a mixture of.

    Attributes
    ----------
    pixels, between : Counter
        Pixels looked at of each packed colour, and those of them with two other colours on
        opposite sides, equally far away, on whose line in colour space theirs lies.
    frames : Counter
        Frames in which each colour was looked at.
    """

    pixels: Counter[int] = field(default_factory=Counter)
    frames: Counter[int] = field(default_factory=Counter)
    between: Counter[int] = field(default_factory=Counter)

    def add(
        self,
        colours: NDArray[np.uint8],
        numbers: NDArray[np.uint32],
        counted: Mapping[int, int],
    ) -> None:
        """Count one frame.

        Parameters
        ----------
        colours : ndarray, shape (H, W, 3), uint8
        numbers : ndarray, shape (H, W), uint32
            The same, packed.
        counted : dict of int to int
            Pixels of each packed colour.
        """
        if len(counted) < FEWEST_COLOURS:
            return
        rare = [number for number, count in counted.items() if count < RARE * numbers.size]
        places = np.flatnonzero(np.isin(numbers, np.array(rare, np.uint32)))
        places = places[:: max(-(-len(places) // MOST_PIXELS), 1)]
        if not len(places):
            return
        kinds = numbers.ravel()[places]
        self.pixels.update(_counted(kinds))
        self.frames.update(np.unique(kinds).tolist())
        self.between.update(_counted(kinds[_lie_between(colours, places)]))

    def share(self, colour: int) -> float:
        """Return the share of a colour's pixels that lie between others, in [0, 1]."""
        return self.between[colour] / self.pixels[colour] if self.pixels[colour] else 0.0

    def find_blends(self, inner: set[int], known: set[int]) -> set[int]:
        """Return the colours that are blends; none where edges are not blended.

        Parameters
        ----------
        inner : set of int
            Colours that fill an area somewhere.
        known : set of int
            Colours of usual palettes, which are classes.
        """
        blends = {c for c in self.pixels if c not in known and self.share(c) >= SHARE}
        others = [c for c in self.pixels if c in blends or c not in inner]
        pixels = sum(self.pixels[c] for c in others)
        between = sum(self.between[c] for c in others)
        return blends if len(blends) >= FEWEST and between >= SHARE * pixels else set()


def _counted(values: NDArray[np.uint32]) -> dict[int, int]:
    kinds, counts = np.unique(values, return_counts=True)
    return dict(zip(kinds.tolist(), counts.tolist(), strict=True))


def _lie_between(colours: NDArray[np.uint8], places: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return whether the pixels at flat indices mix two others on opposite sides of them."""
    height, width = colours.shape[:2]
    rows, columns = places // width, places % width
    middle = colours[rows, columns].astype(np.int32)
    between = np.zeros(len(places), np.bool_)
    for distance in DISTANCES:
        for down, right in DIRECTIONS:
            y, x = down * distance, right * distance
            ends = [
                colours[(rows + s * y).clip(0, height - 1), (columns + s * x).clip(0, width - 1)]
                for s in (-1, 1)
            ]
            first, second = (end.astype(np.int32) for end in ends)
            apart = (first != middle).any(axis=1) & (second != middle).any(axis=1)
            between |= apart & (_distance_from_line(middle, first, second) <= WITHIN)
    return between


def _distance_from_line(
    points: NDArray[np.int32], starts: NDArray[np.int32], ends: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Return how far colours lie from the lines between two others, the largest channel counting.

    All are (…, 3), broadcast against each other; the answer is (…).
    """
    away = np.subtract(points, starts, dtype=np.float64)
    along = np.subtract(ends, starts, dtype=np.float64)
    length = np.maximum((along**2).sum(axis=-1), 1)
    share = ((away * along).sum(axis=-1) / length).clip(0, 1)
    distance: NDArray[np.float64] = np.abs(away - share[..., None] * along).max(axis=-1)
    return distance


def separation_from_mixtures(
    points: NDArray[np.integer], corners: NDArray[np.integer], steps: int = 60
) -> NDArray[np.float64]:
    """Return how far colours surely lie outside of all mixtures of others; 0 where they are one.

    Walks towards each from its nearest corner, every step to the corner that leads furthest
    (Gilbert's algorithm [1]_); across each step, the corners' side of a plane bounds the distance
    from below.

    Parameters
    ----------
    points : ndarray, shape (N, 3)
    corners : ndarray, shape (C, 3)
    steps : int

    Returns
    -------
    ndarray, shape (N,), float64
        In levels.

    References
    ----------
    .. [1] Gilbert, "An iterative procedure for computing the minimum of a quadratic form on a
       convex set", SIAM J. Control 4(1), 1966.
    """
    goal, ends = points.astype(np.float64), corners.astype(np.float64)
    mixture = ends[((goal[:, None] - ends) ** 2).sum(axis=2).argmin(axis=1)]
    bound = np.zeros(len(goal))
    for _ in range(steps):
        towards = goal - mixture
        best = ends[(towards @ ends.T).argmax(axis=1)]
        far = np.maximum(np.sqrt((towards**2).sum(axis=1)), 1e-9)
        bound = np.maximum(bound, (towards * (goal - best)).sum(axis=1) / far)
        step = best - mixture
        length = np.maximum((step**2).sum(axis=1), 1e-9)
        mixture = mixture + ((towards * step).sum(axis=1) / length).clip(0, 1)[:, None] * step
    return bound


def distance_from_pairs(areas: Sequence[int], others: Sequence[int]) -> NDArray[np.float64]:
    """Return how far packed colours lie from the nearest line between two areas', in levels."""
    corners = np.array([unpacked(c) for c in areas], np.int32)
    return _nearest_pair(np.array([unpacked(c) for c in others], np.int32), corners)[1]


def find_pure_colours(
    counts: BlendCounts, pixels: Mapping[int, int], inner: Sequence[int]
) -> list[int]:
    """Return the colours of areas, without the plateaus of wide blends between them.

    Parameters
    ----------
    counts : BlendCounts
    pixels : dict of int to int
        Pixels of each packed colour of the clip.
    inner : sequence of int
        Packed colours that fill an area somewhere.
    """
    pure: list[int] = []
    for colour in sorted(inner, key=lambda c: (-pixels[c], c)):
        frequent = [c for c in pure if pixels[c] >= RARER * pixels[colour]]
        if len(frequent) < 2:
            pure.append(colour)
            continue
        corners = np.array([unpacked(c) for c in frequent], np.int32)
        point = np.array([unpacked(colour)], np.int32)
        on_line = _nearest_pair(point, corners)[1][0] <= WITHIN
        mixed = counts.share(colour) >= PLATEAU
        mixed &= bool(separation_from_mixtures(point, corners)[0] <= WITHIN)
        if not on_line and not mixed:
            pure.append(colour)
    return [c for c in inner if c in pure]


def find_strangers(counts: BlendCounts, areas: Sequence[int], others: Sequence[int]) -> list[int]:
    """Return the colours that are neither areas nor mixtures of them: they may be thin classes.

    Parameters
    ----------
    counts : BlendCounts
    areas : sequence of int
        Packed colours of areas.
    others : sequence of int
        Packed colours that may be blends.
    """
    if not others:
        return []
    corners = np.array([unpacked(c) for c in areas], np.int32)
    points = np.array([unpacked(c) for c in others], np.int32)
    near = np.abs(points[:, None] - corners).max(axis=2).min(axis=1) <= OVERSHOOT
    on_line = _nearest_pair(points, corners)[1] <= WITHIN
    outside = ~on_line & (separation_from_mixtures(points, corners) > WITHIN)
    strangers = []
    for k, colour in enumerate(others):
        many = counts.pixels[colour] >= FEWEST_PIXELS * max(counts.frames[colour], 1)
        stray = many and counts.share(colour) < STRAY
        if not near[k] and (outside[k] or (stray and not on_line[k])):
            strangers.append(colour)
    return strangers


def label_blends(labels: Mapping[int, int], others: Sequence[int]) -> dict[int, int]:
    """Return the label of each blend: that of the nearer of the two colours that it blends.

    A blend of red and green is dark, and black may be as near; but it is one of the two. Where no
    two colours blend into it, as where three meet, the nearest colour of all counts.

    Parameters
    ----------
    labels : dict of int to int
        Label of each packed colour of an area.
    others : sequence of int
        Packed colours of the blends.

    Examples
    --------
    >>> label_blends({0: 0, 0xC80000: 1, 0x00C800: 2}, [0x6E5A00, 0x100000])
    {7232000: 1, 1048576: 0}
    """
    if not others:
        return {}
    areas = sorted(labels)
    corners = np.array([unpacked(c) for c in areas], np.int32)
    points = np.array([unpacked(c) for c in others], np.int32)
    distance = ((points[:, None] - corners) ** 2).sum(axis=2)
    pairs, off = _nearest_pair(points, corners)
    rows = np.arange(len(points))
    first, second = pairs[:, 0], pairs[:, 1]
    of_pair = np.where(distance[rows, first] <= distance[rows, second], first, second)
    chosen = np.where(off <= WITHIN, of_pair, distance.argmin(axis=1))
    return {colour: labels[areas[k]] for colour, k in zip(others, chosen.tolist(), strict=True)}


def _nearest_pair(
    points: NDArray[np.int32], corners: NDArray[np.int32]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return for each colour the two corners whose line is nearest, (N, 2), and how far it is."""
    starts, ends = np.triu_indices(len(corners), 1)
    off = np.full(len(points), np.inf)
    pairs = np.zeros((len(points), 2), np.intp)
    for a, b in zip(starts.tolist(), ends.tolist(), strict=True):
        distance = _distance_from_line(points, corners[a], corners[b])
        nearer = distance < off
        off[nearer], pairs[nearer] = distance[nearer], (a, b)
    return pairs, off
