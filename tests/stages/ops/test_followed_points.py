import numpy as np
import pytest

from pipeline.errors import ShapeError
from stages.ops.followed_points import follow_points

OFFSETS = (-2, -1, 1, 2)
FRAMES, ROWS, COLUMNS = 6, 12, 16


def random_fields(seed):
    """Return flow of up to two pixels (1/64 px) and visibility, at random, and some points."""
    rng = np.random.default_rng(seed)
    flows = rng.integers(-128, 128, (FRAMES, 4, 2, ROWS, COLUMNS)).astype(np.int16)
    visible = rng.random((FRAMES, 4, ROWS, COLUMNS)) < 0.6
    x, y = np.meshgrid(np.linspace(0, COLUMNS - 1, 9), np.linspace(0, ROWS - 1, 5))
    return flows, visible, np.stack([x, y]).astype(np.float32)


def bilinear(plane, x, y):
    """Return a plane at one place, beyond its border as on it."""
    x, y = min(max(x, 0), COLUMNS - 1), min(max(y, 0), ROWS - 1)
    left, top = int(x), int(y)
    right, below = min(left + 1, COLUMNS - 1), min(top + 1, ROWS - 1)
    u, v = x - left, y - top
    upper = plane[top, left] * (1 - u) + plane[top, right] * u
    return upper * (1 - v) + (plane[below, left] * (1 - u) + plane[below, right] * u) * v


def slow_paths(flows, visible, start, direction):
    """Return places and whether hidden of one point in every frame, from the definition."""
    paths = [(start, False)]
    for t in range(1, FRAMES):
        moved = None
        for back in range(1, min(t, 2) + 1):
            (x, y), was_hidden = paths[t - back]
            k = OFFSETS.index(direction * back)
            there = [
                a + bilinear(flows[t - back, k, axis] / 64, x, y) for axis, a in ((0, x), (1, y))
            ]
            column, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
            inside = 0 <= row < ROWS and 0 <= column < COLUMNS
            shown = inside and visible[t - back, k, row, column] and not was_hidden
            if back == 1:
                guess = there
            if shown and moved is None:
                moved = there
        paths.append((moved or guess, moved is None))
    return paths


@pytest.mark.parametrize("direction", [1, -1])
def test_each_point_goes_where_the_definition_says(direction):
    flows, visible, start = random_fields(4)
    fields = zip(flows, visible, strict=True)
    followed = list(follow_points(start, fields, direction=direction, offsets=OFFSETS))
    for row, column in np.ndindex(start.shape[1:]):
        paths = slow_paths(flows, visible, tuple(start[:, row, column]), direction)
        for (points, hidden), (place, lost) in zip(followed, paths, strict=True):
            np.testing.assert_allclose(points[:, row, column], place, atol=1e-3)
            assert hidden[row, column] == lost


def test_a_point_behind_something_thin_is_found_again():
    flows = np.zeros((FRAMES, 4, 2, ROWS, COLUMNS), np.int16)
    flows[:, 2, 0], flows[:, 3, 0] = 64, 128  # a pixel to the right a frame
    visible = np.ones((FRAMES, 4, ROWS, COLUMNS), np.bool_)
    visible[1, 2] = visible[0, 3] = False  # nobody shows frame 2
    start = np.array([[[3.0]], [[5.0]]], np.float32)
    fields = zip(flows, visible, strict=True)
    followed = list(follow_points(start, fields, direction=1, offsets=OFFSETS))
    assert [bool(hidden[0, 0]) for _, hidden in followed] == [0, 0, 1, 0, 0, 0]
    assert [float(points[0, 0, 0]) for points, _ in followed] == [3, 4, 5, 6, 7, 8]


def test_what_has_left_the_picture_stays_hidden():
    flows = np.zeros((FRAMES, 4, 2, ROWS, COLUMNS), np.int16)
    flows[:, 2, 0], flows[:, 3, 0] = 64 * 9, 64 * 18
    visible = np.zeros((FRAMES, 4, ROWS, COLUMNS), np.bool_)
    visible[:, 2, :, :7] = True  # nine pixels on there is still a picture
    start = np.array([[[3.0]], [[1.0]]], np.float32)
    fields = zip(flows, visible, strict=True)
    followed = list(follow_points(start, fields, direction=1, offsets=OFFSETS))
    assert [bool(hidden[0, 0]) for _, hidden in followed] == [0, 0, 1, 1, 1, 1]


def test_fields_of_another_shape_are_refused():
    start = np.zeros((2, 1, 1), np.float32)
    field = np.zeros((4, 3, ROWS, COLUMNS), np.int16), np.zeros((4, ROWS, COLUMNS), np.bool_)
    with pytest.raises(ShapeError, match="flow: expected"):
        list(follow_points(start, [field], direction=1, offsets=OFFSETS))
