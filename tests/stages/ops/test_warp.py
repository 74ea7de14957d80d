import numpy as np
import pytest

from pipeline.errors import ShapeError
from stages.ops.fixed_point import pack_flow, pack_mask, unpack_flow, unpack_mask
from stages.ops.visibility import visible
from stages.ops.warp import compose_flows, resize_flow, warp


def uniform(u, v, size=(12, 16)):
    flow = np.empty((2, *size), np.float32)
    flow[0], flow[1] = u, v
    return flow


def slow_sample(values, x, y):
    """Bilinear value of (H, W) at one place inside the picture, by the definition."""
    x0, y0 = int(x), int(y)
    total = 0.0
    for yy in (y0, min(y0 + 1, values.shape[0] - 1)):
        for xx in (x0, min(x0 + 1, values.shape[1] - 1)):
            share = (1 - abs(x - xx) if xx > x0 or x == x0 else x0 + 1 - x) * (
                1 - abs(y - yy) if yy > y0 or y == y0 else y0 + 1 - y
            )
            total += share * values[yy, xx]
    return total


def test_warping_reads_each_pixel_where_the_flow_points():
    rng = np.random.default_rng(1)
    values = rng.random((12, 16, 1), np.float32)
    flow = rng.uniform(-3, 3, (2, 12, 16)).astype(np.float32)
    out = warp(values, flow)
    for y in range(12):
        for x in range(16):
            px, py = x + float(flow[0, y, x]), y + float(flow[1, y, x])
            if 0 <= px < 15 and 0 <= py < 11:
                assert out[y, x, 0] == pytest.approx(slow_sample(values[..., 0], px, py), abs=1e-5)
            elif not (0 <= px <= 15 and 0 <= py <= 11):
                assert np.isnan(out[y, x, 0])


def test_composed_translations_add_up():
    there = compose_flows(uniform(2, -1), uniform(0.5, 3))
    np.testing.assert_allclose(there, uniform(2.5, 2), atol=1e-6)


def test_composition_reads_the_second_flow_where_the_first_leads():
    second = np.random.default_rng(2).normal(0, 2, (2, 12, 16)).astype(np.float32)
    both = compose_flows(uniform(3, 2), second)
    np.testing.assert_allclose(both[:, :10, :13], second[:, 2:, 3:] + uniform(3, 2)[:, :10, :13])


def test_a_flow_at_another_size_is_in_pixels_of_that_size():
    np.testing.assert_allclose(resize_flow(uniform(2, 3), (24, 48)), uniform(6, 6, (24, 48)))


def test_a_pan_hides_only_the_columns_that_leave_the_picture():
    expected = np.ones((12, 16), bool)
    expected[:, 13:] = False
    np.testing.assert_array_equal(visible(uniform(3, 0), uniform(-3, 0)), expected)


def test_flows_that_disagree_see_nothing():
    assert not visible(uniform(0, 0), uniform(2, 0)).any()


def test_visibility_equals_its_inequality():
    rng = np.random.default_rng(3)
    there = (uniform(2, -1) + rng.normal(0, 0.2, (2, 12, 16))).astype(np.float32)
    back = -there + rng.normal(0, 0.5, there.shape).astype(np.float32)
    home = warp(np.moveaxis(back, 0, -1), there)
    gap = ((np.moveaxis(there, 0, -1) + home) ** 2).sum(-1)
    motion = (there**2).sum(0) + (home**2).sum(-1)
    expected = gap < 0.01 * motion + 0.5  # False where home is NaN
    actual = visible(there, back)
    assert 0.1 < expected.mean() < 0.9
    np.testing.assert_array_equal(actual, expected)


def test_stored_flow_is_right_to_a_hundred_and_twenty_eighth_of_a_pixel():
    flow = np.random.default_rng(4).uniform(-500, 500, (2, 30, 40)).astype(np.float32)
    assert np.abs(unpack_flow(pack_flow(flow)) - flow).max() <= 1 / 128 + 1e-4


def test_stored_masks_are_right_to_half_a_step():
    mask = np.linspace(0, 1, 1000, dtype=np.float32)
    assert np.abs(unpack_mask(pack_mask(mask)) - mask).max() <= 1 / 510 + 1e-6


def test_a_flow_of_another_shape_is_refused():
    with pytest.raises(ShapeError, match=r"second: .* got \(2, 3, 4\)"):
        compose_flows(uniform(0, 0), np.zeros((2, 3, 4), np.float32))
