"""How right one system's labels are over a clip, frame by frame in constant memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stages.metrics.accuracy import boundary_f, jaccard, objects, recall, statistics
from stages.metrics.contour_instability import contour_instability
from stages.metrics.semantic import Confusion
from stages.metrics.temporal import VideoConsistency, VspwVideoConsistency

TOLERANCE = 0.008  # of the diagonal; the DAVIS benchmark's
RUNS = (8, 16)  # frames, of VC; Miao et al.
CLASSES = 255

Labels = NDArray[np.uint8]


class Correctness(Protocol):
    """What scores a clip's labels against the truth."""

    def add(self, labels: Labels, truth: Labels) -> None:
        """Add a frame that has a truth."""

    def values(self) -> dict[str, float]:
        """Return the scores so far."""


class Objects:
    """J, F and T as the DAVIS benchmark scores them: means over frames, then over objects.

    Parameters
    ----------
    labels : sequence of int
        The objects of the clip's truth.
    contours : bool
        Whether to compute T, which is slow.
    """

    def __init__(self, labels: Sequence[int], *, contours: bool) -> None:
        self._labels, self._contours = labels, contours
        self._series: dict[str, dict[int, list[float]]] = {
            name: {label: [] for label in labels} for name in ("J", "F", "recall", "T")
        }
        self._before: dict[int, NDArray[np.bool_]] = {}

    def add(self, labels: Labels, truth: Labels) -> None:
        """Add a frame; 255 in the truth does not count."""
        for label, (ours, true) in objects(labels, truth, self._labels).items():
            self._series["J"][label].append(jaccard(ours, true))
            self._series["F"][label].append(boundary_f(ours, true, tolerance=TOLERANCE))
            self._series["recall"][label].append(recall(ours, true))
            if self._contours:
                if label in self._before:
                    wobble = contour_instability(self._before[label], ours)
                    self._series["T"][label].append(wobble)
                self._before[label] = ours

    def values(self) -> dict[str, float]:
        """Return J, F, their mean, recall and decay, foreground recall, and T where wanted."""
        out = {}
        for name in ("J", "F"):
            each = [statistics(series) for series in self._series[name].values()]
            out[name] = _mean_of_known([series_score.mean for series_score in each])
            out[f"{name}_recall"] = _mean_of_known([series_score.recall for series_score in each])
            out[f"{name}_decay"] = _mean_of_known([series_score.decay for series_score in each])
        out["J&F"] = (out["J"] + out["F"]) / 2
        for name in ("recall", *(["T"] if self._contours else [])):
            out[name] = _mean_of_known([statistics(s).mean for s in self._series[name].values()])
        return out


class Classes:
    """mIoU and what else follows from the confusion matrix, and VC, of a clip's classes.

    Parameters
    ----------
    script : bool
        Whether to give VC as the public VSPW script computes it too.
    """

    def __init__(self, *, script: bool) -> None:
        self._confusion = Confusion(CLASSES)
        self._runs: dict[str, VideoConsistency] = {f"VC{n}": VideoConsistency(n) for n in RUNS}
        if script:
            self._runs |= {f"VC{n}_vspw": VspwVideoConsistency(n) for n in RUNS}

    def add(self, labels: Labels, truth: Labels) -> None:
        """Add a frame; 255 in the truth does not count."""
        self._confusion.add(labels, truth)
        for run in self._runs.values():
            run.add(labels, truth)

    def values(self) -> dict[str, float]:
        """Return the scores so far."""
        return {
            "mIoU": self._confusion.mean_iou(),
            "fwIoU": self._confusion.frequency_weighted_iou(),
            "accuracy": self._confusion.pixel_accuracy(),
            "class_accuracy": self._confusion.mean_accuracy(),
            **{name: run.value() for name, run in self._runs.items()},
        }


def _mean_of_known(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
