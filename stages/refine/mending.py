"""Mending and stilling over a window: wrong regions from trusted frames, restless outlines."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.stage import Span, Window
from stages.arrays import FLOW, FRAMES, OUTLINES, REPAIRS, TRUST, neighbour_offsets
from stages.ops.carried_distances import CarriedDistances, carry_distances
from stages.ops.fixed_point import pack_mask, unpack_mask
from stages.ops.local_colours import shift_to_colours
from stages.ops.outline_jumps import estimate_jump, neighbour_belief
from stages.ops.outlines import DISTANCE_STEPS, FAR, signed_distance, soft_edge, thin_parts
from stages.trust.outlines import (
    BAND,
    DOUBTFUL,
    EVERY,
    NEAR,
    POOLED,
    POOR,
    STILL_SIGMA,
    OutlineCounts,
    fits_below,
)
from stages.trust.structure import RELIABLE, TRUSTED, WRONG, shrink_frames

FADING = 0.6  # of the weight, for each trusted frame between: near ones know best
REPAIR_SIGMA = 20.0  # grey levels: see `stages.ops.carried_distances.carry_distances`
LEAST = 0.05  # weight of trusted frames from which they are believed
REPAIR_WEIGHT = 0.5  # of what both sides of a bad spell say, beside trusted frames along the flow
GUIDE_RADIUS, GUIDE_EPS = 8, 90.0  # pixels and squared grey levels: edges of such a mask
STIFFNESS = 4.0  # squared frames: see `stages.ops.carried_distances.carry_distances`
ASTRAY = 2.5  # times as far as outlines jump: a neighbour's outline that is so far off is another
COLOUR_JUMP = 1.25  # times as uncertain as its jumps say: what the mean is off by, all frames share
SOFT_EDGE = 1.5  # pixels: 1 sigma of the edges of repaired masks
GAIN = 1.22  # times as much of a stilled outline has to lie on the picture's edges
FLOW_ASTRAY = 0.9  # share of an outline that is away: more than outlines jump by themselves
CHANCE = 0.2  # share of an outline on edges if it were drawn anywhere
BLIND = 0.28  # share of a stilled outline on edges below which it knows nothing of them
STILL = 0.06  # share of an outline that is away from its neighbours', where it follows the motion
THIN = 4  # pixels: half the width of parts whose outlines are not averaged
WATCHED = 0.1  # share of an outline that frames on both sides have to know


class NeighbourWeights(NamedTuple):
    """What neighbours count: see `stages.ops.carried_distances.carry_distances`; in pixels."""

    reach: int
    appearance: float
    fading: float
    own: float
    stiffness: float = np.inf
    tolerance: float = np.inf
    belief: float = 1.0


class Mended(NamedTuple):
    """A frame's soft masks (H, W, C) and labels (H, W), uint8, as they came but for repairs."""

    mask: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def with_classes(self, mask: NDArray[np.uint8], chosen: NDArray[np.bool_]) -> Mended:
        """Return the frame with the soft masks of some classes, (C,), from elsewhere."""
        return Mended(np.where(chosen, mask, self.mask), self.labels)


def is_restless(counts: OutlineCounts) -> bool:
    """Return whether outlines jump from frame to frame beside the picture's edges.

    Where they fit the picture fairly well and yet nearly all are away from their neighbours', it
    is the flow that is astray.
    """
    if not _is_known(counts, DOUBTFUL):
        return False
    astray = counts.restless > FLOW_ASTRAY * counts.watched
    if astray and not fits_below(POOR, (counts.points, counts.hits)):
        return False
    better = counts.stilled_hits * counts.points > GAIN * counts.hits * counts.stilled
    return better and counts.restless > 0.5 * counts.watched


def is_coarse(counts: OutlineCounts) -> bool:
    """Return whether outlines know nothing of the picture's edges, and do not keep still either.

    Small and faint objects miss the edges even where they are drawn by hand; but those drawings
    follow the motion.
    """
    if _is_watched(counts) and counts.restless <= STILL * counts.watched:
        return False
    if counts.points and counts.hits < CHANCE * counts.points:
        return True
    return _is_known(counts, POOR) and counts.stilled_hits < BLIND * counts.stilled


def _is_known(counts: OutlineCounts, share: float) -> bool:
    """Return whether less than a share is on the picture's edges, and both sides can tell."""
    fits = fits_below(share, (counts.points, counts.hits))
    return fits and counts.stilled > 0 and _is_watched(counts)


def _is_watched(counts: OutlineCounts) -> bool:
    """Return whether enough of an outline is known to frames on both sides."""
    return counts.watched > 0 and counts.watched * EVERY >= WATCHED * counts.points


class Mender:
    """Repairs frames of a window; each is worked out once, when it is asked for."""

    def __init__(
        self, window: Window, masks: Span, labels: Span, *, radius: int, reach: int
    ) -> None:
        self._masks, self._labels = masks, labels
        self._trust, self._outlines = window[TRUST], window[OUTLINES]
        self._window, self._radius = window, radius
        unreliable = (self._trust.array < RELIABLE).any(axis=-1)
        self._weights = np.where(unreliable, np.uint8(WRONG), np.uint8(TRUSTED))
        self._reach = reach
        self._distances: dict[tuple[int, int], NDArray[np.int8]] = {}
        self._mended: dict[int, Mended] = {}
        self.classes = self._masks.array.shape[-1]

    @cached_property
    def _flow(self) -> NDArray[np.int16]:
        """Flow to the frame before and the frame after; not read where nothing is carried."""
        steps = neighbour_offsets(self._radius)
        return self._window[FLOW].array[:, [steps.index(-1), steps.index(1)]]

    @cached_property
    def _images(self) -> NDArray[np.uint8]:
        """Pictures on the grid of the flow."""
        return shrink_frames(self._window[FRAMES].array, self._flow.shape[-2:])

    def restless_classes(self, t: int) -> list[int]:
        """Return the classes whose outlines jump around a frame."""
        return [c for c in range(self.classes) if is_restless(self._counts(t, c))]

    def coarse_classes(self, t: int) -> NDArray[np.bool_]:
        """Return whether the outlines of each class miss the picture's edges around a frame."""
        return np.array([is_coarse(self._counts(t, c)) for c in range(self.classes)], np.bool_)

    def _counts(self, t: int, c: int) -> OutlineCounts:
        """Return the counts of a class's outlines in a frame and those around."""
        start = max(t - POOLED, self._outlines.start)
        stop = min(t + POOLED + 1, self._outlines.stop)
        return OutlineCounts(*self._outlines.between(start, stop)[:, c].sum(axis=0).tolist())

    def mended_frame(self, t: int) -> Mended:
        """Return a frame with its wrong regions taken from trusted frames."""
        if t not in self._mended:
            self._mended[t] = self._repaired(t)
            self._mended = {
                j: mended for j, mended in self._mended.items() if j > t - 2 * self._reach
            }
        return self._mended[t]

    def stilled_frame(self, t: int, restless: list[int]) -> Mended:
        """Return a mended frame with the outlines of some classes averaged over time."""
        mended = self.mended_frame(t)
        wrong = self._wrong(t)
        band = np.zeros(wrong.shape, np.bool_)
        for c in restless:
            near = np.abs(self._distance(t, c)) < BAND * DISTANCE_STEPS
            band |= near & ~thin_parts(self._labels[t] == c + 1, radius=THIN)
        places = np.argwhere(band & ~wrong).astype(np.int32)
        if not len(places):
            return mended
        signed = self._own_distances(t, places)
        for c in restless:
            signed[:, c] = self._stilled_distances(t, c, places, signed[:, c])
        near = self._own_background(t, places) > -BAND
        return _with_outlines(mended, places, signed, _leftover(signed, near))

    def _stilled_distances(
        self, t: int, c: int, places: NDArray[np.int32], at: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the distances to an outline averaged over time, and moved to the colours.

        `at` are those of the frame itself, in pixels.
        """
        near = NeighbourWeights(NEAR, STILL_SIGMA, fading=1.0, own=1.0, stiffness=STIFFNESS)
        first = self._carry(t, c, places, near)
        jump = estimate_jump(at, first.mean, first.weight)
        belief = neighbour_belief(at, first.weight, first.scatter, jump=jump)
        mean = self._carry(t, c, places, near._replace(tolerance=ASTRAY * jump, belief=belief))
        own = np.asarray(self._distance(t, c) / DISTANCE_STEPS, np.float32)
        picture = self._window[FRAMES][t]
        return shift_to_colours(
            picture, own, places, mean.mean, mean.weight, jump=COLOUR_JUMP * jump
        )

    def _repaired(self, t: int) -> Mended:
        own = Mended(self._masks[t], self._labels[t])
        wrong = self._wrong(t)
        places = np.argwhere(wrong).astype(np.int32)
        if not len(places):
            return own
        signed = np.empty((len(places), self.classes), np.float32)
        weight = np.zeros(len(places), np.float32)
        known, repaired = np.zeros((2, len(places)), np.bool_)
        for c in range(self.classes):
            carried = self._carry(t, c, places, self._repair_weights)
            signed[:, c], weight = carried.mean, carried.weight
            known |= weight > LEAST
            repair = self._repair(t, c)
            if repair is not None:
                signed[:, c] *= weight
                signed[:, c] += REPAIR_WEIGHT * repair[places[:, 0], places[:, 1]]
                signed[:, c] /= weight + REPAIR_WEIGHT
                known[:] = repaired[:] = True
        background = self._carried_background(t, places, signed)
        leftover = _leftover(signed, background > -FAR)
        background = np.where(repaired, leftover, background)
        return _with_outlines(own, places[known], signed[known], background[known])

    def _carried_background(
        self, t: int, places: NDArray[np.int32], signed: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the distance in pixels to what belongs to no class, as for a class.

        Where classes touch, their carried outlines leave gaps, which are not background.
        """
        if self.classes == 1:
            return -signed[:, 0]
        return self._carry(t, self.classes, places, self._repair_weights).mean

    def _repair(self, t: int, c: int) -> NDArray[np.float32] | None:
        """Return the distance in pixels to the outline that both sides of a bad spell say."""
        small = self._window[REPAIRS][t][..., c]
        if not small.any():
            return None
        size = self._labels.array.shape[1:]
        large = cv2.resize(unpack_mask(small), size[::-1], interpolation=cv2.INTER_LINEAR)
        guided = cv2.ximgproc.guidedFilter(self._window[FRAMES][t], large, GUIDE_RADIUS, GUIDE_EPS)
        return np.asarray(signed_distance(guided > 0.5) / DISTANCE_STEPS, np.float32)

    def _wrong(self, t: int) -> NDArray[np.bool_]:
        """Return where a frame's labels are wrong, at working size."""
        wrong = (self._trust[t] <= WRONG).any(axis=-1)
        size = self._labels.array.shape[1:]
        if not wrong.any():
            return np.zeros(size, np.bool_)
        wider = cv2.dilate(wrong.astype(np.uint8), np.ones((3, 3), np.uint8))
        return np.asarray(cv2.resize(wider, size[::-1], interpolation=cv2.INTER_NEAREST) > 0)

    @property
    def _repair_weights(self) -> NeighbourWeights:
        """Weights of trusted frames; the frame itself counts only where there is none."""
        return NeighbourWeights(self._reach, REPAIR_SIGMA, fading=FADING, own=1e-3)

    def _carry(
        self, t: int, c: int, places: NDArray[np.int32], weights: NeighbourWeights
    ) -> CarriedDistances:
        """Return the distance to an outline as trusted frames around have it, in pixels."""
        first = self._labels.start
        near = range(max(t - weights.reach, first), min(t + weights.reach + 1, self._labels.stop))
        part = slice(near.start - first, near.stop - first)
        settings = weights._replace(tolerance=weights.tolerance * DISTANCE_STEPS)._asdict()
        carried = carry_distances(
            np.stack([self._distance(j, c) for j in near]),
            self._weights[part], self._images[part], self._flow[part], t - near.start, places,
            **settings,
        )  # fmt: skip
        step = np.float32(DISTANCE_STEPS)
        return CarriedDistances(
            carried.mean / step, carried.weight, carried.others / step, carried.scatter / step**2
        )

    def _own_distances(self, t: int, places: NDArray[np.int32]) -> NDArray[np.float32]:
        rows, columns = places.T
        planes = [self._distance(t, c)[rows, columns] for c in range(self.classes)]
        return np.asarray(np.stack(planes, axis=-1) / DISTANCE_STEPS, np.float32)

    def _own_background(self, t: int, places: NDArray[np.int32]) -> NDArray[np.float32]:
        rows, columns = places.T
        distance = self._distance(t, self.classes)[rows, columns]
        return np.asarray(distance / DISTANCE_STEPS, np.float32)

    def _distance(self, t: int, c: int) -> NDArray[np.int8]:
        """Return the signed distance to a class's outline; the class after the last: background."""
        if (t, c) not in self._distances:
            old = [key for key in self._distances if key[0] < t - 3 * self._reach]
            for key in old:
                del self._distances[key]
            label = 0 if c == self.classes else c + 1
            self._distances[t, c] = signed_distance(self._labels[t] == label)
        return self._distances[t, c]


def _leftover(signed: NDArray[np.float32], near: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the distance to what all outlines (N, C) leave over, (N,); none where it is not near.

    Distances in pixels, positive inside.
    """
    return np.where(near, -signed.max(axis=-1), np.float32(-FAR))


def _with_outlines(
    own: Mended,
    places: NDArray[np.int32],
    signed: NDArray[np.float32],
    background: NDArray[np.float32],
) -> Mended:
    """Return masks and labels with outlines put in at places (N, 2).

    `signed` (N, C) are distances in pixels, positive inside; `background` (N,) those of no class.
    """
    mask, labels = own.mask.copy(), own.labels.copy()
    rows, columns = places.T
    best = signed.argmax(axis=-1)
    inside = np.take_along_axis(signed, best[:, None], axis=-1)[:, 0] > background
    labels[rows, columns] = np.where(inside, best + 1, 0).astype(np.uint8)
    soft = soft_edge(signed, sigma=SOFT_EDGE)
    if soft.shape[-1] > 1:
        rest = soft_edge(background, sigma=SOFT_EDGE)
        soft /= (soft.sum(axis=-1) + rest)[:, None]
    mask[rows, columns] = pack_mask(soft)
    return Mended(mask, labels)


def consecutive_runs(frames: list[int]) -> list[range]:
    """Return the runs of frames, which rise, that follow one another without a gap.

    Examples
    --------
    >>> consecutive_runs([2, 3, 4, 7])
    [range(2, 5), range(7, 8)]
    """
    runs: list[range] = []
    for t in frames:
        if runs and t == runs[-1].stop:
            runs[-1] = range(runs[-1].start, t + 1)
        else:
            runs.append(range(t, t + 1))
    return runs
