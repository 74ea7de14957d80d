"""What a clip adds to the score of a set: values, or pixels by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.metrics.intervals import resampled_counts
from stages.metrics.semantic import true_class_scores


@dataclass(frozen=True)
class ValuePool:
    """Values of which a set's score is the mean: one an object, or one a window of frames."""

    values: tuple[float, ...]


@dataclass(frozen=True)
class ClassPool:
    """Pixels by class of which a set's score is made.

    Attributes
    ----------
    sums : ndarray, shape (3, classes), int64
        See `stages.metrics.semantic.Confusion.class_sums`.
    score : str
        Which of `stages.metrics.semantic.true_class_scores`.
    """

    sums: NDArray[np.int64]
    score: str


Pool = ValuePool | ClassPool


def pooled_scores(pools: Sequence[Pool], counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the scores of sets in which each clip occurs so many times.

    Parameters
    ----------
    pools : sequence of ValuePool, or of ClassPool
        Of one measure, one a clip.
    counts : ndarray, shape (D, clips), integer

    Returns
    -------
    ndarray, shape (D,), float64
        NaN for a set without a value.
    """
    first = pools[0]
    if isinstance(first, ClassPool):
        stacked = np.stack([pool.sums for pool in pools if isinstance(pool, ClassPool)])
        sums = np.tensordot(counts.astype(np.int64), stacked, axes=1)
        return true_class_scores(sums)[first.score]
    values = [np.asarray(pool.values) for pool in pools if isinstance(pool, ValuePool)]
    totals = np.array([[np.nansum(v), np.count_nonzero(~np.isnan(v))] for v in values])
    summed = counts @ totals
    with np.errstate(invalid="ignore"):
        return np.asarray(summed[:, 0] / summed[:, 1], np.float64)


def pooled_interval(pools: Sequence[Pool]) -> tuple[float, float, float]:
    """Return a set's score and the interval that holds it at 95 %, over clips drawn again.

    The interval is NaN for fewer than two clips; see `stages.metrics.intervals`.
    """
    score = float(pooled_scores(pools, np.ones((1, len(pools)), np.int64))[0])
    if len(pools) < 2 or np.isnan(score):
        return score, float("nan"), float("nan")
    drawn = pooled_scores(pools, resampled_counts(len(pools)))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return score, float(low), float(high)
