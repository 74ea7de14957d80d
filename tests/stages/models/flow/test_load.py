"""Flow estimators on pictures whose motion is known."""

import cv2
import numpy as np
import pytest

from stages.models.flow.dis import DisFlow
from tests.support.model_samples import pair


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_dis_finds_a_shift_in_pixels_x_before_y(preset):
    flow = DisFlow(preset)(*pair((5, 3)))
    assert flow.shape == (2, 120, 160)
    np.testing.assert_allclose(np.median(flow, axis=(1, 2)), [5, 3], atol=0.2)


@pytest.mark.parametrize("size", [(9, 1), (1, 1), (31, 200), (30, 40)])
def test_dis_works_on_pictures_smaller_than_its_pyramid(size):
    blank = np.zeros((*size, 3), np.uint8)
    flow = DisFlow("medium")(blank, blank)
    assert flow.shape == (2, *size)
    assert np.isfinite(flow).all()


def test_dis_does_not_depend_on_threads_or_on_what_it_did_before():
    model, (first, second) = DisFlow("medium"), pair()
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        model(second, first)
        threaded = model(first, second)
        cv2.setNumThreads(1)
        np.testing.assert_array_equal(threaded, DisFlow("medium")(first, second))
    finally:
        cv2.setNumThreads(before)


def read_flo(path):
    with path.open("rb") as handle:
        assert np.fromfile(handle, np.float32, 1) == 202021.25
        columns, rows = np.fromfile(handle, np.int32, 2)
        return np.fromfile(handle, np.float32).reshape(rows, columns, 2).transpose(2, 0, 1)


@pytest.mark.parametrize("name", ["RubberWhale", "Dimetrodon", "Venus", "Hydrangea"])
def test_dis_is_near_the_true_flow_of_middlebury(data, name):
    folder = data / "flow" / name
    frames = [
        cv2.cvtColor(cv2.imread(str(folder / f"frame{k}.png")), cv2.COLOR_BGR2RGB) for k in (10, 11)
    ]
    truth = read_flo(folder / "flow10.flo")
    known = np.abs(truth).max(axis=0) < 1e9
    error = np.hypot(*(DisFlow("medium")(*frames) - truth))[known]
    assert error.mean() < 0.6
