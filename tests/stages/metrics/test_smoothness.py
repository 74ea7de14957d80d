"""E_smooth equals its equation, class by class and pixel by pixel, plain and merged by argmax."""

import numpy as np
import pytest

from stages.metrics.stability import merged_restlessness, restlessness

SIGMA = 1.3


def smoothed(labels, t, classes):
    """Return the Gaussian mean in time of the one-hot classes at frame t, (classes, H, W)."""
    reach = int(np.ceil(3 * SIGMA))
    times = [k for k in range(t - reach, t + reach + 1) if 0 <= k < len(labels)]
    weights = np.array([np.exp(-0.5 * ((k - t) / SIGMA) ** 2) for k in times])
    weights /= weights.sum()
    return np.array(
        [sum(w * (labels[k] == c) for w, k in zip(weights, times, strict=True))
         for c in range(classes)]
    )  # fmt: skip


@pytest.mark.parametrize("classes", [2, 4])
def test_equals_its_equation(classes):
    labels = np.random.default_rng(classes).integers(0, classes, (9, 5, 6), np.uint8)
    plain = restlessness(labels, range(9), sigma=SIGMA)
    merged = merged_restlessness(labels, range(9), sigma=SIGMA)
    for t in range(9):
        mean = smoothed(labels, t, classes)
        winner = mean.argmax(axis=0)
        own = np.array([labels[t] == c for c in range(1, classes)], float)
        theirs = np.array([winner == c for c in range(1, classes)], float)
        assert plain[t] == pytest.approx(np.sqrt(((own - mean[1:]) ** 2).sum()))
        assert merged[t] == pytest.approx(np.sqrt(((own - theirs) ** 2).sum()))


def test_of_classes_that_weigh_the_same_the_lowest_wins():
    labels = np.array([2, 1, 2, 1, 2], np.uint8).reshape(5, 1, 1)
    labels = np.concatenate([labels[1:4], labels[1:4][::-1]])
    whole = merged_restlessness(labels, range(6), sigma=1e6)  # three of each: a tie
    assert whole == [pytest.approx(np.sqrt(2.0) if label == 2 else 0.0) for label in labels.ravel()]
