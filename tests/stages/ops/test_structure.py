import numpy as np
import pytest

from stages.ops.structure import (
    BINS,
    CLEAR_ODDS,
    colour_bins,
    colour_odds,
    confirm_errors,
    count_colours,
    find_doubt,
    widen_errors,
)

SIZE = (120, 160)
SUPPORT = np.full(SIZE, 4, np.float32)


def box(top, bottom, left, right):
    mask = np.zeros(SIZE, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


OBJECT = box(30, 90, 40, 120)


def votes_for(mask):
    return mask.astype(np.float32)


def errors(own, votes, odds=0.0, support=SUPPORT):
    doubt = find_doubt(own, votes, support)
    if doubt is None:
        return None
    return confirm_errors(doubt, own, votes, lambda: np.full(SIZE, odds, np.float32))


def test_a_mask_that_all_agree_with_is_not_in_doubt():
    assert find_doubt(OBJECT, votes_for(OBJECT), SUPPORT) is None


def test_a_line_along_the_outline_is_not_in_doubt():
    assert find_doubt(box(31, 89, 41, 119), votes_for(OBJECT), SUPPORT) is None


@pytest.mark.parametrize("own", [OBJECT & box(0, 60, 0, 160), OBJECT | box(30, 60, 120, 150)])
def test_what_is_missing_and_what_is_too_much_is_an_error(own):
    wrong = errors(own, votes_for(OBJECT))
    assert (wrong == (own != OBJECT)).all()


def large_box(top, bottom, left, right):
    mask = np.zeros((240, 320), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


LARGE = large_box(60, 180, 80, 240)
ISLAND, HOLE = large_box(80, 85, 20, 25), large_box(116, 121, 156, 161)


def small_errors(own, votes, odds=0.0, support=None):
    support = np.full(own.shape, 4, np.float32) if support is None else support
    doubt = find_doubt(own, votes, support)
    assert doubt is not None
    return confirm_errors(doubt, own, votes, lambda: np.full(own.shape, odds, np.float32))


@pytest.mark.parametrize("own", [LARGE | ISLAND, LARGE & ~HOLE])
def test_a_whole_island_or_hole_is_an_error_though_small(own):
    np.testing.assert_array_equal(small_errors(own, votes_for(LARGE)), own != LARGE)


def test_an_island_is_an_error_whatever_the_limb_beside_it_does():
    own, voted = LARGE | ISLAND | large_box(92, 124, 56, 78), LARGE | large_box(92, 124, 20, 52)
    np.testing.assert_array_equal(small_errors(own, votes_for(voted)), ISLAND)


@pytest.mark.parametrize(
    ("own", "votes", "odds"),
    [
        pytest.param(LARGE | large_box(80, 85, 240, 245), votes_for(LARGE), 0, id="a bump"),
        pytest.param(LARGE | ISLAND, votes_for(LARGE) + 0.05 * ISLAND, 0, id="some say so too"),
        pytest.param(
            LARGE | ISLAND, votes_for(LARGE) + 0.3 * large_box(76, 80, 18, 27), 0, id="and beside"
        ),
        pytest.param(LARGE | large_box(80, 84, 20, 40), votes_for(LARGE), 0, id="a thin thing"),
        pytest.param(LARGE | ISLAND, votes_for(LARGE), 0.5, id="the object's colours"),
        pytest.param(LARGE & ~HOLE, votes_for(LARGE), -0.5, id="colours of what is around"),
    ],
)
def test_a_small_piece_that_may_be_true_stays(own, votes, odds):
    assert small_errors(own, votes.astype(np.float32), odds) is None


def test_a_part_of_an_island_whose_rest_is_not_in_doubt_stays():
    support = np.full(LARGE.shape, 4, np.float32)
    support[85:] = 0
    own = LARGE | large_box(80, 90, 20, 25)
    assert small_errors(own, votes_for(LARGE), support=support) is None


def test_what_nobody_vouches_for_is_no_error():
    assert find_doubt(np.zeros(SIZE, np.bool_), votes_for(OBJECT), 0.1 * SUPPORT) is None


def test_neighbours_that_are_not_of_one_mind_confirm_nothing():
    assert errors(np.zeros(SIZE, np.bool_), 0.8 * votes_for(OBJECT)) is None


def test_a_limb_that_moved_otherwise_is_no_error():
    """It is missing in one place and too much beside it."""
    body = box(10, 40, 10, 40)
    own, said = body | box(60, 76, 40, 56), body | box(60, 76, 58, 74)
    assert find_doubt(own, votes_for(said), SUPPORT) is not None
    assert errors(own, votes_for(said)) is None


@pytest.mark.parametrize(("odds", "is_error"), [(-3, False), (0, True), (3, True)])
def test_colours_that_speak_against_the_neighbours_are_believed(odds, is_error):
    own = OBJECT & box(0, 60, 0, 160)
    assert (errors(own, votes_for(OBJECT), odds) is not None) == is_error
    much = OBJECT | box(30, 60, 120, 150)
    assert (errors(much, votes_for(OBJECT), -odds) is not None) == is_error


def test_what_surrounds_an_error_is_no_evidence_and_only_what_differs_is_taken():
    own = OBJECT & box(0, 60, 0, 160)
    wrong, doubted = widen_errors(own != OBJECT, own, votes_for(OBJECT))
    np.testing.assert_array_equal(wrong, own != OBJECT)
    assert (doubted & ~wrong).any()
    assert (wrong <= doubted).all()


def test_colours_are_counted_inside_and_around():
    image = np.zeros((*SIZE, 3), np.uint8)
    image[OBJECT] = (200, 30, 30)
    inside, around = count_colours(image, OBJECT)
    red = (200 // 16 * BINS + 30 // 16) * BINS + 30 // 16
    assert inside[red] == inside.sum() == OBJECT.sum()
    assert around[0] == around.sum() == 90 * 110 - OBJECT.sum()  # an eighth of the rows around it
    assert not any(counts.any() for counts in count_colours(image, np.zeros(SIZE, np.bool_)))


def test_bins_and_odds_equal_their_formulas():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*SIZE, 3), np.uint8)
    red, green, blue = np.moveaxis(image // 16, -1, 0).astype(int)
    np.testing.assert_array_equal(colour_bins(image), 256 * red + 16 * green + blue)
    counts = [rng.integers(0, 9, BINS**3).astype(np.float32) for _ in range(2)]
    shares = []
    for histogram in counts:
        cube = np.pad(histogram.reshape(BINS, BINS, BINS).astype(float), 1)
        for axis in range(3):
            cube = cube + 0.5 * (np.roll(cube, 1, axis) + np.roll(cube, -1, axis))
            edge = [slice(None)] * 3
            for end in (0, -1):
                edge[axis] = end
                cube[tuple(edge)] = 0
        cube = cube[1:-1, 1:-1, 1:-1]
        shares.append(cube.ravel() / cube.sum() + 1e-5)
    odds = np.clip(np.log(shares[0] / shares[1]), -CLEAR_ODDS, CLEAR_ODDS)
    np.testing.assert_allclose(colour_odds(*counts), odds, atol=1e-3)
