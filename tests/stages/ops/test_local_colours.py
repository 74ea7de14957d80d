import numpy as np
import pytest

from stages.ops.local_colours import (
    CLEAR,
    CLEAR_ODDS,
    FEWEST,
    NOISE,
    WINDOW,
    local_colour_odds,
    shift_to_colours,
)

SIZE = (36, 44)


def two_colours(edge, noise=6.0, seed=5):
    """A picture that is bright left of a column, and dark from there on."""
    rng = np.random.default_rng(seed)
    image = np.where(np.arange(SIZE[1])[None, :, None] < edge, 150.0, 110.0)
    image = image + rng.normal(0, noise, (*SIZE, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def distance_to_column(edge):
    """Signed distance to an upright outline left of a column."""
    row = edge - 0.5 - np.arange(SIZE[1], dtype=np.float32)
    return np.repeat(row[None], SIZE[0], axis=0)


def slow_density(image, side, y, x):
    """Learn the colours of a side pixel by pixel."""
    colours = [
        image[i, j].astype(float)
        for i in range(max(y - WINDOW, 0), min(y + WINDOW + 1, SIZE[0]))
        for j in range(max(x - WINDOW, 0), min(x + WINDOW + 1, SIZE[1]))
        if side[i, j]
    ]
    if len(colours) < FEWEST:
        return None
    away = image[y, x] - np.mean(colours, axis=0)
    covariance = np.cov(np.transpose(colours), bias=True) + NOISE * np.eye(3)
    square = away @ np.linalg.solve(covariance, away)
    return -0.5 * (square + np.log(np.linalg.det(covariance)))


def test_odds_agree_with_colours_learnt_pixel_by_pixel():
    image, distance = two_colours(20), distance_to_column(22)
    odds = local_colour_odds(image, distance)
    seen = set()
    for y, x in np.ndindex(SIZE):
        inside = slow_density(image, distance > CLEAR, y, x)
        outside = slow_density(image, distance < -CLEAR, y, x)
        known = inside is not None and outside is not None
        expected = np.clip(inside - outside, -CLEAR_ODDS, CLEAR_ODDS) if known else 0
        assert odds[y, x] == pytest.approx(expected, abs=1e-4)
        seen.add(known)
    assert seen == {True, False}


@pytest.mark.parametrize(("weight", "columns_off"), [(0.0, 1), (6.0, 2)])
def test_an_uncertain_outline_goes_to_the_edge_of_the_colours(weight, columns_off):
    edge, image = 20, two_colours(20)
    own = distance_to_column(edge + 3)
    places = np.argwhere(np.abs(own) < 6).astype(np.int32)
    mean = own[places[:, 0], places[:, 1]]
    weights = np.full(len(places), weight, np.float32)
    shifted = shift_to_colours(image, own, places, mean, weights, jump=2.0)
    plane = own.copy()
    plane[places[:, 0], places[:, 1]] = shifted
    middle = plane[10:-10] > 0
    assert abs(middle.sum(axis=1).mean() - edge) < columns_off + 0.5
    assert middle.sum(axis=1).mean() < edge + 3


def test_an_outline_between_like_colours_stays():
    image = np.full((*SIZE, 3), 90, np.uint8)
    own = distance_to_column(20)
    places = np.argwhere(np.abs(own) < 6).astype(np.int32)
    mean = own[places[:, 0], places[:, 1]] + 0.25
    weights = np.ones(len(places), np.float32)
    shifted = shift_to_colours(image, own, places, mean, weights, jump=2.0)
    assert np.array_equal(shifted, mean)
