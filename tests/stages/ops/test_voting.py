import cv2
import numpy as np
import pytest

from pipeline.errors import ShapeError
from stages.ops.voting import appearance_table, carried, vote
from stages.ops.warp import resize_flow, warp

SIGMA = 12.0


@pytest.fixture
def scene():
    """Masks (two classes), pictures and flows of a frame and three neighbours."""
    rng = np.random.default_rng(7)
    masks = [(rng.random((20, 24, 2)) * 0.5).astype(np.float32) for _ in range(4)]
    images = [rng.integers(90, 130, (20, 24, 3), np.uint8) for _ in range(4)]
    flows = [rng.normal(0, 4, (2, 20, 24)).astype(np.float32) for _ in range(3)]
    return masks, images, flows


def slow_vote(masks, images, flows):
    """METHOD: P ← (P + Σ g·warp(P_j)) / (1 + Σ g), in float64."""
    total, weight = masks[0].astype(float), np.ones(masks[0].shape[:2])
    for mask, image, flow in zip(masks[1:], images[1:], flows, strict=True):
        warped = warp(image.astype(np.float32), flow).astype(float)
        g = np.exp(-((images[0] - warped) ** 2).sum(-1) / (2 * SIGMA**2))
        g[np.isnan(g)] = 0
        weight += g
        total += g[..., None] * np.nan_to_num(warp(mask, flow))
    return total / weight[..., None]


def test_equals_its_formula(scene):
    fast = vote(*scene, table=appearance_table(SIGMA))
    np.testing.assert_allclose(fast, slow_vote(*scene), atol=3e-4)


def test_without_neighbours_nothing_changes(scene):
    masks, images, _ = scene
    out = vote(masks[:1], images[:1], [], table=appearance_table(SIGMA))
    np.testing.assert_array_equal(out, masks[0])


def test_where_all_agree_the_value_stays_to_the_last_bit(scene):
    masks, images, flows = scene
    same = [np.full_like(masks[0], 0.3) for _ in masks]
    out = vote(same, images, flows, table=appearance_table(SIGMA))
    np.testing.assert_array_equal(out, same[0])


def test_a_neighbour_that_looks_different_has_no_vote(scene):
    masks, images, flows = scene
    images[1:] = [image + np.uint8(100) for image in images[1:]]
    out = vote(masks, images, flows, table=appearance_table(SIGMA))
    np.testing.assert_array_equal(out, masks[0])


def test_a_neighbour_outside_the_picture_has_no_vote(scene):
    masks, images, flows = scene
    away = [np.full_like(flow, 100) for flow in flows]
    np.testing.assert_array_equal(
        vote(masks, images, away, table=appearance_table(SIGMA)), masks[0]
    )


def test_a_hole_in_one_frame_is_outvoted_along_the_motion():
    rng = np.random.default_rng(0)
    scenery = rng.integers(0, 255, (30, 60, 3), np.uint8)
    images = [scenery[:, 4 * k : 4 * k + 40] for k in (1, 0, 2)]
    masks = [np.zeros((30, 40, 1), np.float32) for _ in images]
    for mask, left in zip(masks, (16, 20, 12), strict=True):
        mask[10:20, left : left + 10] = 1
    masks[0][12:16, 18:22] = 0
    flows = [np.zeros((2, 30, 40), np.float32) for _ in range(2)]
    flows[0][0], flows[1][0] = 4, -4
    out = vote(masks, images, flows, table=appearance_table(SIGMA))[..., 0] > 0.5
    assert out[10:20, 16:26].all()
    assert out.sum() == 100


def test_foreground_classes_never_sum_to_more_than_they_did(scene):
    out = vote(*scene, table=appearance_table(SIGMA))
    assert out.sum(-1).max() <= max(mask.sum(-1).max() for mask in scene[0]) + 1e-6


def test_what_is_carried_is_the_warp_and_its_likeness(scene):
    masks, images, flows = scene
    guides = [image.astype(np.float32) / 255 for image in images]
    weight = np.full(guides[0].shape[:2], 0.5, np.float32)
    guide, mask, carried_weight = carried(
        guides[0], guides[1], masks[1], weight, flows[0], table=appearance_table(SIGMA)
    )
    np.testing.assert_allclose(guide, np.nan_to_num(warp(guides[1], flows[0])), atol=1e-6)
    np.testing.assert_allclose(mask, np.nan_to_num(warp(masks[1], flows[0])), atol=1e-6)
    alike = np.exp(-((255 * (guides[0] - guide)) ** 2).sum(-1) / (2 * SIGMA**2))
    alike[np.isnan(warp(masks[1], flows[0])[..., 0])] = 0
    np.testing.assert_allclose(carried_weight, 0.5 * alike, atol=2e-4)


def test_sizes_that_differ_are_named(scene):
    masks, images, flows = scene
    with pytest.raises(ShapeError, match=r"neighbour_mask: .* with H=20"):
        vote([masks[0], masks[1][:5]], images[:2], flows[:1], table=appearance_table(SIGMA))


def test_a_coarser_flow_is_read_in_between(scene):
    masks, images, flows = scene
    coarse = [np.ascontiguousarray(flow[:, ::2, ::2]) / 2 for flow in flows]
    fine = [resize_flow(flow, (20, 24)) for flow in coarse]
    table = appearance_table(SIGMA)
    np.testing.assert_allclose(
        vote(masks, images, coarse, table=table), vote(masks, images, fine, table=table), atol=1e-4
    )


@pytest.mark.parametrize("coarser", [1, 2])
def test_large_flat_areas_change_nothing_of_the_formula(coarser):
    """Tiles that nothing can change are skipped: also where a large, uneven flow leads far off."""
    rng = np.random.default_rng(9)
    masks = [np.zeros((90, 130, 1), np.float32) for _ in range(5)]
    for mask in masks:
        row, column = rng.integers(70), rng.integers(100)
        mask[row : row + 20, column : column + 30] = 1
    images = [rng.integers(100, 120, (90, 130, 3), np.uint8) for _ in masks]
    grid = (2, 90 // coarser, 130 // coarser)
    flows = [
        cv2.GaussianBlur(rng.normal(0, 200 / coarser, (*grid[1:], 2)), (0, 0), 6)
        .transpose(2, 0, 1)
        .astype(np.float32)
        for _ in masks[1:]
    ]
    assert np.abs(flows[0]).max() * coarser > 20
    fast = vote(masks, images, flows, table=appearance_table(SIGMA))
    full = [resize_flow(flow, (90, 130)) for flow in flows]
    np.testing.assert_allclose(fast, slow_vote(masks, images, full), atol=2e-3)
    assert (fast != masks[0]).any()
