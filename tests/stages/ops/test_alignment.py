import numpy as np

from stages.ops.alignment import halved_frame, look_around, nearest_first
from stages.ops.voting import appearance_table, carried
from stages.ops.warp import resize_flow

TABLE = appearance_table(12.0)


def moving_square(shift):
    """A frame of noise and a square, moved to the right; pixels come in pairs, so halves do too."""
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (16, 40, 3), np.uint8).repeat(2, 0).repeat(2, 1)
    mask = np.zeros((32, 80, 1), np.float32)
    mask[8:24, 30:50] = 1
    window = slice(20 - shift, 60 - shift)
    return np.ascontiguousarray(wide[:, window]), np.ascontiguousarray(mask[:, window])


def flow(u):
    return np.stack([np.full((16, 20), u, np.float32), np.zeros((16, 20), np.float32)])


def test_neighbours_come_nearest_first_and_fewer_for_smaller_windows():
    assert nearest_first(7) == (-1, 1, -2, 2, -3, 3)
    assert nearest_first(3) == nearest_first(7)[:2]
    assert nearest_first(1) == ()


def test_a_neighbour_carried_by_the_true_flow_fits_exactly():
    own, after = halved_frame(*moving_square(0)), halved_frame(*moving_square(4))
    near = look_around(own, {1: after}, {1: flow(2.0)}, window=3, table=TABLE)
    assert near.shape == (1, 4, 16, 20)
    mask, weight = near[0, 2], near[0, 3]
    np.testing.assert_array_equal(mask[:, :18], own.mask[:, :18, 0])
    np.testing.assert_allclose(weight[:, :18], 1, atol=1e-6)
    assert not mask[:, 18:].any()
    assert not weight[:, 18:].any()


def test_a_neighbour_that_looks_otherwise_has_no_weight():
    own, after = halved_frame(*moving_square(0)), halved_frame(*moving_square(4))
    near = look_around(own, {1: after}, {1: flow(0.0)}, window=3, table=TABLE)
    assert near[0, 3].mean() < 0.01


def test_a_neighbour_that_is_not_there_counts_for_nothing():
    own = halved_frame(*moving_square(0))
    near = look_around(own, {1: own}, {1: flow(0.0)}, window=5, table=TABLE)
    assert near[0, 3].all()
    assert not near[0, [0, 1, 4, 5, 6, 7]].any()


def test_odd_sizes_are_halved_upwards():
    image, mask = moving_square(0)
    assert halved_frame(image[:31, :39], mask[:31, :39]).mask.shape == (16, 20, 1)


def test_a_part_is_what_carrying_the_whole_gives_there_to_the_bit():
    rng = np.random.default_rng(0)
    shape = (33, 50)
    own, after = (
        halved_frame(
            rng.integers(80, 90, (*shape, 3), np.uint8), rng.random((*shape, 2), np.float32)
        )
        for _ in range(2)
    )
    motion = rng.normal(0, 3, (2, 12, 20)).astype(np.float32)
    size = own.mask.shape[:2]
    _, mask, weight = carried(
        own.image, after.image, after.mask, np.ones(size, np.float32), resize_flow(motion, size),
        table=TABLE,
    )  # fmt: skip
    box = (slice(4, 15), slice(8, 25))
    near = look_around(own, {1: after}, {1: motion}, window=3, table=TABLE, box=box)
    assert 0 < (weight > 0).mean() < 1
    np.testing.assert_array_equal(near[:, 2], np.moveaxis(mask[box], -1, 0))
    np.testing.assert_array_equal(near[:, 3], np.stack([weight[box]] * 2))
