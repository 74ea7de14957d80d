"""How still one system's labels are over a clip, frame by frame in constant memory."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from stages.metrics.stability import (
    SIGMA_S,
    Consistency,
    boundary_pixels,
    consistency_at,
    disagreement,
    merged_restlessness,
    restlessness,
    visible_band,
)
from stages.metrics.temporal import StabilityRate, TemporalOverlap, VspwTemporalOverlap
from stages.ops.ignored_label import IGNORE
from steadymask.evaluation.pools import ClassPool, Pool
from steadymask.evaluation.reference_flow import Link

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
    vspw : bool
        Compute TC as VSPW's public script does, too.
    """

    def __init__(self, radius: int, rate: float, *, vspw: bool = False) -> None:
        self._held: deque[Labels] = deque(maxlen=radius)
        self._consistency, self._overlap = Consistency(), TemporalOverlap()
        self._everywhere, self._local = StabilityRate(), StabilityRate()
        self._smoothness = _RunningSmoothness(SIGMA_S * rate)
        self._boundaries: list[int] = []
        self._band = np.zeros(2, np.int64)
        self._shape = (0, 0)
        self._vspw_overlap = VspwTemporalOverlap() if vspw else None
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
        self._shape = labels.shape[0], labels.shape[1]

    def _add_neighbour(
        self, labels: Labels, before: Labels, link: Link, edges: NDArray[np.bool_] | None
    ) -> None:
        self._overlap.add(labels, before, link.there)
        if self._vspw_overlap is not None:
            self._vspw_overlap.add(before, labels, link.back)
        self._everywhere.add(labels, before, link.there, link.visible)
        if edges is not None:
            self._local.add(labels, before, link.there, link.visible & edges)
        self._band += visible_band(labels, link.visible)

    def values(self) -> dict[str, float]:
        """Return the scores of the clip so far; NaN where there is nothing to score."""
        boundary = float(np.median(self._boundaries)) if self._boundaries else 0.0
        visible_pixels, all_pixels = self._band
        rows, columns = self._shape
        consistency = self._consistency.value(area=rows * columns, boundary=boundary)
        return {
            "E_cons": consistency,
            "E_cons_480": consistency_at(consistency, rows) if rows else math.nan,
            "E_cons_mean": self._consistency.mean(),
            **self._smoothness_scores(boundary),
            "TC": self._overlap.value(),
            **({"TC_vspw": self._vspw_overlap.value()} if self._vspw_overlap else {}),
            "STB": self._everywhere.value(),
            "STB_local": self._local.value(),
            "band_visible": visible_pixels / all_pixels if all_pixels else math.nan,
        }

    def _smoothness_scores(self, boundary: float) -> dict[str, float]:
        """Return eq. 2, its mean a frame, and it with several classes merged by argmax."""
        plain, merged = self._smoothness.finish()
        scores = {"E_smooth": sum(plain), "E_smooth_mean": float(np.mean(plain))}
        if self._smoothness.several:
            scores["E_smooth_merged"] = sum(merged)
        return {name: v / boundary if boundary else math.nan for name, v in scores.items()}

    def pools(self) -> dict[str, Pool]:
        """Return by measure the pixels that the clip adds to a set: those of VSPW's TC."""
        if self._vspw_overlap is None:
            return {}
        return {"TC_vspw": ClassPool(self._vspw_overlap.confusion.class_sums(), "mIoU")}


class _RunningSmoothness:
    """Restlessness of labels that come one by one; holds a block and the Gaussian's reach.

    Attributes
    ----------
    several : bool
        Whether there was more than one foreground class so far; only then are they merged.
    """

    def __init__(self, sigma: float) -> None:
        self._sigma, self._reach = sigma, int(np.ceil(3 * sigma))
        self._held: list[Labels] = []
        self._done = 0  # of those held
        self._plain: list[float] = []
        self._merged: list[float] = []
        self._classes: set[int] = set()

    @property
    def several(self) -> bool:
        return len(self._classes) > 1

    def add(self, labels: Labels) -> None:
        self._held.append(labels)
        self._classes |= set(np.flatnonzero(np.bincount(labels.ravel())).tolist()) - {0, IGNORE}
        if len(self._held) >= self._done + BLOCK + self._reach:
            self._take_labels(self._done + BLOCK)

    def finish(self) -> tuple[list[float], list[float]]:
        if self._done < len(self._held):
            self._take_labels(len(self._held))
        return self._plain, self._merged

    def _take_labels(self, stop: int) -> None:
        frames, labels = range(self._done, stop), np.stack(self._held)
        self._plain += restlessness(labels, frames, sigma=self._sigma)
        self._merged += merged_restlessness(labels, frames, sigma=self._sigma)
        first = max(stop - self._reach, 0)
        del self._held[:first]
        self._done = stop - first
