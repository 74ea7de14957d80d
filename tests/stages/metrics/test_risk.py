"""Risk rises with what tells of wrong masks, and its reasons name what a person would see."""

from dataclasses import replace

import numpy as np
import pytest

from stages.metrics.colour_fit import BINS, ColourModel, colour_bins
from stages.metrics.risk import (
    POOL,
    Evidence,
    frame_risk,
    gather_evidence,
    pool,
    review_rows,
)

T = 30
SHOTS = [(0, T)]


def evidence(**changes):
    """Return evidence of a clip in which nothing is wrong, but for the changes at frame 12."""
    calm = {"changed": 0.01, "earlier": 0.05, "later": 0.05, "misfit": 0.2, "area": 900.0}
    arrays = {name: np.full((T, 1), value) for name, value in calm.items()}
    for name, value in changes.items():
        arrays[name][12] = value
    arrays["area"] = arrays["area"].astype(np.int64)
    return Evidence(**arrays)


def doubted(**changes):
    """Return the same of a clip with trust, in which one mask in fifty is doubted."""
    untrusted = np.full((T, 1), 0.02)
    untrusted[12] = changes.pop("untrusted", 0.02)
    return replace(evidence(**changes), untrusted=untrusted)


def reason(evidence_values):
    risk = np.zeros((T, 1))
    risk[12] = 0.9
    (row,) = review_rows(risk, evidence_values, [7], SHOTS, least=0.5)
    assert (row["frame"], row["frames"], row["object"]) == (12, [12, 13], 7)
    return row["reason"]


@pytest.mark.parametrize(
    "changes", [{"changed": 0.6}, {"earlier": 0.7}, {"later": 0.7}, {"misfit": 0.9}]
)
def test_each_quantity_raises_the_risk_of_its_frame_most(changes):
    calm, actual = frame_risk(evidence(), SHOTS), frame_risk(evidence(**changes), SHOTS)
    assert actual[12] > calm[12]
    assert actual.argmax() == 12 or "misfit" in changes
    assert actual[12 - POOL - 1] == calm[12 - POOL - 1]


def test_risk_is_a_probability_and_nothing_is_at_no_risk():
    rng = np.random.default_rng(4)
    arrays = {n: rng.random((T, 2)) for n in ("changed", "earlier", "later", "misfit")}
    arrays["changed"][:20, 0] = np.nan
    risk = frame_risk(Evidence(**arrays, area=rng.integers(0, 99, (T, 2))), SHOTS)
    assert ((risk >= 0) & (risk <= 1)).all()
    assert (risk[: 20 - POOL, 0] == 0).all()
    assert (risk[20 - POOL :, 0] > 0).all()
    assert (risk[:, 1] > 0).all()


def test_a_frame_without_the_object_is_at_risk_if_the_masks_around_it_are_doubted():
    bare = {"changed": np.nan, "earlier": np.nan, "later": np.nan, "misfit": np.nan, "area": 0}
    calm, worse = doubted(**bare), doubted(**bare)
    for values in (worse.untrusted, worse.earlier, worse.later):
        values[[*range(4, 12), *range(13, 21)]] = 0.9
    assert frame_risk(calm, SHOTS)[12] < 0.02
    assert frame_risk(worse, SHOTS)[12] > 0.1
    assert reason(worse) == "the object is missing, frame 12"


def test_no_frame_beyond_a_cut_counts():
    shots, loud = [(0, 12), (12, T)], evidence(changed=0.9, misfit=0.9)
    risk, calm = frame_risk(loud, shots), frame_risk(evidence(), shots)
    np.testing.assert_array_equal(risk[:12], calm[:12])
    assert (risk[12 : 12 + POOL] > calm[12 : 12 + POOL]).all()


def test_pooled_values_are_means_over_the_window_of_the_shot():
    rng = np.random.default_rng(5)
    values, shots = rng.random((25, 2)), [(0, 11), (11, 25)]
    values[4, 0] = np.nan
    actual = pool(values, shots)
    for start, stop in shots:
        for t in range(start, stop):
            near = values[max(t - POOL, start) : min(t + POOL + 1, stop)]
            np.testing.assert_allclose(actual[t], np.nanmean(near, axis=0))
    assert (pool(np.full((4, 1), np.nan), [(0, 4)]) == 0).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"area": 0}, "the object is missing, frame 12"),
        ({"area": 450}, "half of it missing, frame 12"),
        ({"area": 1900}, "far larger than in the frames around, frame 12"),
        ({"earlier": np.nan, "later": np.nan}, "nobody vouches, frame 12"),
        ({"earlier": 0.5, "later": 0.6}, "disagrees with both sides, frame 12"),
        ({"earlier": np.nan, "later": 0.6}, "disagrees with both sides, frame 12"),
        ({"later": 0.6}, "disagrees with one side, frame 12"),
        ({"changed": 0.5}, "changed a lot, frame 12"),
        ({"misfit": 0.7}, "colours do not fit, frame 12"),
    ],
)
def test_the_reason_says_what_a_person_would_see(changes, words):
    assert reason(evidence(**changes)) == words
    assert reason(doubted(**changes)) == words


def test_the_reason_says_what_trust_knows():
    assert reason(doubted(untrusted=0.5)) == "doubted by the frames around, frame 12"
    assert reason(doubted(untrusted=0.5, later=0.6)) == "disagrees with one side, frame 12"
    assert reason(doubted()).startswith("masks around it are doubted or disagree")
    assert reason(evidence()).startswith("masks around it were changed or disagree")


def test_with_trust_the_risk_is_that_of_what_is_not_trusted_not_of_what_was_changed():
    calm = frame_risk(doubted(), SHOTS)
    np.testing.assert_array_equal(frame_risk(doubted(changed=0.9), SHOTS), calm)
    for changes in ({"untrusted": 0.6}, {"earlier": 0.7}, {"misfit": 0.9}):
        actual = frame_risk(doubted(**changes), SHOTS)
        assert actual[12] > calm[12]
        assert actual[12 - POOL - 1] == calm[12 - POOL - 1]


def test_the_reason_names_the_frames_of_which_it_is_true():
    frame_evidence, risk = evidence(), np.full((T, 1), 0.9)
    frame_evidence.area[12:15] = 400
    risk[13] = 0.95
    (row,) = review_rows(risk, frame_evidence, [7], SHOTS, least=0.5)
    assert (row["frames"], row["reason"]) == ([0, T], "half of it missing, frames 12–14")


def test_rows_are_runs_of_risky_frames_that_end_at_cuts_the_riskiest_first():
    risk = np.zeros((T, 2))
    risk[8:14, 0] = 0.6
    risk[11, 0] = 0.7
    risk[20:22, 1] = 0.9
    arrays = {n: np.full((T, 2), 0.1) for n in ("changed", "earlier", "later", "misfit")}
    calm = Evidence(**arrays, area=np.full((T, 2), 900))
    rows = review_rows(risk, calm, [3, 7], [(0, 10), (10, T)], least=0.5)
    assert [(r["object"], r["frame"], r["frames"]) for r in rows] == [
        (7, 20, [20, 22]), (3, 11, [10, 14]), (3, 8, [8, 10]),
    ]  # fmt: skip
    assert [r["risk"] for r in rows] == [0.9, 0.7, 0.6]


def test_evidence_is_that_of_the_counts():
    rng = np.random.default_rng(6)
    carried = rng.integers(0, 50, (5, 2, 4, 3, 3))
    carried[..., 2] = np.minimum(carried[..., 0], carried[..., 1])
    carried[2, 1] = 0
    objects = np.stack([rng.integers(0, 9, (5, 2)), rng.integers(9, 20, (5, 2))], axis=-1)
    areas = rng.integers(0, 99, (5, 2, 3))
    actual = gather_evidence(carried, objects, areas, np.zeros((5, 2)))
    own, other, both = np.moveaxis(carried[1, 1, :, 2].astype(float), -1, 0)
    apart = 1 - both / (own + other - both)
    assert actual.earlier[1, 1] == pytest.approx(np.mean(apart[:2]))
    assert actual.later[1, 1] == pytest.approx(np.mean(apart[2:]))
    assert np.isnan(actual.earlier[2]).all()
    np.testing.assert_array_equal(actual.changed, 1 - objects[..., 0] / objects[..., 1])
    np.testing.assert_array_equal(actual.area, areas[:, 1, 1:])
    assert actual.untrusted is None
    shares = rng.random((5, 2, 2))
    actual = gather_evidence(carried, objects, areas, np.zeros((5, 2)), shares)
    np.testing.assert_array_equal(actual.untrusted, shares[..., 1])


def test_colours_fit_where_the_mask_is_the_object_and_not_where_it_leaks():
    picture = np.full((80, 120, 3), 60, np.uint8)
    picture[20:60, 40:80] = (200, 30, 30)
    right, wrong = np.zeros((80, 120), np.uint8), np.zeros((80, 120), np.uint8)
    right[20:60, 40:80] = 1
    wrong[20:60, 40:110] = 1
    bins, model = colour_bins(picture), ColourModel(2)
    assert bins.max() < BINS
    for labels in (right, right, right, wrong):
        model.add(bins, labels)
    assert model.misfit(bins, right)[0] == 0
    assert model.misfit(bins, wrong)[0] == pytest.approx(1 - 40 / 70)
    assert np.isnan(model.misfit(bins, right)[1])


def test_masks_that_have_nothing_to_do_with_one_another_are_at_risk_whatever_trust_says():
    frames, shots = 12, [[0, 12]]
    apart, fine = np.full((frames, 1), 0.95), np.full((frames, 1), 0.05)
    zero, area = np.zeros((frames, 1)), np.full((frames, 1), 500)
    assert (frame_risk(Evidence(zero, apart, apart, zero, area, zero), shots) > 0.9).all()
    assert (frame_risk(Evidence(zero, fine, fine, zero, area, zero), shots) < 0.2).all()


def test_an_object_that_is_taken_out_of_a_whole_stretch_is_at_risk():
    frames, shots = 12, [[0, 12]]
    nothing, ones = np.full((frames, 1), np.nan), np.ones((frames, 1))
    area = np.zeros((frames, 1), np.int64)
    assert (frame_risk(Evidence(ones, nothing, nothing, nothing, area, ones), shots) > 0.9).all()
    area[3:] = 500  # out of three frames only, by their neighbours' word
    zero = np.zeros((frames, 1))
    assert frame_risk(Evidence(ones, zero, zero, zero, area, zero), shots)[-1, 0] < 0.2
