import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.metrics.semantic import Confusion


def label_maps(seed, classes=4, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    prediction, truth = rng.integers(0, classes, (2, 9, 13)).astype(dtype)
    truth[rng.random(truth.shape) < 0.1] = 255
    return prediction, truth


def slow(prediction, truth, classes):
    """Every measure by its definition, class by class."""
    counts = truth != 255
    prediction, truth = prediction[counts], truth[counts]
    iou, accuracy, share = [], [], []
    for c in range(classes):
        both, either = (
            ((prediction == c) & (truth == c)).sum(),
            ((prediction == c) | (truth == c)).sum(),
        )
        iou.append(both / either if either else np.nan)
        accuracy.append(both / (truth == c).sum() if (truth == c).any() else np.nan)
        share.append((truth == c).mean())
    return {
        "mean_iou": np.nanmean(iou),
        "frequency_weighted_iou": np.nansum(np.multiply(iou, share)),
        "pixel_accuracy": (prediction == truth).mean(),
        "mean_accuracy": np.nanmean(accuracy),
    }


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([np.uint8, np.uint16]))
def test_measures_equal_their_definitions(seed, dtype):
    prediction, truth = label_maps(seed, dtype=dtype)
    total = Confusion(5)  # the last class never occurs
    for rows in (slice(0, 4), slice(4, None)):
        total.add(prediction[rows], truth[rows])
    for name, value in slow(prediction, truth, 5).items():
        assert getattr(total, name)() == pytest.approx(value, abs=1e-12)


def test_a_prediction_outside_the_classes_is_wrong_for_the_true_class_alone():
    truth = np.array([[1, 1, 0, 0]], np.uint8)
    total = Confusion(2)
    total.add(np.array([[1, 255, 0, 0]], np.uint8), truth)
    assert total.iou().tolist() == [1.0, 0.5]
    assert total.pixel_accuracy() == 0.75


def test_where_nothing_counts_nothing_is_known():
    total = Confusion(3)
    total.add(np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8))
    for name in ("mean_iou", "frequency_weighted_iou", "pixel_accuracy", "mean_accuracy"):
        assert np.isnan(getattr(total, name)())
