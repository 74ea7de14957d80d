"""The cover of redaction: nothing is taken away, no frame between sightings is bare."""

import numpy as np
import pytest

from stages.ops.cover import ABSENT, CARRIED, NEVER, SIGHTED, carry_ages, cover_frames

SIZE = (40, 60)
SPEED = 2


def disc(t):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.hypot(x - 12 - SPEED * t, y - 20) < 7


def flows(frames, step):
    uv = np.zeros((2, *SIZE), np.float32)
    uv[0] = step * SPEED
    return [uv] * frames


def covered(evidence, gap=5, growth=0, wanted=None, **more):
    n = len(evidence)
    wanted = wanted or range(n)
    return cover_frames(
        evidence, flows(n, -1), flows(n, 1), wanted, gap=gap, growth=growth, **more
    )  # fmt: skip


def scene(frames, gone):
    truth = np.stack([disc(t) for t in range(frames)])
    evidence = truth.copy()
    evidence[list(gone)] = False
    return truth, evidence


def test_a_gap_is_covered_where_the_object_was_and_evidence_stays():
    truth, evidence = scene(12, range(4, 8))
    cover, states = covered(evidence)
    np.testing.assert_array_equal(cover, truth)
    assert states.tolist() == [SIGHTED] * 4 + [CARRIED] * 4 + [SIGHTED] * 4


def test_a_part_that_is_missing_for_a_while_is_covered():
    truth, evidence = scene(12, ())
    evidence[4:8, 20:] = False
    cover, _ = covered(evidence)
    assert (cover & truth).sum() == truth.sum()
    assert (cover & ~truth).sum() == 0


def test_a_longer_gap_is_left_bare_and_said_so():
    _, evidence = scene(14, range(4, 10))
    cover, states = covered(evidence, gap=5)
    assert states[4:10].tolist() == [ABSENT] * 6
    assert not cover[4:10].any()
    assert covered(evidence, gap=6)[1][4:10].tolist() == [CARRIED] * 6


def test_an_object_that_leaves_is_not_covered_after_it_left():
    _, evidence = scene(12, range(6, 12))
    cover, states = covered(evidence)
    assert not cover[6:].any()
    assert states[6:].tolist() == [ABSENT] * 6


@pytest.mark.parametrize("gone", [range(3), range(9, 12)])
def test_the_ends_of_a_shot_count_as_sightings_where_asked(gone):
    truth, evidence = scene(12, gone)
    assert not covered(evidence)[0][list(gone)].any()
    cover, states = covered(evidence, edges=(True, True))
    np.testing.assert_array_equal(cover, truth)
    assert (states[list(gone)] == CARRIED).all()


def test_where_the_flow_loses_the_object_no_frame_is_bare():
    truth, evidence = scene(12, range(4, 8))
    wrong = np.full((2, *SIZE), 1000, np.float32)
    cover, states = cover_frames(evidence, [wrong] * 12, [wrong] * 12, range(12), gap=5, growth=0)
    assert (states[4:8] == CARRIED).all()
    np.testing.assert_array_equal(cover, truth)  # the line between the sightings is the truth here


def test_growth_covers_more_the_farther_a_sighting_is_away():
    _, evidence = scene(12, range(4, 9))
    grown = covered(evidence, growth=1)[0].sum(axis=(1, 2)) - covered(evidence)[0].sum(axis=(1, 2))
    assert 0 < grown[4] < grown[6] > grown[8] > 0


@pytest.mark.parametrize("length", [1, 2, 5, 12])
def test_the_cover_does_not_depend_on_how_frames_are_cut_into_chunks(length):
    rng = np.random.default_rng(0)
    frames, gap = 40, 4
    evidence = np.stack([disc(t % 20) & (rng.random(SIZE) < 0.6) for t in range(frames)])
    evidence[rng.choice(frames, 16, replace=False)] = False
    whole, states = covered(evidence, gap=gap, growth=1, edges=(True, True))
    for start in range(0, frames, length):
        stop = min(start + length, frames)
        low, high = max(start - gap, 0), min(stop + gap, frames)
        cover, state = covered(
            evidence[low:high], gap=gap, growth=1, wanted=range(start - low, stop - low),
            edges=(low > start - gap, high < stop + gap),
        )  # fmt: skip
        np.testing.assert_array_equal(cover, whole[start:stop])
        np.testing.assert_array_equal(state, states[start:stop])


def test_ages_count_frames_and_end_at_the_limit():
    ages = np.full(SIZE, NEVER, np.uint8)
    ages[20, 30] = 0
    still = np.zeros((2, *SIZE), np.float32)
    for wanted in (1, 2, NEVER):
        ages = carry_ages(ages, still, limit=2, growth=0)
        assert ages[20, 30] == wanted
    assert (ages == NEVER).all()
