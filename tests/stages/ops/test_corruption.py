import numpy as np
import pytest

from stages.ops.corruption import corrupt, eroded


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
    np.testing.assert_array_equal(eroded(square(), pixels=5, angle=angle), expected)
    np.testing.assert_array_equal(eroded(square(), pixels=0, angle=angle), square())


def test_corruption_grows_or_shrinks_and_displaces():
    rng = np.random.default_rng(0)
    sizes = {int(corrupt(square(), rng, growth=4, displacement=0).sum()) for _ in range(20)}
    assert min(sizes) < 600 < max(sizes)
    assert len(sizes) == 2
    moved = corrupt(square(), rng, growth=0, displacement=4)
    assert (moved != square()).any()
    assert abs(int(moved.sum()) - 600) < 250
    np.testing.assert_array_equal(corrupt(square(), rng, growth=0, displacement=0), square())
