"""What a sequence's or a library's values come to."""

import numpy as np
import pytest

from stages.metrics.accuracy import jaccard, objects, recall, statistics
from stages.metrics.intervals import bootstrap_interval
from stages.metrics.stability import excess, visible_band, warping_error


def test_statistics_are_those_of_the_benchmark():
    values = [0.9, 0.9, 0.8, 0.6, 0.5, 0.4, 0.4, 0.2, 0.2]
    actual = statistics(values)
    assert actual.mean == pytest.approx(np.mean(values))
    assert actual.recall == pytest.approx(4 / 9)
    # nine frames: quarters 0-2, 2-4, 4-6, 6-8, ends shared
    assert actual.decay == pytest.approx(np.mean(values[:3]) - np.mean(values[6:]))


def test_frames_without_a_value_are_left_out():
    assert statistics([1.0, float("nan"), 0.0]).mean == 0.5
    assert statistics([0.8]).decay == 0
    assert np.isnan(statistics([float("nan")]).mean)
    assert np.isnan(statistics([]).mean)


def test_objects_are_measured_one_by_one_and_ignored_pixels_not_at_all():
    truth = np.array([[1, 1, 2, 2, 255, 0]], np.uint8)
    prediction = np.array([[1, 2, 2, 2, 1, 0]], np.uint8)
    actual = objects(prediction, truth, [1, 2, 3])
    assert [jaccard(*actual[label]) for label in (1, 2, 3)] == [0.5, pytest.approx(2 / 3), 1]


def test_recall_is_the_share_of_the_truth_that_is_found():
    truth = np.array([[1, 1, 1, 0]], bool)
    assert recall(np.array([[1, 0, 0, 1]], bool), truth) == pytest.approx(1 / 3)
    assert np.isnan(recall(truth, np.zeros((1, 4), bool)))


def test_excess_is_what_the_truth_does_not_explain():
    assert excess(10.0, 4.0, 2.0) == 0.25
    assert excess(10.0, 1.0, 2.0) == 0
    assert np.isnan(excess(2.0, 1.0, 2.0))
    assert np.isnan(excess(float("nan"), 1.0, 2.0))


def test_the_visible_band_is_counted_around_the_edges():
    labels = np.zeros((10, 20), np.uint8)
    labels[:, 10:] = 1
    visible = np.zeros((10, 20), bool)
    visible[:, :9] = True
    assert visible_band(labels, visible) == (10, 40)
    assert visible_band(np.zeros((10, 20), np.uint8), visible) == (0, 0)


def test_the_warping_error_is_the_squared_difference_to_the_carried_mask():
    rng = np.random.default_rng(0)
    mask, other = rng.random((2, 8, 9, 2)).astype(np.float32)
    flow = np.zeros((2, 8, 9), np.float32)
    flow[0] = 2
    visible = rng.random((8, 9)) < 0.8
    actual, pixels = warping_error(mask, other, flow, visible)
    slow = [
        ((mask[y, x] - other[y, x + 2]) ** 2).mean()
        for y in range(8)
        for x in range(7)
        if visible[y, x]
    ]
    assert pixels == len(slow)
    assert actual == pytest.approx(sum(slow), rel=1e-6)


def test_the_interval_holds_the_mean_and_narrows_with_more_clips():
    rng = np.random.default_rng(0)
    few, many = rng.normal(0.7, 0.1, 8), rng.normal(0.7, 0.1, 200)
    spans = [bootstrap_interval(list(values)) for values in (few, many)]
    for (low, high), values in zip(spans, (few, many), strict=True):
        assert low < values.mean() < high
    # 1.96 standard errors to either side
    assert spans[1][1] - spans[1][0] == pytest.approx(2 * 1.96 * many.std() / 200**0.5, rel=0.1)
    assert spans[0][1] - spans[0][0] > 2 * (spans[1][1] - spans[1][0])
    assert bootstrap_interval(list(few)) == spans[0]
    assert np.isnan(bootstrap_interval([0.5, float("nan")])).all()
