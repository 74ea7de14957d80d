import numpy as np
import pytest

from pipeline.errors import ConfigError
from steadymask.evaluation.kinds_of_masks import KINDS, bad_spells, make_masks


@pytest.fixture
def truth():
    masks = [np.zeros((60, 90), np.uint8) for _ in range(40)]
    for t, mask in enumerate(masks):
        mask[10:40, 10 + t : 30 + t] = 1
        mask[45:55, 60:80] = 2
    return masks


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_masks(truth, kind):
    first, second = (make_masks(truth, kind, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (np.array(first) == np.array(truth)).all() == (kind == "truth")


@pytest.mark.parametrize("kind", ["dropout", "leak", "swap", "specks"])
def test_frames_outside_the_spells_are_true(truth, kind):
    spells = bad_spells(len(truth), np.random.default_rng(3))
    masks = make_masks(truth, kind, np.random.default_rng(3))
    wrong = [t for t in range(len(truth)) if (masks[t] != truth[t]).any()]
    assert 2 <= len(wrong) <= 20
    assert spells
    assert all((masks[t] == truth[t]).all() for t in (0, 1, 2, len(truth) - 1))


def test_edges_boil_by_two_pixels(truth):
    masks = make_masks(truth, "boiling", np.random.default_rng(0))
    share = np.mean([(a != b).sum() / 160 for a, b in zip(masks, truth, strict=True)])
    assert 0.8 < share < 2.5  # pixels for each of the 160 of the outlines


@pytest.mark.parametrize("kind", ["jitter", "breathing"])
def test_whole_masks_jump_by_two_pixels(truth, kind):
    masks = make_masks(truth, kind, np.random.default_rng(0))
    areas = np.array([mask.astype(bool).sum() for mask in masks]) / 800
    assert (np.ptp(areas[:20]) > 0.5) == (kind == "breathing")
    share = np.mean([(a != b).sum() / 160 for a, b in zip(masks, truth, strict=True)])
    assert 0.6 < share < 2.5  # pixels for each of the 160 of the outlines


def test_specks_are_small_and_leave_outlines_alone(truth):
    masks = make_masks(truth, "specks", np.random.default_rng(3))
    wrong = np.array(masks) != np.array(truth)
    assert 20 < wrong.sum(axis=(1, 2)).max() < 3 * 250
    for t in np.flatnonzero(wrong.any(axis=(1, 2))):
        near = np.pad(truth[t], 1, mode="edge")
        alike = [near[1 + i : 61 + i, 1 + j : 91 + j] == truth[t] for i in (-1, 1) for j in (-1, 1)]
        assert np.all(alike, axis=0)[wrong[t]].mean() > 0.95  # the object moves in a spell


def test_a_long_spell_has_twenty_empty_frames(truth):
    assert (
        sum(not mask.any() for mask in make_masks(truth, "spell", np.random.default_rng(0))) == 20
    )


def test_an_unknown_kind_is_refused(truth):
    with pytest.raises(ConfigError, match="expected one of truth, dropout"):
        make_masks(truth, "nice", np.random.default_rng(0))
