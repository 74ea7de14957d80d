"""How still one system's labels are over a clip, frame by frame in constant memory."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from stages.metrics.stability import (
    Consistency,
    boundary_pixels,
    disagreement,
    restlessness,
    visible_band,
)
from stages.metrics.temporal import StabilityRate, TemporalOverlap
from steadymask.evaluation.reference_flow import Link

SIGMA_S = 0.15  # of the Gaussian in time; Azulay et al., below eq. 2
BLOCK = 32  # frames smoothed at a time

Labels = NDArray[np.uint8]


class Stability:
    """Running E_cons, E_smooth, TC and STB of one clip.

    Parameters
    ----------
    radius : int
        Pairs up to so many frames apart.
    rate : float
        Frames per second, for E_smooth.
    """

    def __init__(self, radius: int, rate: float) -> None:
        self._held: deque[Labels] = deque(maxlen=radius)
        self._consistency, self._overlap = Consistency(), TemporalOverlap()
        self._everywhere, self._local = StabilityRate(), StabilityRate()
        self._smoothness = _RunningSmoothness(SIGMA_S * rate)
        self._boundaries: list[int] = []
        self._band = np.zeros(2, np.int64)
        self._area = 0
        self.flicker: list[float] = []
        """E_pair(t, t + 1) of every frame but the last; NaN where nothing is visible."""

    def add(self, labels: Labels, links: list[Link], edges: NDArray[np.bool_] | None) -> None:
        """Add a frame.

        Parameters
        ----------
        labels : ndarray, shape (H, W), uint8
        links : list of Link
            To the frames before it, the nearest first.
        edges : ndarray, shape (H, W), bool, optional
            The band around the true edges, for the local STB.
        """
        for link, before in zip(links, reversed(self._held), strict=True):
            there = disagreement(labels, before, link.there, link.visible)
            back = disagreement(before, labels, link.back, link.visible_back)
            self._consistency.add(there, back)
            if before is self._held[-1]:
                self._add_neighbour(labels, before, link, edges)
                frame_consistency = Consistency()
                frame_consistency.add(there, back)
                self.flicker.append(frame_consistency.mean())
        self._held.append(labels)
        self._smoothness.add(labels)
        self._boundaries.append(boundary_pixels(labels))
        self._area = labels.size

    def _add_neighbour(
        self, labels: Labels, before: Labels, link: Link, edges: NDArray[np.bool_] | None
    ) -> None:
        self._overlap.add(labels, before, link.there)
        self._everywhere.add(labels, before, link.there, link.visible)
        if edges is not None:
            self._local.add(labels, before, link.there, link.visible & edges)
        self._band += visible_band(labels, link.visible)

    def values(self) -> dict[str, float]:
        """Return the scores of the clip so far; NaN where there is nothing to score."""
        boundary = float(np.median(self._boundaries)) if self._boundaries else 0.0
        restless = self._smoothness.finish()
        visible_pixels, all_pixels = self._band
        return {
            "E_cons": self._consistency.value(area=self._area, boundary=boundary),
            "E_cons_mean": self._consistency.mean(),
            "E_smooth": float(np.mean(restless)) / boundary if boundary else math.nan,
            "TC": self._overlap.value(),
            "STB": self._everywhere.value(),
            "STB_local": self._local.value(),
            "band_visible": visible_pixels / all_pixels if all_pixels else math.nan,
        }


class _RunningSmoothness:
    """Restlessness of labels that come one by one; holds a block and the Gaussian's reach."""

    def __init__(self, sigma: float) -> None:
        self._sigma, self._reach = sigma, int(np.ceil(3 * sigma))
        self._held: list[Labels] = []
        self._done = 0  # of those held
        self._values: list[float] = []

    def add(self, labels: Labels) -> None:
        self._held.append(labels)
        if len(self._held) >= self._done + BLOCK + self._reach:
            self._take_labels(self._done + BLOCK)

    def finish(self) -> list[float]:
        if self._done < len(self._held):
            self._take_labels(len(self._held))
        return self._values

    def _take_labels(self, stop: int) -> None:
        frames = range(self._done, stop)
        self._values += restlessness(np.stack(self._held), frames, sigma=self._sigma)
        first = max(stop - self._reach, 0)
        del self._held[:first]
        self._done = stop - first
