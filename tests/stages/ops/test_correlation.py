"""Look-ups in correlation pyramids against the paper's definition, sample by sample."""

import numpy as np
import pytest

from pipeline.errors import ShapeError
from stages.ops.correlation import (
    correlation_pyramid,
    feature_pyramid,
    look_up,
    look_up_features,
    transposed_volume,
)

SIZE = (9, 12)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def volume(rng):
    return rng.normal(size=(SIZE[0] * SIZE[1], *SIZE)).astype(np.float32)


def value(picture, x, y):
    """One bilinear sample; outside there is nothing."""
    total = 0.0
    for row in (int(np.floor(y)), int(np.floor(y)) + 1):
        for column in (int(np.floor(x)), int(np.floor(x)) + 1):
            if 0 <= row < picture.shape[0] and 0 <= column < picture.shape[1]:
                total += picture[row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return total


def slow_look_up(volume, at, levels, radius):
    out = []
    for n, (x, y) in enumerate(at.T.astype(float)):
        picture, samples = volume[n].astype(float), []
        for k in range(levels):
            for dx in range(-radius, radius + 1):
                for dy in range(-radius, radius + 1):
                    samples.append(value(picture, x / 2**k + dx, y / 2**k + dy))
            rows, columns = picture.shape[0] // 2, picture.shape[1] // 2
            whole = picture[: 2 * rows, : 2 * columns]
            picture = whole.reshape(rows, 2, columns, 2).mean(axis=(1, 3))
        out.append(samples)
    return np.array(out)


@pytest.mark.parametrize("radius", [0, 2, 4])
def test_a_look_up_is_what_the_paper_says_sample_by_sample(rng, volume, radius):
    at = rng.uniform(-8, 20, size=(2, len(volume))).astype(np.float32)
    at[:, :20] = np.round(at[:, :20])  # also at whole pixels
    fast = look_up(correlation_pyramid(volume, 3), at, radius=radius)
    np.testing.assert_allclose(fast, slow_look_up(volume, at, 3, radius), atol=1e-5)


@pytest.mark.parametrize("position", [np.nan, np.inf, -np.inf, 1e30, -1e30, 40.0])
def test_far_away_there_is_nothing(volume, position):
    at = np.full((2, len(volume)), 4, np.float32)
    at[0] = position
    assert not look_up(correlation_pyramid(volume, 2), at, radius=4).any()


def test_the_pyramid_leaves_out_a_last_row_without_a_partner(volume):
    shapes = [level.shape[1:] for level in correlation_pyramid(volume, 4)]
    assert shapes == [(9, 12), (4, 6), (2, 3), (1, 1)]


@pytest.mark.parametrize("size", [(9, 12), (4, 27), (1, 108)])
def test_the_volume_of_the_other_direction_is_the_transpose(volume, size):
    back = transposed_volume(volume, size)
    assert back.shape == (108, *size)
    np.testing.assert_array_equal(back.reshape(108, 108), volume.reshape(108, 108).T)


def test_there_and_back_is_the_volume_itself(volume):
    np.testing.assert_array_equal(transposed_volume(transposed_volume(volume, SIZE), SIZE), volume)


def test_places_must_be_as_many_as_pixels(volume):
    with pytest.raises(ShapeError, match="level_0"):
        look_up([volume], np.zeros((2, 7), np.float32), radius=1)


@pytest.fixture
def features(rng):
    return rng.normal(size=(2, *SIZE, 16)).astype(np.float32)


@pytest.mark.parametrize("radius", [0, 2, 4])
def test_without_a_volume_it_is_the_same(rng, features, radius):
    own, other = features
    own = own.reshape(-1, 16)
    volume = np.einsum("nc,hwc->nhw", own, other)
    at = rng.uniform(-8, 20, size=(2, len(own))).astype(np.float32)
    at[:, :20] = np.round(at[:, :20])
    from_features = look_up_features(own, feature_pyramid(other, 3), at, radius=radius)
    np.testing.assert_allclose(from_features, slow_look_up(volume, at, 3, radius), atol=1e-4)


@pytest.mark.parametrize("position", [np.nan, np.inf, -np.inf, 1e30, -1e30, 40.0])
def test_without_a_volume_far_away_there_is_nothing_either(features, position):
    own, other = features
    at = np.full((2, SIZE[0] * SIZE[1]), 4, np.float32)
    at[0] = position
    actual = look_up_features(own.reshape(-1, 16), feature_pyramid(other, 2), at, radius=4)
    assert not actual.any()


def test_channels_must_agree(features):
    at = np.zeros((2, 108), np.float32)
    with pytest.raises(ShapeError, match="level_0"):
        look_up_features(np.zeros((108, 8), np.float32), [features[0]], at, radius=1)
