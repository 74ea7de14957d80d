"""The cover of redaction: nothing is taken away, no frame between sightings is bare."""

import numpy as np
import pytest

from stages.ops.cover import (
    ABSENT,
    CARRIED,
    NEVER,
    SIGHTED,
    carry_ages,
    cover_frames,
    whole_evidence,
)

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


def test_growth_covers_more_in_every_frame_of_a_gap_and_takes_nothing_away():
    _, evidence = scene(12, range(4, 9))
    plain, grown = covered(evidence)[0], covered(evidence, growth=1)[0]
    assert not (plain & ~grown).any()
    more = grown.sum(axis=(1, 2)) - plain.sum(axis=(1, 2))
    assert (more[4:9] > 0).all()


def test_a_remnant_of_the_object_in_a_gap_is_no_sighting():
    truth, evidence = scene(12, range(4, 8))
    evidence[4:8] = truth[4:8] & (np.arange(SIZE[0]) < 18)[:, None]
    wrong = [np.full((2, *SIZE), 1000, np.float32)] * 12  # the flow tells nothing
    cover, states = cover_frames(evidence, wrong, wrong, range(12), gap=5, growth=0)
    np.testing.assert_array_equal(cover, truth)
    assert states[4:8].tolist() == [CARRIED] * 4


def test_a_gap_between_parts_is_not_bare_where_whole_sightings_are_too_far():
    _, evidence = scene(14, range(6, 8))
    remnant = (np.arange(SIZE[0]) < 18)[:, None]
    for t in (3, 4, 5, 8, 9, 10):
        evidence[t] &= remnant
    cover, states = covered(evidence, gap=5)
    assert states[6:8].tolist() == [CARRIED] * 2
    assert cover[6:8].any(axis=(1, 2)).all()


def test_what_is_carried_from_both_sides_is_covered():
    truth, evidence = scene(12, range(4, 8))
    cover, _ = cover_frames(
        evidence, flows(12, 0), flows(12, 0), range(12), gap=5, growth=0
    )  # the flow stands still: both sightings stay where they were
    for t in range(4, 8):
        assert (cover[t] & truth[3]).sum() == truth[3].sum()
        assert (cover[t] & truth[8]).sum() == truth[8].sum()


def test_a_path_that_bends_is_covered_in_its_middle():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    frames = 9
    rise = [4 * (t / 8) * (1 - t / 8) * 3 for t in range(frames)]  # pixels above the straight line
    truth = np.stack([np.hypot(x - 12 - 4 * t, y - 22 + rise[t]) < 7 for t in range(frames)])
    evidence = truth.copy()
    evidence[1:8] = False
    wrong = [np.full((2, *SIZE), 1000, np.float32)] * frames
    cover, _ = cover_frames(evidence, wrong, wrong, range(frames), gap=7, growth=0)
    assert (cover & truth)[4].sum() == truth[4].sum()


def test_evidence_is_whole_beside_the_smaller_of_the_largest_areas_on_either_side():
    evidence = np.zeros((9, 1, 100), np.bool_)
    areas = [100, 100, 100, 50, 0, 100, 40, 40, 40]
    for t, area in enumerate(areas):
        evidence[t, 0, :area] = True
    whole = whole_evidence(evidence, 3)
    slow = [
        area > 0
        and area
        >= 0.6 * min(max(areas[max(t - 3, 0) : t] or [0]), max(areas[t + 1 : t + 4] or [0]))
        for t, area in enumerate(areas)
    ]
    assert whole.tolist() == slow == [True] * 3 + [False, False] + [True] * 4


@pytest.mark.parametrize("length", [1, 2, 5, 12])
def test_the_cover_does_not_depend_on_how_frames_are_cut_into_chunks(length):
    rng = np.random.default_rng(0)
    frames, gap = 40, 4
    evidence = np.stack([disc(t % 20) & (rng.random(SIZE) < 0.6) for t in range(frames)])
    evidence[rng.choice(frames, 12, replace=False)] = False
    evidence[rng.choice(frames, 12, replace=False), 20:] = False
    whole, states = covered(evidence, gap=gap, growth=1, edges=(True, True))
    for start in range(0, frames, length):
        stop = min(start + length, frames)
        low, high = max(start - 2 * gap, 0), min(stop + 2 * gap, frames)
        cover, state = covered(
            evidence[low:high], gap=gap, growth=1, wanted=range(start - low, stop - low),
            edges=(low > start - 2 * gap, high < stop + 2 * gap),
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
