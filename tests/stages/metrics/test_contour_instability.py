import numpy as np
import pytest

from stages.metrics.contour_instability import (
    _cheapest_path,
    _chi_squared,
    contour_instability,
    shape_contexts,
)


def ellipse(a, b, x=60, y=50):
    ys, xs = np.mgrid[:100, :120]
    return ((xs - x) / a) ** 2 + ((ys - y) / b) ** 2 <= 1


def test_moving_costs_nothing_and_a_change_of_shape_costs_more_the_larger_it_is():
    still = contour_instability(ellipse(30, 20), ellipse(30, 20))
    moved = contour_instability(ellipse(30, 20), ellipse(30, 20, x=70, y=55))
    changed = contour_instability(ellipse(30, 20), ellipse(30, 24))
    other = contour_instability(ellipse(30, 20), ellipse(12, 40))
    assert still == 0
    assert moved < 1e-9
    assert 0.01 < changed < other < 1


def test_a_ragged_outline_is_less_stable_than_a_smooth_one():
    rng = np.random.default_rng(0)
    smooth = ellipse(30, 20)
    ragged = smooth.copy()
    for _ in range(12):
        angle = rng.uniform(0, 2 * np.pi)
        ragged |= ellipse(4, 4, 60 + 30 * np.cos(angle), 50 + 20 * np.sin(angle))
    assert contour_instability(smooth, ragged) > contour_instability(smooth, ellipse(31, 20))


def test_shape_contexts_equal_counting_by_hand():
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 50, (9, 2))
    actual = shape_contexts(points)
    pairs = [(i, j) for i in range(9) for j in range(9) if i != j]
    scale = np.mean([np.linalg.norm(points[j] - points[i]) for i, j in pairs])
    for i in range(9):
        counts = np.zeros(60)
        for j in range(9):
            if i == j:
                continue
            dx, dy = points[j] - points[i]
            edges = [scale / 8 * 2**k for k in range(5)]  # 1/8, 1/4, 1/2, 1, 2
            ring = next((k for k, edge in enumerate(edges) if np.hypot(dx, dy) <= edge), None)
            if ring is not None:
                counts[ring * 12 + int(np.degrees(np.arctan2(dy, dx)) % 360 // 30)] += 1
        np.testing.assert_allclose(actual[i], counts / counts.sum())


def slow_cheapest(cost):
    """Every warping path from corner to corner, by recursion."""
    count = len(cost)

    def paths(i, j, turned):
        here = turned[i, j]
        if i == j == 0:
            return [(here, 1)]
        before = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        return [
            (total + here, length + 1)
            for k, m in before
            if k >= 0 and m >= 0
            for total, length in paths(k, m, turned)
        ]

    best = []
    for start in range(count):
        actual = paths(count - 1, count - 1, np.roll(cost, -start, axis=1))
        total, length = min(actual)
        best.append(total / length)
    return min(best)


def test_the_cheapest_path_is_the_cheapest_of_all():
    cost = np.random.default_rng(2).random((4, 4))
    assert _cheapest_path(cost) == pytest.approx(slow_cheapest(cost))


def test_costs_are_chi_squared():
    a, b = np.array([[0.5, 0.5, 0.0]]), np.array([[0.0, 0.5, 0.5], [0.5, 0.5, 0.0]])
    np.testing.assert_allclose(_chi_squared(a, b), [[0.5, 0.0]])


def test_an_empty_mask_has_no_outline():
    assert np.isnan(contour_instability(ellipse(30, 20), np.zeros((100, 120), bool)))
