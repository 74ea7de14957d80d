"""Trust, compared with what the definitions say pixel by pixel."""

import math

import numpy as np
import pytest

from pipeline.errors import ShapeError
from stages.ops.label_trust import (
    certainty_histogram,
    label_certainty,
    neighbour_agreement,
    supported_pixels,
    trust_levels,
    trusted_by_class,
)
from stages.ops.soft_masks import winning_classes

SIZE = (13, 17)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def soft_mask(rng, classes):
    shares = rng.dirichlet(np.ones(classes + 1), SIZE)
    return np.floor(shares[..., 1:] * 255).astype(np.uint8)


@pytest.mark.parametrize("classes", [0, 1, 3])
def test_certainty_is_the_probability_of_the_label_pixel_by_pixel(rng, classes):
    mask = soft_mask(rng, classes)
    labels = rng.integers(0, classes + 1, SIZE).astype(np.uint8)
    actual = label_certainty(mask, labels)
    for y, x in np.ndindex(SIZE):
        values = [int(v) for v in mask[y, x]]
        wanted = 255 - sum(values) if labels[y, x] == 0 else values[labels[y, x] - 1]
        assert actual[y, x] == wanted


def test_certainty_of_the_winner_is_the_largest_probability(rng):
    mask = soft_mask(rng, 3)
    labels = winning_classes(mask.astype(np.float32) / 255)
    rest = 255 - mask.sum(axis=-1, dtype=int)
    np.testing.assert_array_equal(
        label_certainty(mask, labels), np.maximum(mask.max(axis=-1), rest).astype(np.uint8)
    )


def test_agreement_matches_the_definition_pixel_by_pixel(rng):
    labels, others = rng.integers(0, 3, (2, *SIZE)).astype(np.uint8)
    flow = rng.normal(0, 4, (2, *SIZE)).astype(np.float32)
    visible = rng.random(SIZE) < 0.7
    actual = neighbour_agreement(labels, others, flow, visible)
    for y, x in np.ndindex(SIZE):
        px = math.floor(np.float32(x + flow[0, y, x]) + 0.5)
        py = math.floor(np.float32(y + flow[1, y, x]) + 0.5)
        inside = 0 <= px < SIZE[1] and 0 <= py < SIZE[0]
        wanted = 0
        if visible[y, x] and inside:
            wanted = 2 if labels[y, x] == others[py, px] else 1
        assert actual[y, x] == wanted
    assert set(np.unique(actual)) == {0, 1, 2}


def test_agreement_refuses_a_flow_of_another_size():
    labels, visible = np.zeros(SIZE, np.uint8), np.ones(SIZE, bool)
    with pytest.raises(ShapeError, match="flow"):
        neighbour_agreement(labels, labels, np.zeros((2, 5, 5), np.float32), visible)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("least", [0, 2, 9])
def test_support_matches_the_definition_pixel_by_pixel(rng, share, least):
    answers = rng.integers(0, 3, (6, *SIZE)).astype(np.uint8)
    actual = supported_pixels(answers, share=share, least=least)
    for y, x in np.ndindex(SIZE):
        values = answers[:, y, x].tolist()
        seen_by = sum(v > 0 for v in values)
        enough = values.count(2) * 10 >= round(share * 10) * seen_by
        assert actual[y, x] == (enough and seen_by >= min(least, 6))


def test_a_share_of_seven_in_ten_is_met_by_seven_of_ten():
    answers = np.array([2] * 7 + [1] * 3, np.uint8).reshape(10, 1, 1)
    assert supported_pixels(answers, share=0.7, least=1).all()


def test_a_frame_without_neighbours_is_supported():
    assert supported_pixels(np.zeros((0, *SIZE), np.uint8), share=1, least=3).all()


def test_a_histogram_counts_every_chosen_pixel_once(rng):
    labels = rng.integers(0, 3, SIZE).astype(np.uint8)
    sure = rng.integers(0, 256, SIZE).astype(np.uint8)
    chosen = rng.random(SIZE) < 0.5
    actual = certainty_histogram(labels, sure, chosen, classes=3)
    assert actual.shape == (4, 256)
    wanted = np.zeros((4, 256), int)
    for y, x in np.ndindex(SIZE):
        wanted[labels[y, x], sure[y, x]] += chosen[y, x]
    np.testing.assert_array_equal(actual, wanted)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.99])
def test_levels_keep_the_surest_as_sorting_them_all_would(rng, share):
    sure = [rng.integers(0, 256, n) for n in (500, 90, 7)]
    failed = [40, 0, 5]  # pixels that failed other tests
    counts = np.stack([np.bincount(v, minlength=256) for v in sure])
    pixels = np.array([len(v) + f for v, f in zip(sure, failed, strict=True)])
    actual = trust_levels(counts, pixels, least=[0.1] * 3, kept_shares=[share] * 3)
    for k, values in enumerate(sure):
        ranked = sorted(values.tolist(), reverse=True)
        wanted = math.ceil(share * pixels[k] - 1e-9)
        level = ranked[wanted - 1] if wanted <= len(ranked) else 0
        assert actual[k] == max(level, 26)  # 0.1 · 255 is 25.5


def test_a_value_alone_is_the_level():
    counts, pixels = np.ones((2, 256), np.int64), np.full(2, 256)
    assert trust_levels(counts, pixels, least=[0.8, 0], kept_shares=[1, 1]).tolist() == [204, 0]


def test_a_class_without_pixels_has_the_level_of_its_value():
    counts, pixels = np.zeros((1, 256), np.int64), np.zeros(1, np.int64)
    assert trust_levels(counts, pixels, least=[0.5], kept_shares=[0.3]).tolist() == [128]


def test_pixels_of_one_certainty_are_kept_together():
    counts = np.zeros((1, 256), np.int64)
    counts[0, 255] = 100
    assert trust_levels(counts, np.array([100]), least=[0], kept_shares=[0.1]).tolist() == [255]


def test_trusted_pixels_pass_and_are_as_sure_as_their_class_has_to_be(rng):
    labels = rng.integers(0, 3, SIZE).astype(np.uint8)
    sure = rng.integers(0, 256, SIZE).astype(np.uint8)
    passed = rng.random(SIZE) < 0.5
    least = np.array([100, 200, 0])
    actual = trusted_by_class(labels, sure, passed, least)
    for y, x in np.ndindex(SIZE):
        assert actual[y, x] == (passed[y, x] and sure[y, x] >= least[labels[y, x]])
