"""How sure a mean over clips is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000


def bootstrap_interval(
    values: Sequence[float], *, share: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return the interval that holds the mean over clips with a given confidence.

    Percentiles of the means of 2,000 samples drawn with replacement: Efron and Tibshirani, "An
    introduction to the bootstrap", 1993, ch. 13.

    Parameters
    ----------
    values : sequence of float
        One a clip; NaN are left out.
    share : float, in (0, 1)
    seed : int

    Returns
    -------
    (low, high)
        NaN for fewer than two values: one clip says nothing about others.
    """
    known = np.asarray([value for value in values if not np.isnan(value)], np.float64)
    if len(known) < 2:
        return float("nan"), float("nan")
    from scipy.stats import bootstrap  # half a second

    interval = bootstrap(
        (known,), np.mean, n_resamples=DRAWS, confidence_level=share, method="percentile", rng=seed
    ).confidence_interval
    return float(interval.low), float(interval.high)


def resampled_counts(count: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Return how often each of `count` clips occurs in samples drawn with replacement.

    Returns
    -------
    ndarray, shape (2000, count), int64
    """
    drawn = np.random.default_rng(seed).integers(0, count, (DRAWS, count))
    return np.stack([(drawn == clip).sum(axis=1) for clip in range(count)], axis=1)
