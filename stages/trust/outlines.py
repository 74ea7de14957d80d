"""Outlines over a window: whether they lie on the picture's edges, and whether they keep still."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.carried_distances import carry_distances
from stages.ops.outlines import DISTANCE_STEPS, count_edge_hits, signed_distance
from stages.trust.structure import RELIABLE, Evidence

POOLED = 8  # frames to either side whose outlines are judged together
EVERY = 4  # of so many frames one is looked at for restless outlines
NEAR = 3  # frames to either side that still an outline
STILL_SIGMA = 25.0  # grey levels: see `stages.ops.carried_distances.carry_distances`
BAND = 6.0  # pixels from its outline within which a frame's mask may change
POOR = 0.36  # share of an outline on the picture's edges below which it fits them poorly
DOUBTFUL = 0.45  # share below which it is worth to look whether outlines are restless
BLUR = 0.7  # pixels: 1 sigma that pictures are blurred by against noise
RESTLESS = 1.2  # pixels that an outline is away from that of its neighbours


class OutlineCounts(NamedTuple):
    """Counts of one class in one frame, or summed over several.

    Attributes
    ----------
    points, hits : float
        Points of the outline with an edge of the picture near, and those on the edge.
    watched, restless : float
        Pixels of the outline that frames on both sides know, and those that they have elsewhere.
    stilled, stilled_hits : float
        As `points` and `hits`, of the mean outline of the frames around.
    """

    points: float
    hits: float
    watched: float
    restless: float
    stilled: float
    stilled_hits: float


def survey_outlines(
    evidence: Evidence,
    trust: NDArray[np.uint8],
    wanted: range,
    classes: int,
    *,
    shot_start: int,
) -> Iterator[NDArray[np.float32]]:
    """Yield the counts of each frame wanted: (C, 6), float32; see `OutlineCounts`.

    Parameters
    ----------
    evidence : Evidence
    trust : ndarray, shape (T, h, w), uint8
        Of all frames within reach of those wanted; outlines in doubt do not count.
    wanted : range
    classes : int
        C.
    shot_start : int
        First frame of the shot: every so many frames from there one is looked at more closely.
    """
    survey = _Survey(evidence, trust)
    for t in wanted:
        out = np.zeros((classes, len(OutlineCounts._fields)), np.float32)
        for c in range(classes):
            out[c, :2] = survey.hits(t, c)
            if (
                (t - shot_start) % EVERY == 0
                and out[c, 0]
                and fits_below(DOUBTFUL, survey.pooled_hits(t, c))
            ):
                out[c, 2:] = survey.restlessness(t, c)
        yield out


def fits_below(share: float, counts: tuple[float, float]) -> bool:
    """Return whether less than a share of outlines, (points, hits), is on the picture's edges."""
    points, hits = counts
    return points > 0 and hits < share * points


class _Survey:
    """Distances and hits, each worked out once."""

    def __init__(self, evidence: Evidence, trust: NDArray[np.uint8]) -> None:
        self._evidence = evidence
        self._distances: dict[tuple[int, int], NDArray[np.int8]] = {}
        self._hits: dict[tuple[int, int], tuple[int, int]] = {}
        self._blurred: tuple[int, NDArray[np.uint8]] = -1, np.zeros((0, 0, 3), np.uint8)
        self._trust = trust

    def hits(self, t: int, c: int) -> tuple[int, int]:
        """Return points and hits of one outline."""
        if (t, c) not in self._hits:
            self._hits[t, c] = count_edge_hits(self._image(t), self._sure(t, self._distance(t, c)))
        return self._hits[t, c]

    def pooled_hits(self, t: int, c: int) -> tuple[float, float]:
        """Return points and hits of the frames around."""
        near = self._evidence.around(range(t, t + 1), POOLED)
        points, hits = np.sum([self.hits(j, c) for j in near], axis=0)
        return float(points), float(hits)

    def restlessness(self, t: int, c: int) -> tuple[float, float, float, float]:
        """Return how far the outline is from its neighbours', and how their mean fits."""
        near = self._evidence.around(range(t, t + 1), NEAR)
        part = self._evidence.between(near)
        own = self._distance(t, c)
        distances = np.stack([self._distance(j, c) for j in near])
        places = np.argwhere(np.abs(own) < BAND * DISTANCE_STEPS).astype(np.int32)
        mean, _, others, _ = carry_distances(
            distances, self._trust[part], self._evidence.images[part], self._evidence.flow[part],
            t - near.start, places, reach=NEAR, appearance=STILL_SIGMA, fading=1.0, own=1.0,
        )  # fmt: skip
        at = own[places[:, 0], places[:, 1]]
        sure = self._sure(t, own)[places[:, 0], places[:, 1]]
        watched = (np.abs(sure) < DISTANCE_STEPS) & ~np.isnan(others)
        away = np.abs(at[watched] - others[watched]) > RESTLESS * DISTANCE_STEPS
        stilled = own.copy()
        stilled[places[:, 0], places[:, 1]] = np.rint(mean).astype(np.int8)
        points, hits = count_edge_hits(self._image(t), self._sure(t, stilled))
        return float(watched.sum()), float(away.sum()), float(points), float(hits)

    def _sure(self, t: int, distance: NDArray[np.int8]) -> NDArray[np.int8]:
        """Return distances without the outlines that are in doubt."""
        doubted = self._trust[t - self._evidence.start] < RELIABLE
        if not doubted.any():
            return distance
        size = distance.shape[::-1]
        large = cv2.resize(doubted.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        return np.where(large > 0, np.int8(127), distance)

    def _image(self, t: int) -> NDArray[np.uint8]:
        """Return a frame's picture without its noise; of the frame asked for last, it is known."""
        if self._blurred[0] != t:
            self._blurred = t, cv2.GaussianBlur(self._evidence.full_images[t], (0, 0), BLUR)
        return self._blurred[1]

    def _distance(self, t: int, c: int) -> NDArray[np.int8]:
        if (t, c) not in self._distances:
            self._distances[t, c] = signed_distance(self._evidence.full_labels[t] == c + 1)
        return self._distances[t, c]
