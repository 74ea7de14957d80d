import cv2
import numpy as np
import pytest

from stages.ops.outlines import (
    DISTANCE_STEPS,
    FAR,
    count_edge_hits,
    signed_distance,
    soft_edge,
    thin_parts,
)

SIZE = (60, 80)


def blob(seed=3, size=SIZE):
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.standard_normal(size), (0, 0), 6) > 0.02


def disc(radius, centre=(30, 40)):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.hypot(y - centre[0], x - centre[1]) < radius


def test_distances_agree_with_brute_force():
    mask = blob()
    distance = signed_distance(mask) / DISTANCE_STEPS
    inside, outside = np.argwhere(mask), np.argwhere(~mask)
    for y, x in np.ndindex(mask.shape):
        others, sign = (outside, 1) if mask[y, x] else (inside, -1)
        exact = np.hypot(*(others - (y, x)).T).min() - 0.5
        # OpenCV's distances are right to 2 %, and are kept in eighths.
        assert distance[y, x] == pytest.approx(sign * min(exact, FAR), abs=0.07 + 0.025 * exact)


@pytest.mark.parametrize(("full", "value"), [(True, FAR), (False, -FAR)])
def test_a_picture_without_outline_is_as_far_as_can_be(full, value):
    assert (signed_distance(np.full((8, 9), full)) == value * DISTANCE_STEPS).all()


def slow_hits(image, distance):
    """Walk across the outline at every point of it, in half pixels, and compare contrasts."""
    rows, columns = distance.shape
    pixels = image.astype(float)

    def colour(y, x):
        y, x = np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)
        y0, x0 = int(y), int(x)
        y1, x1 = min(y0 + 1, rows - 1), min(x0 + 1, columns - 1)
        low = pixels[y1, x0] * (1 - (x - x0)) + pixels[y1, x1] * (x - x0)
        top = pixels[y0, x0] * (1 - (x - x0)) + pixels[y0, x1] * (x - x0)
        return top * (1 - (y - y0)) + low * (y - y0)

    window = np.arange(-3, 4)
    counted = hits = 0
    for y, x in np.argwhere(np.abs(distance) < DISTANCE_STEPS):
        around = distance[
            np.ix_(np.clip(y + window, 0, rows - 1), np.clip(x + window, 0, columns - 1))
        ].astype(float)
        slope = np.array([(around * window[:, None]).sum(), (around * window).sum()])
        if np.hypot(*slope) < 0.4 * 196 * DISTANCE_STEPS:
            continue
        way = slope / np.hypot(*slope)
        ends = [(side, np.rint((y, x) + side * 5 * way).astype(int)) for side in (-1, 1)]
        if any(not (0 <= p[0] < rows and 0 <= p[1] < columns) for _, p in ends):
            continue
        if any(side * distance[tuple(p)] < 0.7 * 5 * DISTANCE_STEPS for side, p in ends):
            continue
        offsets = np.arange(-5, 5.25, 0.5)
        ahead = [colour(*((y, x) + (offset + 1.5) * way)) for offset in offsets]
        behind = [colour(*((y, x) + (offset - 1.5) * way)) for offset in offsets]
        contrast = np.linalg.norm(np.subtract(ahead, behind), axis=-1)
        if contrast.max() > 15:
            counted += 1
            hits += abs(offsets[(contrast - 0.3 * np.abs(offsets)).argmax()]) <= 1
    return counted, hits


@pytest.mark.parametrize("shift", [0, 1, 3])
def test_edge_hits_agree_with_a_walk_across_the_outline(shift):
    rng = np.random.default_rng(5)
    mask = disc(18)
    noise = rng.integers(0, 12, (*SIZE, 3))
    image = (np.where(mask, 150, 60)[..., None] + noise).astype(np.uint8)
    distance = signed_distance(np.roll(mask, shift, axis=1))
    counted, hits = count_edge_hits(image, distance)
    slow_counted, slow_count = slow_hits(image, distance)
    # A half pixel may be rounded to either side.
    assert counted == pytest.approx(slow_counted, abs=2)
    assert hits == pytest.approx(slow_count, abs=2)
    assert counted > 60


def test_an_outline_on_the_edge_hits_it_and_one_beside_it_does_not():
    mask = disc(18)
    image = np.where(mask, np.uint8(200), np.uint8(40))[..., None].repeat(3, axis=-1)
    for moved, share in ((0, 1.0), (4, 0.0)):
        counted, hits = count_edge_hits(image, signed_distance(disc(18 - moved)))
        assert counted > 40
        assert hits / counted == pytest.approx(share, abs=0.05)


def test_a_picture_without_contrast_has_no_edges_to_hit():
    flat = np.full((*SIZE, 3), 90, np.uint8)
    assert count_edge_hits(flat, signed_distance(disc(18))) == (0, 0)
    assert count_edge_hits(flat, signed_distance(np.zeros(SIZE, np.bool_))) == (0, 0)


def test_lines_and_gaps_are_thin_and_large_parts_are_not():
    mask = np.zeros(SIZE, np.bool_)
    mask[10:50, 10:40] = True
    mask[28:31, 40:70] = True
    thin = thin_parts(mask, radius=4)
    assert thin[28:31, 48:66].all()
    assert not thin[14:46, 14:32].any()
    gap = np.ones(SIZE, np.bool_)
    gap[:, 30:33] = False
    assert thin_parts(gap, radius=4)[10:50, 30:33].all()


def test_a_soft_edge_is_that_of_a_blurred_straight_outline():
    step = (np.arange(200) >= 100).astype(np.float32)[None].repeat(9, axis=0)
    blurred = cv2.GaussianBlur(step, (0, 0), 2)
    distance = (np.arange(200) - 99.5).astype(np.float32)
    np.testing.assert_allclose(soft_edge(distance, sigma=2), blurred[4], atol=0.012)
