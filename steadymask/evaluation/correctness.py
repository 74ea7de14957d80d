"""How right one system's labels are over a clip, frame by frame in constant memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stages.metrics.accuracy import boundary_f, jaccard, objects, recall, statistics
from stages.metrics.contour_instability import contour_instability
from stages.metrics.davis_instability import SCALE, davis_instability
from stages.metrics.semantic import Confusion, true_class_scores
from stages.metrics.temporal import VideoConsistency, VspwVideoConsistency
from steadymask.evaluation.pools import ClassPool, Pool, ValuePool

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

    def pools(self) -> Mapping[str, Pool]:
        """Return by measure the share of the clip in a set that is scored as a whole."""


class Objects:
    """J, F and T as the DAVIS benchmark scores them: means over frames, then over objects.

    Parameters
    ----------
    labels : sequence of int
        The objects of the clip's truth.
    contours : bool
        Whether to compute T and our own measure of the contours, which are slow.
    """

    def __init__(self, labels: Sequence[int], *, contours: bool) -> None:
        self._labels, self._contours = labels, contours
        self._series: dict[str, dict[int, list[float]]] = {
            name: {label: [] for label in labels}
            for name in ("J", "F", "recall", *(("T", "contour_change") if contours else ()))
        }
        self._before: dict[int, NDArray[np.bool_]] = {}

    def add(self, labels: Labels, truth: Labels) -> None:
        """Add a frame; 255 in the truth does not count."""
        for label, (ours, true) in objects(labels, truth, self._labels).items():
            self._series["J"][label].append(jaccard(ours, true))
            self._series["F"][label].append(boundary_f(ours, true, tolerance=TOLERANCE))
            self._series["recall"][label].append(recall(ours, true))
            if self._contours:
                self._add_contours(label, ours)

    def _add_contours(self, label: int, mask: NDArray[np.bool_]) -> None:
        before = self._before.get(label)
        if before is not None:
            self._series["T"][label].append(SCALE * davis_instability(before, mask))
            self._series["contour_change"][label].append(contour_instability(before, mask))
        self._before[label] = mask

    def pools(self) -> dict[str, Pool]:
        """Return the scores of each object: J, F, recall and decay, foreground recall, and T."""
        return dict(self._object_scores())

    def _object_scores(self) -> dict[str, ValuePool]:
        out: dict[str, ValuePool] = {}
        for name, series in self._series.items():
            each = [statistics(values) for values in series.values()]
            out[name] = ValuePool(tuple(scores.mean for scores in each))
            if name in ("J", "F"):
                out[f"{name}_recall"] = ValuePool(tuple(scores.recall for scores in each))
                out[f"{name}_decay"] = ValuePool(tuple(scores.decay for scores in each))
        both = zip(out["J"].values, out["F"].values, strict=True)
        out["J&F"] = ValuePool(tuple((j + f) / 2 for j, f in both))
        return out

    def values(self) -> dict[str, float]:
        """Return means over the objects, and the mean of J and F."""
        return {name: mean_of_known(pool.values) for name, pool in self._object_scores().items()}


class Classes:
    """mIoU and what else follows from the confusion matrix, and VC, of a clip's classes."""

    def __init__(self) -> None:
        self._confusion = Confusion(CLASSES)
        self._runs: dict[str, VideoConsistency] = {f"VC{n}": VideoConsistency(n) for n in RUNS}

    def add(self, labels: Labels, truth: Labels) -> None:
        """Add a frame; 255 in the truth does not count."""
        self._confusion.add(labels, truth)
        for run in self._runs.values():
            run.add(labels, truth)

    def pools(self) -> dict[str, Pool]:
        """Return nothing: sets are means over clips."""
        return {}

    def values(self) -> dict[str, float]:
        """Return the scores so far."""
        return {
            "mIoU": self._confusion.mean_iou(),
            "fwIoU": self._confusion.frequency_weighted_iou(),
            "accuracy": self._confusion.pixel_accuracy(),
            "class_accuracy": self._confusion.mean_accuracy(),
            **{name: run.value() for name, run in self._runs.items()},
        }


class VspwClasses:
    """The scores of VSPW's public programs, whose names end in ``_vspw``, and VC of the paper."""

    def __init__(self) -> None:
        self._confusion = Confusion(CLASSES)
        self._runs: dict[str, VideoConsistency] = {f"VC{n}": VideoConsistency(n) for n in RUNS}
        self._runs |= {f"VC{n}_vspw": VspwVideoConsistency(n) for n in RUNS}

    def add(self, labels: Labels, truth: Labels) -> None:
        """Add a frame; 255 in the truth does not count."""
        self._confusion.add(labels, truth)
        for run in self._runs.values():
            run.add(labels, truth)

    def pools(self) -> dict[str, Pool]:
        """Return the pixels by class, and the share of every window."""
        sums = self._confusion.class_sums()
        scores = {f"{name}_vspw": ClassPool(sums, name) for name in true_class_scores(sums)}
        runs = {
            name: ValuePool(tuple(run.shares))
            for name, run in self._runs.items()
            if name.endswith("_vspw")
        }
        return {**scores, **runs}

    def values(self) -> dict[str, float]:
        """Return the scores of the clip by itself."""
        scores = {f"{name}_vspw": v for name, v in self._confusion.true_class_scores().items()}
        return scores | {name: run.value() for name, run in self._runs.items()}


def mean_of_known(values: Sequence[float]) -> float:
    """Return the mean of the values that are not NaN; NaN without any."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
