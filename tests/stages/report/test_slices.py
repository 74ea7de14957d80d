import cv2
import numpy as np
import pytest

from stages.report.clip_pictures import Panes
from stages.report.slices import OCCLUDED, AlignedRows, Grid, Slices, align_rows

COLOURS = np.zeros((256, 3), np.uint8)


def still(grid):
    """Return rows that stay where they are and are never hidden."""
    return align_rows(grid, [(0, grid.frames)], still_fields(grid), radius=2)


def still_fields(grid, speed=0.0):
    """Return what gives flow at half size that goes `speed` pixels of a pane to the right."""
    size = max(grid.height // 2, 1), max(grid.width // 2, 1)

    def fields(frames):
        for _ in frames:
            flow = np.zeros((4, 2, *size), np.int16)
            for k, step in enumerate((-2, -1, 1, 2)):
                flow[k, 0] = round(step * speed * 64 * size[1] / grid.width)
            yield flow, np.ones((4, *size), np.bool_)

    return fields


def test_what_is_kept_of_a_long_clip_does_not_grow_with_it():
    short, long = Grid(900, 240, 426), Grid(100_000, 240, 426)
    assert long.length <= short.length == 900


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (8, 8), (3, 64), (2, 640)])
def test_tiny_pictures_have_slices_too(tmp_path, size):
    panes = Panes(size, COLOURS, side=480)
    grid = Grid(2, panes.height, panes.width)
    slices = Slices(grid, still(grid))
    for t in range(2):
        labels = np.zeros(size, np.uint8)
        slices.add(t, panes.of(np.zeros((*size, 3), np.uint8), labels, labels))
    written = slices.write(tmp_path)
    assert max(written["rows"]) < panes.height
    assert len(written["before"]) == len(written["aligned"]["after"]) == 7


def test_rows_follow_the_flow_from_the_middle_of_their_own_shot():
    grid = Grid(9, 40, 60)
    rows = align_rows(grid, [(0, 4), (4, 9)], still_fields(grid, speed=3.0), radius=2)
    for t in range(9):
        middle = 2 if t < 4 else 6
        x = rows.places[t, 0] / 8
        inside = ~rows.hidden[t]
        expected = np.arange(60) + 3.0 * (t - middle)
        np.testing.assert_allclose(x[inside], np.broadcast_to(expected, x.shape)[inside], atol=0.2)
        np.testing.assert_allclose(rows.places[t, 1, :, 0] / 8, grid.rows, atol=0.2)


def test_of_a_thinned_clip_the_shown_frames_are_aligned():
    grid = Grid(1000, 8, 12)
    assert (grid.every, grid.length) == (2, 500)
    rows = align_rows(grid, [(0, 1000)], still_fields(grid, speed=1 / 32), radius=2)
    assert rows.places[-1, 0, 0, 3] > rows.places[250, 0, 0, 3] > rows.places[0, 0, 0, 3]


def moving_slices(tmp_path, hidden=False):
    """Return the slices of a picture that goes three pixels to the right a frame."""
    wide = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (40, 120, 3), np.uint8),
                            (0, 0), 2)  # fmt: skip
    panes, grid = Panes((40, 60), COLOURS, side=40), Grid(7, 40, 60)
    aligned = align_rows(grid, [(0, 7)], still_fields(grid, speed=3.0), radius=2)
    if hidden:
        aligned = AlignedRows(aligned.places, np.ones_like(aligned.hidden))
    slices = Slices(grid, aligned)
    for t in range(7):
        labels = np.zeros((40, 60), np.uint8)
        picture = wide[:, 30 - 3 * t : 90 - 3 * t]
        slices.add(t, panes.of(np.ascontiguousarray(picture), labels, labels))
    return slices._pictures[..., 20:40, :].astype(int)


def test_motion_is_gone_from_an_aligned_slice(tmp_path):
    plain, aligned = moving_slices(tmp_path)[:, 0]
    assert np.abs(aligned - aligned[:, 3:4]).mean() < 2
    assert np.abs(plain - plain[:, 3:4]).mean() > 5


def test_what_is_hidden_is_striped_in_red_and_nothing_else_is(tmp_path):
    clear, striped = moving_slices(tmp_path), moving_slices(tmp_path, hidden=True)
    np.testing.assert_array_equal(clear[0], striped[0])
    red = (clear[1] + 3 * OCCLUDED) // 4
    marked = (striped[1] != clear[1]).any(axis=-1)
    np.testing.assert_array_equal(striped[1][marked], red[marked])
    assert 0.4 < marked.mean() < 0.6
