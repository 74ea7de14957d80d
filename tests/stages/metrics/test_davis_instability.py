import heapq
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from stages.metrics.davis_instability import TOLERANCE, davis_instability
from stages.metrics.mask_polygons import mask_polygons, simplified_line


def blob(seed, size=(70, 90), sigma=6.0):
    """A mask with a wavy outline; several regions and holes may occur."""
    noise = np.random.default_rng(seed).standard_normal(size)
    smooth = ndimage.gaussian_filter(noise, sigma)
    return smooth > 0.3 * smooth.std()


def signed_area(polygon):
    x, y = polygon.T
    return (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(1.0, 4.0))
def test_polygons_without_tolerance_enclose_the_pixels_and_leave_out_the_holes(seed, sigma):
    mask = blob(seed, size=(24, 30), sigma=sigma)
    polygons = mask_polygons(mask, tolerance=1e-6)
    areas = [signed_area(polygon) for polygon in polygons]
    assert abs(sum(areas)) == pytest.approx(mask.sum())
    assert all((p[0] == p[-1]).all() for p in polygons)
    for polygon in polygons:
        assert (np.abs(np.diff(polygon, axis=0)) > 0).sum(axis=1).tolist() == [1] * (
            len(polygon) - 1
        )


def test_regions_that_touch_at_a_corner_have_an_outline_each():
    mask = np.zeros((12, 12), bool)
    mask[2:6, 2:6] = mask[6:10, 6:10] = True
    areas = sorted(abs(signed_area(p)) for p in mask_polygons(mask, tolerance=0.5))
    assert areas == [16, 16]


def test_a_hole_runs_the_other_way():
    mask = np.zeros((20, 20), bool)
    mask[2:18, 2:18] = True
    mask[8:12, 8:12] = False
    outer, hole = sorted((signed_area(p) for p in mask_polygons(mask, tolerance=1)), key=abs)[::-1]
    assert abs(outer) == 256
    assert abs(hole) == 16
    assert np.sign(outer) == -np.sign(hole)


def test_single_pixels_and_empty_masks_have_no_polygon():
    mask = np.zeros((9, 9), bool)
    assert mask_polygons(mask, tolerance=TOLERANCE) == []
    mask[4, 4] = True
    assert mask_polygons(mask, tolerance=TOLERANCE) == []
    assert np.isnan(davis_instability(mask, mask))


def slow_simplified(points, tolerance):
    kept = [points[0]]
    for point in points[1:-1]:
        if np.hypot(*(point - kept[-1])) >= tolerance:
            kept.append(point)
    kept.append(points[-1])

    def far(first, last):
        best, where = 0.0, None
        for k in range(first + 1, last):
            chord, gap = kept[last] - kept[first], kept[k] - kept[first]
            share = np.clip(gap @ chord / (chord @ chord), 0, 1) if chord.any() else 0.0
            distance = np.hypot(*(gap - share * chord))
            if distance >= best:
                best, where = distance, k
        if where is None or best <= tolerance:
            return []
        return [*far(first, where), where, *far(where, last)]

    return np.array([kept[k] for k in (0, *far(0, len(kept) - 1), len(kept) - 1)])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.3, 4.0))
def test_lines_are_simplified_as_by_recursion(seed, tolerance):
    points = np.cumsum(np.random.default_rng(seed).normal(0, 1.5, (40, 2)), axis=0)
    np.testing.assert_array_equal(
        simplified_line(points, tolerance=tolerance), slow_simplified(points, tolerance)
    )


def slow_points(polygon):
    points = [polygon[0].astype(np.float32)]
    for start, stop in pairwise(polygon):
        parts = max(int(np.ceil(np.float32(np.hypot(*(stop - start))) / np.float32(3))), 1)
        step = ((stop - start) / parts).astype(np.float32)
        for _ in range(parts - 1):
            points.append(points[-1] + step)
        points.append(stop.astype(np.float32))
    return np.array(points, float)


def slow_contexts(points):
    count = len(points)
    gaps = points[None] - points[:, None]
    scale = np.hypot(*gaps.transpose(2, 0, 1)).mean()
    out = np.zeros((count, 60))
    for i in range(count):
        for j in range(count):
            dx, dy = gaps[i, j]
            ring = next((k for k in range(5) if np.hypot(dx, dy) / scale < 2.0 ** (k - 3)), None)
            if ring is not None:
                out[i, ring * 12 + int(np.degrees(np.arctan2(dy, dx)) % 360 // 30)] += 1
    return out / out.sum(axis=1, keepdims=True)


def slow_pairs(cost):
    """Dijkstra's method over pairs, from the first to the last."""
    rows, columns = cost.shape
    best, came, queue = {(0, 0): 0.0}, {}, [(0.0, (0, 0))]
    while queue:
        total, here = heapq.heappop(queue)
        if total > best[here]:
            continue
        for step in ((1, 1), (1, 0), (0, 1)):
            there = here[0] + step[0], here[1] + step[1]
            if there[0] < rows and there[1] < columns:
                reached = total + cost[there]
                if reached < best.get(there, np.inf):
                    best[there], came[there] = reached, here
                    heapq.heappush(queue, (reached, there))
    way = [(rows - 1, columns - 1)]
    while way[-1] != (0, 0):
        way.append(came[way[-1]])
    return way


def slow_instability(mask, following):
    both = []
    for each in (mask, following):
        polygon = max(mask_polygons(each, tolerance=1.5), key=len)
        both.append(slow_contexts(slow_points(polygon)))
    first, second = both
    cost = np.array([[0.5 * np.nansum((a - b) ** 2 / np.where(a + b > 0, a + b, np.nan))
                      for b in second] for a in first])  # fmt: skip
    way = slow_pairs(cost)
    turn = min(way[:-1], key=lambda pair: cost[pair])
    shift = turn[0] + 1, turn[1] + 1
    turned = np.roll(cost, (-shift[0], -shift[1]), axis=(0, 1))
    matched = [((i + shift[0]) % len(first), (j + shift[1]) % len(second))
               for i, j in slow_pairs(turned)]  # fmt: skip
    for side in (0, 1):
        cheapest = {}
        for pair in matched:
            if pair[side] not in cheapest or cost[pair] < cost[cheapest[pair[side]]]:
                cheapest[pair[side]] = pair
        matched = [cheapest[key] for key in sorted(cheapest)]
    return np.mean([cost[pair] for pair in matched])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_t_equals_the_description_step_by_step(seed):
    mask = blob(seed)
    following = np.roll(blob(seed), 2, axis=1) ^ (blob(seed + 50, sigma=3) & blob(seed))
    assert davis_instability(mask, following) == pytest.approx(
        slow_instability(mask, following), abs=2e-4
    )


def test_a_mask_that_moves_is_stable_and_one_that_changes_is_not():
    ys, xs = np.mgrid[:100, :120]
    ellipse = ((xs - 60) / 30) ** 2 + ((ys - 50) / 20) ** 2 <= 1
    other = ((xs - 60) / 12) ** 2 + ((ys - 50) / 40) ** 2 <= 1
    assert davis_instability(ellipse, ellipse) == 0
    assert davis_instability(ellipse, np.roll(ellipse, (5, 9), axis=(0, 1))) < 1e-3
    assert davis_instability(ellipse, other) > 0.05
