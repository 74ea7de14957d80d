"""Colours of flow and labels, and where the worst moments are."""

import colorsys

import numpy as np
import pytest

from pipeline.errors import ShapeError
from stages.ops.drawn_pictures import (
    flow_colours,
    label_colours,
    largest_peaks,
    lay_over,
    mask_layer,
)


def test_flow_has_the_hue_of_its_angle_and_the_strength_of_its_length():
    rng = np.random.default_rng(1)
    flow = rng.normal(0, 3, (2, 6, 7)).astype(np.float32)
    actual = flow_colours(flow, strongest=4.0)
    for y in range(6):
        for x in range(7):
            u, v = flow[:, y, x]
            hue = np.arctan2(v, u) / (2 * np.pi) % 1
            colour = colorsys.hsv_to_rgb(hue, min(np.hypot(u, v) / 4, 1), 1)
            np.testing.assert_allclose(actual[y, x], 255 * np.array(colour), atol=10)


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
    actual = flow_colours(flow, strongest=4.0)
    assert actual.shape == (3, 4, 3)
    np.testing.assert_allclose(actual[1, 2], colour, atol=5)


def test_labels_take_their_own_colour():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 256, (5, 6)).astype(np.uint8)
    colours = rng.integers(0, 256, (256, 3)).astype(np.uint8)
    np.testing.assert_array_equal(label_colours(labels, colours), colours[labels])


def test_a_layer_is_laid_over_a_picture_as_the_definition_says():
    rng = np.random.default_rng(4)
    picture, layer = rng.integers(0, 256, (2, 9, 8, 3)).astype(np.uint8)
    below, above = picture / 255, layer / 255
    wanted = np.where(
        above <= 0.5, 2 * above * below, below + (2 * above - 1) - below * (2 * above - 1)
    )
    np.testing.assert_allclose(lay_over(picture, layer), 255 * wanted, atol=2)
    neutral = np.full_like(picture, 128)
    np.testing.assert_allclose(lay_over(picture, neutral), picture, atol=1)


@pytest.mark.parametrize("colour", [0, 90, 255])
def test_an_outline_shows_on_a_picture_of_any_grey(colour):
    """White and black lie side by side along the outline, whatever is below and inside."""
    labels = np.zeros((20, 20), np.uint8)
    labels[5:15, 5:15] = 1
    colours = np.full((256, 3), colour, np.uint8)
    shown = lay_over(np.full((20, 20, 3), colour, np.uint8), mask_layer(labels, colours))
    assert (shown[10, 5] == 255).all()
    assert (shown[10, 4] == 0).all()
    assert (shown[10, 2] == colour).all()


def test_classes_that_touch_have_an_outline_between_them():
    labels = np.ones((8, 8), np.uint8)
    labels[:, 4:] = 2
    layer = mask_layer(labels, np.full((256, 3), 60, np.uint8))
    assert (layer[:, 3:5] == 255).all()
    assert (layer[:, :3] == (60 + 128) // 2).all()


def test_flow_of_a_wrong_shape_is_refused():
    with pytest.raises(ShapeError, match="flow"):
        flow_colours(np.zeros((3, 4, 2), np.float32), strongest=1.0)


def test_peaks_are_the_largest_values_that_lie_apart():
    values = np.array([0, 9, 8, 0, 5, np.nan, 7, 0, 6.0])
    assert largest_peaks(values, count=3, apart=3) == [1, 6]
    assert largest_peaks(values, count=9, apart=2) == [1, 6, 8, 4]
    assert largest_peaks(values, count=1, apart=1) == [1]
    assert largest_peaks(np.full(4, np.nan), count=3, apart=1) == []
    assert largest_peaks(np.zeros(4), count=3, apart=1) == []
