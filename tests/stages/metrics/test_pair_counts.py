import numpy as np
import pytest

from pipeline.errors import ShapeError
from stages.metrics.pair_counts import MIXED, count_agreement, tile_labels
from stages.metrics.stability import disagreement
from stages.ops.fixed_point import pack_flow, unpack_flow
from stages.ops.warp import resize_flow

SIZE = (92, 150)


@pytest.fixture
def labels():
    """Two frames of three labels in large areas."""
    out = np.zeros((2, *SIZE), np.uint8)
    out[0, 20:70, 30:90], out[0, 60:92, 100:150] = 1, 2
    out[1, 24:74, 36:96], out[1, 60:92, 100:150] = 1, 2
    return out


def slow_counts(labels, others, flow, visible, count):
    """Pixel by pixel, with the flow enlarged as a whole."""
    rows, columns = labels.shape
    along = resize_flow(unpack_flow(flow), labels.shape)
    counts = np.zeros((count, 3), np.int64)
    for y in range(rows):
        for x in range(columns):
            px, py = np.floor(np.array([x, y]) + along[:, y, x] + 0.5).astype(int)
            shown = visible[y * visible.shape[0] // rows, x * visible.shape[1] // columns]
            if shown and 0 <= px < columns and 0 <= py < rows:
                counts[labels[y, x], 0] += 1
                counts[others[py, px], 1] += 1
                counts[labels[y, x], 2] += labels[y, x] == others[py, px]
    return counts


def counts_of(pairs, flow, visible, count=3):
    tiles = [tuple(map(tile_labels, pair)) for pair in pairs]
    return count_agreement(pairs, tiles, pack_flow(flow), visible, count)


@pytest.mark.parametrize("grid", [SIZE, (46, 75), (40, 61)])
@pytest.mark.parametrize("strength", [0.0, 2.0, 30.0])
def test_tiles_counted_as_a_whole_change_no_count(labels, grid, strength):
    rng = np.random.default_rng(5)
    flow = (strength * rng.standard_normal((2, 3, 4))).astype(np.float32)
    flow = resize_flow(flow, grid).astype(np.float32) / 10 + np.float32(0.004)
    visible = rng.random(grid) < 0.7
    pairs = [(labels[0], labels[1]), (labels[1], labels[1])]
    for counts, pair in zip(counts_of(pairs, flow, visible), pairs, strict=True):
        slow = slow_counts(*pair, pack_flow(flow), visible, 3)
        # A last bit may decide to which of two pixels a place between them is rounded.
        assert np.abs(counts - slow).max() <= 2
        assert counts[:, 0].sum() > 0.3 * labels[0].size or strength > 2


def test_labels_add_up_to_the_disagreement_of_all(labels):
    flow = pack_flow(np.full((2, *SIZE), 3.25, np.float32))
    visible = np.random.default_rng(6).random(SIZE) < 0.6
    own, other, both = counts_of([tuple(labels)], unpack_flow(flow), visible)[0].T
    wrong, count = disagreement(*labels, unpack_flow(flow), visible)
    assert own.sum() == other.sum() == count
    assert count - both.sum() == wrong > 0


def test_without_motion_every_pixel_counts_once(labels):
    counts = counts_of([tuple(labels)], np.zeros((2, 46, 75), np.float32), np.ones((46, 75), bool))
    for label in range(3):
        here, there = labels[0] == label, labels[1] == label
        assert counts[0, label].tolist() == [here.sum(), there.sum(), (here & there).sum()]


def test_a_tile_has_its_one_label_or_is_mixed(labels):
    actual = tile_labels(labels[0])
    assert actual.shape == (6, 10)
    for i in range(6):
        for j in range(10):
            inside = np.unique(labels[0][16 * i : 16 * i + 16, 16 * j : 16 * j + 16])
            assert actual[i, j] == (inside[0] if len(inside) == 1 else MIXED)


def test_flow_and_visibility_of_different_grids_are_refused(labels):
    with pytest.raises(ShapeError, match="visible"):
        counts_of([tuple(labels)], np.zeros((2, 46, 75), np.float32), np.ones((46, 70), bool))
