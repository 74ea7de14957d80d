"""The guided filter against its equations, against OpenCV's, and the laws it keeps."""

import cv2
import numpy as np
import pytest

from pipeline.errors import ShapeError
from stages.ops.guided import (
    apply_coefficients,
    fit_coefficients,
    kernel_reach,
    mean_over_boxes,
    upsample_mask,
)


@pytest.fixture
def clip():
    """Guide, mask and weight of three frames of 14 x 17 pixels, two classes."""
    rng = np.random.default_rng(20260101)
    guide = rng.random((3, 14, 17, 3), np.float32) - np.float32(0.5)
    mask = rng.random((3, 14, 17, 2), np.float32)
    weight = np.maximum(rng.random((3, 14, 17), np.float32), np.float32(0.01))
    return guide, mask, weight


def slow_coefficients(guide, mask, weight, size, eps):
    """Equations 18-19 of He et al. with weights, one box at a time, in float64."""
    before, after = kernel_reach(size)
    _, rows, columns, classes = mask.shape
    out = np.zeros((rows, columns, classes, 4))
    for y in range(rows):
        for x in range(columns):
            box = np.s_[:, max(0, y - before) : y + after + 1, max(0, x - before) : x + after + 1]
            w = weight[box].ravel().astype(float) / weight[box].sum(dtype=float)
            i, p = guide[box].reshape(-1, 3).astype(float), mask[box].reshape(-1, classes)
            mean_i, mean_p = w @ i, w @ p
            covariance = (w[:, None] * (i - mean_i)).T @ (i - mean_i) + eps * np.eye(3)
            a = np.linalg.solve(covariance, (w[:, None] * (i - mean_i)).T @ (p - mean_p))
            out[y, x, :, :3], out[y, x, :, 3] = a.T, mean_p - mean_i @ a
    return out


def slow_mean(coefficients, size):
    before, after = kernel_reach(size)
    out = np.zeros_like(coefficients)
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            holding = np.s_[max(0, y - after) : y + before + 1, max(0, x - after) : x + before + 1]
            out[y, x] = coefficients[holding].mean((0, 1))
    return out


@pytest.mark.parametrize("size", [1, 4, 5, 31])
@pytest.mark.parametrize("eps", [1e-4, 1e-2])
@pytest.mark.parametrize("contrast", [1.0, 1e-3])
def test_equals_its_equations_box_by_box(clip, size, eps, contrast):
    guide, mask, weight = clip
    guide = guide * np.float32(contrast) + np.float32(0.3)
    slow = slow_coefficients(guide, mask, weight, size, eps)
    fast = fit_coefficients(guide, mask, weight, size=size, eps=eps)
    np.testing.assert_allclose(fast.dense(), slow, atol=1e-6 * np.abs(slow).max())
    fast = apply_coefficients([mean_over_boxes(fast, size=size)], guide[0])
    slow = slow_mean(slow, size)
    slow = np.clip((slow[..., :3] * guide[0][:, :, None]).sum(-1) + slow[..., 3], 0, 1)
    slow /= np.maximum(slow.sum(-1, keepdims=True), 1)
    np.testing.assert_allclose(fast, slow, atol=1e-6)


def test_with_one_frame_and_equal_weights_it_is_opencvs(clip):
    guide, mask, _ = (values[:1] for values in clip)
    ones = np.ones(mask.shape[:3], np.float32)
    ours = mean_over_boxes(fit_coefficients(guide, mask, ones, size=5, eps=1e-2), size=5).dense()
    theirs = cv2.ximgproc.guidedFilter(guide[0], np.ascontiguousarray(mask[0, ..., 0]), 2, 1e-2)
    ours = (ours[..., 0, :3] * guide[0]).sum(-1) + ours[..., 0, 3]
    # OpenCV reflects the border where we cut the box, so only the inside can agree.
    np.testing.assert_allclose(ours[4:-4, 4:-4], theirs[4:-4, 4:-4], atol=2e-5)


def test_eight_bit_values_are_read_as_what_they_stand_for(clip):
    guide, mask, weight = clip
    guide8, mask8 = (np.round(255 * (guide + 0.5)), np.round(255 * mask))
    guide, mask = (guide8 / 255 - 0.5).astype(np.float32), (mask8 / 255).astype(np.float32)
    eight = fit_coefficients(
        guide8.astype(np.uint8), mask8.astype(np.uint8), weight, size=5, eps=1e-4
    )
    floats = fit_coefficients(guide, mask, weight, size=5, eps=1e-4)
    np.testing.assert_allclose(eight.dense(), floats.dense(), atol=2e-5)
    np.testing.assert_allclose(
        apply_coefficients([eight], guide8[0].astype(np.uint8)),
        apply_coefficients([floats], guide[0]),
        atol=1e-5,
    )


def test_a_constant_mask_stays_constant(clip):
    guide, mask, weight = clip
    quarter = np.full_like(mask, 0.25)
    fitted = fit_coefficients(guide, quarter, weight, size=8, eps=1e-4)
    out = apply_coefficients([mean_over_boxes(fitted, size=8)], guide[1])
    np.testing.assert_allclose(out, 0.25, atol=1e-6)


def test_an_untrusted_voxel_changes_nothing(clip):
    guide, mask, weight = clip
    weight[:, 3:9, 4:8] = 0
    liar = np.where(weight[..., None] == 0, np.float32(0.9), mask)
    before = fit_coefficients(guide, mask, weight, size=4, eps=1e-3).dense()
    np.testing.assert_allclose(
        fit_coefficients(guide, liar, weight, size=4, eps=1e-3).dense(), before, atol=1e-6
    )


def test_a_box_that_nobody_trusts_gives_zeros_not_nan(clip):
    guide, mask, weight = clip
    assert not fit_coefficients(guide, mask, np.zeros_like(weight), size=4, eps=1e-3).dense().any()


def test_classes_do_not_know_of_each_other(clip):
    guide, mask, weight = clip
    both = fit_coefficients(guide, mask, weight, size=6, eps=1e-3).dense()
    alone = fit_coefficients(guide, mask[..., 1:].copy(), weight, size=6, eps=1e-3).dense()
    np.testing.assert_array_equal(both[:, :, 1:], alone)


def test_an_edge_of_the_picture_pulls_the_mask_to_it():
    guide = np.full((1, 20, 20, 3), -0.5, np.float32)
    guide[:, :, 10:] = 0.5
    mask = np.zeros((1, 20, 20, 1), np.float32)
    mask[:, :, 11:] = 1  # a column late
    fitted = fit_coefficients(guide, mask, np.ones((1, 20, 20), np.float32), size=9, eps=1e-4)
    out = apply_coefficients([mean_over_boxes(fitted, size=9)], guide[0])[..., 0] > 0.5
    np.testing.assert_array_equal(out, guide[0, ..., 0] > 0)


@pytest.fixture
def patches():
    """As `clip`, 60 x 70 pixels, masks of a few values in large areas; a class without any."""
    rng = np.random.default_rng(3)
    guide = rng.integers(0, 256, (4, 60, 70, 3), np.uint8)
    mask = np.zeros((4, 60, 70, 3), np.uint8)
    for n in range(4):
        mask[n, 20 + n : 45, 10 : 30 + n, 0] = 255
        mask[n, 3:14, 48 + 2 * n : 66, 1] = 120
    weight = np.maximum(rng.random((4, 60, 70), np.float32), np.float32(0.01))
    return guide, mask, weight


@pytest.mark.parametrize("size", [1, 8, 9])
def test_boxes_of_one_value_are_that_value_and_the_others_as_if_all_were_computed(patches, size):
    guide, mask, weight = patches
    fits = fit_coefficients(guide, mask, weight, size=size, eps=1e-3)
    units = guide / 255 - 0.5, mask / 255, weight
    slow = slow_coefficients(*units, size, 1e-3)
    np.testing.assert_allclose(fits.dense(), slow, atol=1e-5 * np.abs(slow).max())
    assert 0 < fits.varied.mean() < 0.4
    plain = ~np.moveaxis(fits.varied, 0, -1)
    assert not fits.dense()[plain][:, :3].any()
    expected = np.asarray(mask[0] * np.float32(1 / 255))
    np.testing.assert_array_equal(fits.dense()[plain][:, 3], expected[plain])
    mean = mean_over_boxes(fits, size=size)
    np.testing.assert_allclose(mean.dense(), slow_mean(slow, size), atol=1e-5 * np.abs(slow).max())


def test_what_varies_has_the_same_bits_wherever_else_something_varies(patches):
    guide, mask, weight = patches
    alone = fit_coefficients(guide, mask, weight, size=8, eps=1e-3)
    mask[:, :, :, 2] = np.random.default_rng(4).integers(0, 99, mask.shape[:3])
    beside = fit_coefficients(guide, mask, weight, size=8, eps=1e-3)
    np.testing.assert_array_equal(alone.varied[:2], beside.varied[:2])
    np.testing.assert_allclose(
        alone.dense()[:, :, :2], beside.dense()[:, :, :2], atol=1e-6, rtol=1e-6
    )


def test_several_fits_are_applied_as_their_mean(patches):
    guide, mask, weight = patches
    fits = [
        mean_over_boxes(
            fit_coefficients(
                guide[k : k + 2], mask[k : k + 2], weight[k : k + 2], size=6, eps=1e-3
            ),
            size=6,
        )
        for k in range(2)
    ]
    mean = (fits[0].dense() + fits[1].dense()) * np.float32(0.5)
    shown = guide[1] * np.float32(1 / 255) - np.float32(0.5)
    expected = np.clip((mean[..., :3] * shown[:, :, None]).sum(-1) + mean[..., 3], 0, 1)
    np.testing.assert_allclose(apply_coefficients(fits, guide[1]), expected, atol=1e-6)


def test_classes_that_sum_to_more_than_one_are_scaled(patches):
    guide, mask, weight = patches
    mask[...] = np.array([150, 150, 0], np.uint8)
    fits = fit_coefficients(guide, mask, weight, size=6, eps=1e-3)
    assert not fits.varied.any()
    np.testing.assert_allclose(apply_coefficients([fits], guide[0]).sum(-1), 1, atol=1e-6)


def test_upsampling_to_the_same_size_changes_nothing(clip):
    guide, mask, _ = clip
    np.testing.assert_array_equal(
        upsample_mask(mask[0], guide[0], guide[0], size=5, eps=1e-4), mask[0]
    )


def test_upsampling_finds_the_edge_of_the_full_picture():
    full = np.full((64, 64, 3), -0.4, np.float32)
    rows, columns = np.mgrid[:64, :64]
    disc = np.hypot(rows - 31.5, columns - 31.5) < 20
    full[disc] = 0.4
    small = cv2.resize(full, (16, 16), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(disc.astype(np.float32), (16, 16), interpolation=cv2.INTER_AREA)[..., None]
    sharp = upsample_mask(mask, small, full, size=4, eps=1e-4)[..., 0] > 0.5
    plain = cv2.resize(mask, (64, 64), interpolation=cv2.INTER_LINEAR) > 0.5
    assert (sharp != disc).sum() < 0.2 * (plain != disc).sum()


def test_wrong_shape_names_the_array_and_both_sizes(clip):
    guide, mask, weight = clip
    with pytest.raises(ShapeError, match=r"mask: .* with N=3 as in guide, got \(2, 14, 17, 2\)"):
        fit_coefficients(guide, mask[:2], weight, size=4, eps=1e-3)
