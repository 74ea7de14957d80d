import numpy as np
import pytest

from stages.ops.pictures import flow_colours, label_colours, peaks


@pytest.mark.parametrize(
    ("motion", "colour"),
    [
        ((0, 0), (255, 255, 255)),
        ((4, 0), (255, 0, 0)),
        ((-4, 0), (0, 255, 255)),
        ((0, 4), (128, 255, 0)),
        ((0, -4), (128, 0, 255)),
        ((2, 0), (255, 128, 128)),
        ((9, 0), (255, 0, 0)),
    ],
)
def test_flow_is_a_colour_by_direction_and_strength(motion, colour):
    flow = np.broadcast_to(np.array(motion, np.float32)[:, None, None], (2, 3, 4)).copy()
    found = flow_colours(flow, strongest=4.0)
    assert found.shape == (3, 4, 3)
    np.testing.assert_allclose(found[1, 2], colour, atol=5)


def test_labels_have_the_colours_given():
    colours = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(label_colours(labels, colours).reshape(256, 3), colours)


def test_peaks_are_the_largest_values_that_lie_apart():
    values = np.array([0, 5, 4, 0, 3, np.nan, 0, 9, 8, 1], float)
    assert peaks(values, count=3, apart=3) == [7, 1, 4]
    assert peaks(values, count=2, apart=1) == [7, 8]
    assert peaks(np.zeros(4), count=3, apart=1) == []
    assert peaks(np.full(3, np.nan), count=3, apart=1) == []
