import numpy as np
import pytest

from stages.ops.carried_distances import carry_distances
from tests.support.slow_trajectories import COLUMNS, FRAMES, ROWS, slow_trajectory, slow_value
from tests.support.slow_trajectories import tiny_clip as clip_of_a_few_pixels

FRAME, SETTINGS = 2, {"reach": 2, "appearance": 25.0, "fading": 0.6, "own": 0.5}


@pytest.fixture
def clip():
    """Distances at twice the size of the flow's grid, and what they are carried with."""
    images, _, trust, flow = clip_of_a_few_pixels()
    distances = np.random.default_rng(4).integers(-100, 100, (FRAMES, 2 * ROWS, 2 * COLUMNS))
    return distances.astype(np.int8), trust, images, flow


PLACES = np.argwhere(np.ones((2 * ROWS, 2 * COLUMNS), np.bool_)).astype(np.int32)


def slow_distance(
    clip, row, column, *, reach, appearance, fading, own, stiffness=np.inf, tolerance=np.inf,
    belief=1.0,
):  # fmt: skip
    """Return the line over time, weight, the mean of both sides and the scatter at one pixel."""
    distances, trust, images, flow = clip
    x = np.clip((column + 0.5) / 2 - 0.5, 0, COLUMNS - 1)
    y = np.clip((row + 0.5) / 2 - 0.5, 0, ROWS - 1)
    at = float(distances[FRAME, row, column])
    samples, weights, sides, scatter = [(0, own, at)], 0.0, [], 0.0
    for step in (-1, 1):
        side, side_weight, fade = 0.0, 0.0, 1.0
        for t, px, py, g in slow_trajectory(
            images, flow, FRAME, x, y, step, reach=reach, appearance=appearance, pixel=2.0
        ):
            tau = trust[t, int(py + 0.5), int(px + 0.5)] / 255
            g *= tau * fade
            fade *= fading if tau > 0.5 else 1
            fine_x = np.clip((px + 0.5) * 2 - 0.5, 0, 2 * COLUMNS - 1)
            fine_y = np.clip((py + 0.5) * 2 - 0.5, 0, 2 * ROWS - 1)
            value = slow_value(distances[t].astype(float), fine_x, fine_y)
            scatter += g * (value - at) ** 2
            g *= belief * np.exp(-((value - at) ** 2) / (2 * tolerance**2))
            side += g * value
            side_weight += g
            samples.append((t - FRAME, g, value))
        weights += side_weight
        sides.append(side / side_weight if side_weight >= 1 else np.nan)
    return slow_line(samples, stiffness), weights, np.mean(sides), scatter


def slow_line(samples, stiffness):
    """Return the value at time 0 of a line through weighed samples: normal equations."""
    times, weights, values = np.array(samples, float).T
    if np.isinf(stiffness):
        return np.average(values, weights=weights)
    design = np.stack([np.ones_like(times), times])
    normal = (design * weights) @ design.T + np.diag([0.0, stiffness])
    return np.linalg.solve(normal, (design * weights) @ values)[0]


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        {**SETTINGS, "fading": 1.0, "own": 1.0},
        {**SETTINGS, "fading": 1.0, "own": 1.0, "stiffness": 4.0},
        {**SETTINGS, "tolerance": 40.0},
        {**SETTINGS, "stiffness": 4.0, "tolerance": 25.0, "belief": 0.5},
    ],
)
def test_equals_its_formula(clip, settings):
    mean, weight, others, scatter = carry_distances(*clip, FRAME, PLACES, **settings)
    slow = np.array([slow_distance(clip, row, column, **settings) for row, column in PLACES])
    np.testing.assert_allclose(weight, slow[:, 1], atol=1e-3)
    np.testing.assert_allclose(mean, slow[:, 0], atol=0.05)
    sure = np.abs(slow[:, 1] - 1) > 1e-3
    np.testing.assert_allclose(others[sure], slow[sure, 2], atol=0.05)
    np.testing.assert_allclose(scatter, slow[:, 3], rtol=1e-3, atol=0.5)
    if "tolerance" not in settings:
        assert 0 < np.isnan(slow[:, 2]).mean() < 1


def test_outlines_that_stand_still_stay_where_they_are(clip):
    distances, trust, images, flow = clip
    still = np.repeat(distances[:1], FRAMES, axis=0)
    alike = np.repeat(images[:1], FRAMES, axis=0)
    mean, _, _, _ = carry_distances(
        still, np.full_like(trust, 255), alike, np.zeros_like(flow), FRAME, PLACES, **SETTINGS
    )
    inside = np.s_[1:-1, 1:-1]  # the border is read where the flow's grid ends
    np.testing.assert_allclose(mean.reshape(still[0].shape)[inside], still[0][inside], atol=1e-4)


def test_a_neighbour_led_astray_does_not_move_the_outline(clip):
    distances, trust, images, flow = clip
    still = np.zeros_like(distances)
    still[FRAME + 1] = 100
    arguments = (still, np.full_like(trust, 255), np.repeat(images[:1], FRAMES, axis=0))
    mean = carry_distances(*arguments, np.zeros_like(flow), FRAME, PLACES, **SETTINGS).mean
    assert mean.min() > 10
    robust = carry_distances(
        *arguments, np.zeros_like(flow), FRAME, PLACES, **SETTINGS, tolerance=16.0
    )
    np.testing.assert_allclose(robust.mean, 0, atol=1e-3)
