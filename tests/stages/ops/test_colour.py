import numpy as np
import pytest

from pipeline.errors import ShapeError
from stages.ops.colour import colour_evidence, count_colours

RED, GREEN, GREY = (200, 20, 20), (20, 200, 20), (120, 120, 120)


def scene():
    """A red square on green, a grey stripe through both."""
    image = np.empty((64, 64, 3), np.uint8)
    image[:] = GREEN
    image[16:48, 16:48] = RED
    image[30:34] = GREY
    truth = np.zeros((64, 64, 1), np.float32)
    truth[16:48, 16:48] = 1
    return image, truth


def slow_counts(image, mask):
    rows, columns, classes = mask.shape
    out = np.zeros((classes, 2, 4096), np.float32)
    reach = max(round(rows / 16), 1)
    for c in range(classes):
        for y in range(rows):
            for x in range(columns):
                near = mask[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1, c]
                if (near > 0.5).any():
                    r, g, b = (int(value) // 16 for value in image[y, x])
                    out[c, 0, (r * 16 + g) * 16 + b] += mask[y, x, c]
                    out[c, 1, (r * 16 + g) * 16 + b] += 1 - mask[y, x, c]
    return out


def test_counts_equal_those_of_a_loop_over_pixels():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (37, 45, 3), np.uint8)
    mask = rng.random((37, 45, 2), np.float32) * np.float32(0.502)
    np.testing.assert_allclose(count_colours(image, mask), slow_counts(image, mask), rtol=1e-5)


def test_a_colour_of_the_object_speaks_for_it_wherever_it_is():
    image, truth = scene()
    image[5:8, 5:8] = RED
    evidence = colour_evidence(image, count_colours(image, truth))
    assert evidence[6, 6, 0] > 2
    assert evidence[2, 30, 0] < -2


def test_a_colour_on_both_sides_says_less_than_one_on_one_side():
    image, truth = scene()
    evidence = colour_evidence(image, count_colours(image, truth))
    assert abs(evidence[32, 32, 0]) < evidence[20, 20, 0] / 2


def test_a_colour_never_seen_says_nothing():
    image, truth = scene()
    counts = count_colours(image, truth)
    image[0, 0] = (16, 16, 255)
    assert colour_evidence(image, counts)[0, 0, 0] == 0


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_empty_or_a_full_mask_gives_no_evidence(value):
    image, truth = scene()
    truth[:] = value
    assert not colour_evidence(image, count_colours(image, truth)).any()


def test_the_background_as_a_class_has_the_opposite_evidence():
    image, truth = scene()
    counts = count_colours(image, truth)
    there, back = colour_evidence(image, counts), colour_evidence(image, counts[:, ::-1].copy())
    np.testing.assert_allclose(there, -back, atol=1e-5)


def test_sizes_that_do_not_agree_are_refused():
    image, truth = scene()
    with pytest.raises(ShapeError, match=r"mask: expected"):
        count_colours(image, truth[1:])
