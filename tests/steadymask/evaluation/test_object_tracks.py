import math

import numpy as np
import pytest

from steadymask.evaluation.object_tracks import ObjectTracks
from tests.support.object_scenes import scene_with_crossings, shuffled_numbers

_, TRUTH = scene_with_crossings(3, frames=20)


def scores(result, truth=TRUTH):
    tracks = ObjectTracks()
    for ours, true in zip(result, truth, strict=True):
        tracks.add(ours.astype(np.uint8), true.astype(np.uint8))
    return tracks.values()


def test_right_tracks_are_right_whatever_their_numbers():
    best = {"HOTA": 1, "IDF1": 1, "switches": 0, "track_AP": 1, "track_AR": 1}
    assert scores(TRUTH) == pytest.approx(best)
    assert scores(np.where(TRUTH == 2, 9, TRUTH)) == pytest.approx(best)


def test_numbers_that_mean_nothing_are_worst():
    mixed = scores(shuffled_numbers(TRUTH))
    assert mixed["switches"] > 30
    assert mixed["IDF1"] < 0.5
    assert mixed["track_AP"] == 0


def test_one_swap_costs_the_shorter_half_of_two_tracks():
    square = np.zeros((20, 4, 8), np.uint8)
    square[:, :, :3], square[:, :, 5:] = 1, 2
    swapped = square.copy()
    swapped[15:] = np.array([0, 2, 1], np.uint8)[square[15:]]
    values = scores(swapped, square)
    assert values["switches"] == 2
    assert values["IDF1"] == pytest.approx(30 / 40)  # both halves of 15 frames, of 20 frames twice


def test_ignored_pixels_do_not_count_and_a_truth_without_objects_has_no_score():
    truth = TRUTH.copy()
    truth[truth == 3] = 255
    ours = np.where(TRUTH == 3, 7, TRUTH)
    assert scores(ours, truth)["HOTA"] == pytest.approx(1)
    assert all(math.isnan(value) for value in scores(TRUTH, np.zeros_like(TRUTH)).values())
