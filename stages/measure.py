"""Measure: how still the masks were, how still they are, and how much they changed."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.stage import ArrayHandle, Arrays, Facts, Input, Span, Stage, Window
from stages.arrays import (
    AREAS,
    BOUNDARY,
    CARRIED,
    FLOW,
    INPUT_LABELS,
    OBJECTS,
    OVERLAP,
    PAIRS,
    RESTLESS,
    SMOOTH_LABELS,
    VISIBLE,
    neighbour_offsets,
)
from stages.facts import ClipFacts
from stages.metrics.pair_counts import count_agreement, tile_labels
from stages.metrics.stability import (
    SIGMA_S,
    boundary_pixels,
    joint_counts,
    restlessness,
)
from stages.shared_settings import DEFAULT_RADIUS, Radius


class Measure(Stage):
    """Counts behind E_cons and E_smooth, masks in and out; see `stages.metrics.stability`."""

    name: ClassVar[str] = "measure"
    version: ClassVar[int] = 4
    writes: ClassVar[tuple[ArrayHandle, ...]] = (
        *(PAIRS, OVERLAP, AREAS, BOUNDARY, RESTLESS, CARRIED, OBJECTS),
    )
    uses: ClassVar[tuple[str, ...]] = ("rate", "classes")

    radius: Radius = DEFAULT_RADIUS

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read labels as far as the pairs and the Gaussian reach."""
        reach = max(self.radius, int(np.ceil(3 * SIGMA_S * ClipFacts(facts).rate)))
        return (
            INPUT_LABELS.within(reach),
            SMOOTH_LABELS.within(reach),
            FLOW.within(),
            VISIBLE.within(),
        )

    def run(self, window: Window) -> Arrays:
        """Return counts of every frame, in and out."""
        systems = window[INPUT_LABELS], window[SMOOTH_LABELS]
        count = len(window.frames)
        pairs = np.zeros((count, 2, 2 * self.radius, 2), np.int64)
        labels_count = len(ClipFacts(window.facts).classes) + 1
        carried = np.zeros((count, 2, 2 * self.radius, labels_count, 3), np.int64)
        objects = np.zeros((count, labels_count - 1, 2), np.int64)
        overlap = np.zeros((count, 2), np.int64)
        areas = np.zeros((count, 2, labels_count), np.int64)
        tiles = [_Tiles(labels) for labels in systems]
        unchanged = _unchanged_frames(*systems)
        for row, t in enumerate(window.frames):
            for k, step in enumerate(neighbour_offsets(self.radius)):
                if not systems[0].start <= t + step < systems[0].stop:
                    continue
                # Masks that came out as they went in are counted once.
                own = 1 if {t, t + step} <= unchanged else 2
                carried[row, :, k] = count_agreement(
                    [(labels[t], labels[t + step]) for labels in systems[:own]],
                    [(known[t], known[t + step]) for known in tiles[:own]],
                    window[FLOW][t][k], window[VISIBLE][t][k], labels_count,
                )  # fmt: skip
            shown, _, agreed = carried[row].sum(axis=2).transpose(2, 0, 1)
            pairs[row] = np.stack([shown - agreed, shown], axis=-1)
            table = joint_counts(systems[0][t], systems[1][t], labels_count)
            areas[row], both = (table.sum(axis=1), table.sum(axis=0)), np.diagonal(table)
            objects[row] = np.stack([both, areas[row].sum(axis=0) - both], axis=1)[1:]
            overlap[row] = both[1:].sum(), table.sum() - table[0, 0]
        sigma = SIGMA_S * ClipFacts(window.facts).rate
        changed = len(unchanged) < len(systems[0].array)
        restless = [_restlessness(window, labels, sigma) for labels in systems[: 1 + changed]]
        boundary = [
            [boundary_pixels(labels[t]) for labels in systems[: 1 + changed]] for t in window.frames
        ]
        return {
            "pairs": pairs,
            "overlap": overlap,
            "carried": carried,
            "objects": objects,
            "areas": areas,
            "boundary": np.full((count, 2), np.array(boundary, np.int64)),
            "restless": np.full((count, 2), np.array(restless, np.float64).T),
        }


def _unchanged_frames(before: Span, after: Span) -> set[int]:
    """Return the frames whose labels came out as they went in."""
    frames = range(before.start, before.stop)
    return {t for t in frames if np.array_equal(before[t], after[t])}


def _restlessness(window: Window, labels: Span, sigma: float) -> list[float]:
    own = range(window.start - labels.start, window.stop - labels.start)
    return restlessness(labels.array, own, sigma=sigma)


class _Tiles:
    """The tiles of one label in each frame, worked out where they are asked for."""

    def __init__(self, labels: Span) -> None:
        self._labels = labels
        self._known: dict[int, NDArray[np.int16]] = {}

    def __getitem__(self, t: int) -> NDArray[np.int16]:
        if t not in self._known:
            self._known[t] = tile_labels(self._labels[t])
        return self._known[t]
