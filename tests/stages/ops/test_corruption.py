import cv2
import numpy as np
import pytest

from stages.ops.corruption import GRID, corrupted_mask, eroded_mask


def square():
    mask = np.zeros((60, 80), bool)
    mask[20:40, 30:60] = True
    return mask


@pytest.mark.parametrize(
    ("angle", "rows", "columns"),
    [(0.0, (20, 40), (30, 55)), (np.pi, (20, 40), (35, 60)), (np.pi / 2, (20, 35), (30, 60))],
)
def test_erosion_in_a_direction_takes_one_side_away(angle, rows, columns):
    expected = np.zeros((60, 80), bool)
    expected[slice(*rows), slice(*columns)] = True
    np.testing.assert_array_equal(eroded_mask(square(), pixels=5, angle=angle), expected)
    np.testing.assert_array_equal(eroded_mask(square(), pixels=0, angle=angle), square())


def test_corruption_grows_or_shrinks_and_displaces():
    rng = np.random.default_rng(0)
    sizes = {int(corrupted_mask(square(), rng, growth=4, displacement=0).sum()) for _ in range(20)}
    assert min(sizes) < 600 < max(sizes)
    assert len(sizes) == 2
    moved = corrupted_mask(square(), rng, growth=0, displacement=4)
    assert (moved != square()).any()
    assert abs(int(moved.sum()) - 600) < 250
    np.testing.assert_array_equal(corrupted_mask(square(), rng, growth=0, displacement=0), square())


def test_between_the_knots_edges_move_by_seven_tenths_of_the_displacement():
    """As `corrupt --help` says; the directions of neighbouring knots cancel in part."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(40):
        angle = rng.uniform(0, 2 * np.pi, (GRID, GRID)).astype(np.float32)
        field = [cv2.resize(f(angle), (160, 120), interpolation=cv2.INTER_LINEAR)
                 for f in (np.cos, np.sin)]  # fmt: skip
        shares.append(np.hypot(*field).mean())
    assert np.mean(shares) == pytest.approx(0.71, abs=0.02)
