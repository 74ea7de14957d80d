import numpy as np
import pytest

from stages.ops.disagreement import mark_disagreement, uniform_labels
from tests.support.slow_trajectories import tiny_clip

MARGIN = 1


def slow_uniform(labels, margin):
    """Return the one label of each pixel's surroundings, -1 where there are two."""
    out = np.empty(labels.shape, np.int16)
    for y, x in np.ndindex(labels.shape):
        around = labels[max(y - margin, 0) : y + margin + 1, max(x - margin, 0) : x + margin + 1]
        out[y, x] = around.min() if (around == around[0, 0]).all() else -1
    return out


def slow_marks(labels, flow, frame, reach):
    """Follow each block's middle to either side; mark the block if another label comes near."""
    uniform = [slow_uniform(frame_labels, MARGIN) for frame_labels in labels]
    rows, columns = labels.shape[1:]
    out = np.zeros((rows, columns), np.bool_)
    for top, left in np.ndindex(-(-rows // 4), -(-columns // 4)):
        row, column = min(4 * top + 2, rows - 1), min(4 * left + 2, columns - 1)
        own = uniform[frame][row, column]
        met = {int(own)}
        for step in (-1, 1):
            x, y, t = float(column), float(row), frame
            for _ in range(reach):
                if not 0 <= t + step < len(labels):
                    break
                u, v = flow[t, (step + 1) // 2, :, int(y), int(x)] / 64
                x, y = np.clip(x + u, 0, columns - 1), np.clip(y + v, 0, rows - 1)
                t += step
                met.add(int(uniform[t][int(y), int(x)]))
        out[4 * top : 4 * top + 4, 4 * left : 4 * left + 4] = own < 0 or len(met) > 1
    return out


@pytest.mark.parametrize("reach", [1, 3])
def test_equals_its_description(reach):
    _, labels, _, flow = tiny_clip()
    areas = np.zeros_like(labels)
    areas[:, :, 9:] = 1
    areas[3, 4:10, 2:12] = 2
    uniform = np.stack([uniform_labels(frame_labels, MARGIN) for frame_labels in areas])
    marks = mark_disagreement(uniform, flow, 1, reach=reach)
    assert 0 < marks.mean() < 1
    np.testing.assert_array_equal(marks, slow_marks(areas, flow, 1, reach))


def test_uniform_labels_equal_their_description():
    labels = np.random.default_rng(0).integers(0, 2, (20, 30)).astype(np.uint8)
    labels[:8, :14] = 1
    for margin in (1, 2):
        np.testing.assert_array_equal(uniform_labels(labels, margin), slow_uniform(labels, margin))
