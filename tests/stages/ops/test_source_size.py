import cv2
import numpy as np
import pytest

from pipeline.errors import ShapeError
from stages.ops import source_size
from stages.ops.source_size import signed_pixel_distance, transfer_labels, transfer_soft

SMALL, SCALE = (60, 80), 3
LARGE = (SMALL[0] * SCALE, SMALL[1] * SCALE)


def disc(size, centre, radius):
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    return np.hypot(y - centre[0], x - centre[1]) < radius


def shrink(labels):
    """Return labels at working size: the label of each block's middle pixel."""
    return labels[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE]


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.fixture
def source():
    """A disc of class 1, a bar of class 2, a hair of one source pixel that working size lacks."""
    labels = np.zeros(LARGE, np.uint8)
    labels[disc(LARGE, (90, 90), 50)] = 1
    labels[20:150, 180:210] = 2
    labels[5, 10:70] = 1
    return labels


def test_distances_are_half_a_pixel_at_the_outline_and_agree_with_brute_force():
    rng = np.random.default_rng(3)
    region = cv2.GaussianBlur(rng.standard_normal((20, 24)), (0, 0), 2) > 0
    inside = np.argwhere(region)
    outside = np.argwhere(~region)
    distance = signed_pixel_distance(region, reach=4)
    for y, x in np.ndindex(region.shape):
        others, sign = (outside, 1) if region[y, x] else (inside, -1)
        exact = np.hypot(*(others - (y, x)).T).min() - 0.5
        assert distance[y, x] == pytest.approx(sign * min(exact, 4), abs=0.1)


@pytest.mark.parametrize(("full", "value"), [(True, 5.0), (False, -5.0)])
def test_a_region_that_is_everything_or_nothing_is_as_far_as_can_be(full, value):
    assert (signed_pixel_distance(np.full((4, 5), full), reach=5) == value).all()


def test_labels_that_did_not_change_come_out_as_they_came(source):
    small = shrink(source)
    out = transfer_labels(source, small, small, np.zeros_like(source))
    np.testing.assert_array_equal(out, source)


def test_far_from_a_change_the_source_stands_with_all_its_detail(source):
    small = shrink(source)
    after = small.copy()
    after[40:50, 60:70] = 0
    out = transfer_labels(source, small, after, np.zeros_like(source))
    np.testing.assert_array_equal(out[:, :140], source[:, :140])
    assert (out[5, 10:70] == 1).all()


@pytest.mark.parametrize("label", [1, 2])
def test_an_outline_that_moved_moves_the_source_s_outline_as_far(label):
    source = disc(LARGE, (90, 120), 50).astype(np.uint8) * label
    wanted = disc(LARGE, (90, 120), 50 + 2 * SCALE)
    after = disc(SMALL, (30, 40), 50 / SCALE + 2).astype(np.uint8) * label
    out = transfer_labels(source, shrink(source), after, np.full(LARGE, 9, np.uint8))
    # Working labels place an outline to half of their pixel: 1.5 of 56 source pixels here.
    assert iou(out == label, wanted) > 0.97
    assert set(np.unique(out)) == {0, label}


def test_what_was_missing_comes_from_the_enlarged_result(source):
    before, after = np.zeros(SMALL, np.uint8), shrink(source)
    enlarged = source.copy()
    out = transfer_labels(np.zeros_like(source), before, after, enlarged)
    assert iou(out == 1, source == 1) > 0.95
    assert iou(out == 2, source == 2) > 0.95


def test_the_box_around_the_change_changes_no_pixel(source, monkeypatch):
    small = shrink(source)
    after = small.copy()
    after[20:40, 5:12] = 0
    enlarged = np.kron(after, np.ones((SCALE, SCALE), np.uint8))
    boxed = transfer_labels(source, small, after, enlarged)
    monkeypatch.setattr(
        source_size, "_padded_box", lambda changed, _: tuple(slice(0, n) for n in changed.shape)
    )
    np.testing.assert_array_equal(transfer_labels(source, small, after, enlarged), boxed)


def test_soft_masks_that_did_not_change_come_out_as_they_came():
    rng = np.random.default_rng(1)
    source = rng.integers(0, 256, (*LARGE, 2), np.uint8)
    small = rng.integers(0, 256, (*SMALL, 2), np.uint8)
    out = transfer_soft(source, small, small, np.zeros(source.shape, np.float32))
    np.testing.assert_array_equal(np.rint(out * 255), source)


def test_a_small_change_keeps_the_source_s_detail_and_a_large_one_takes_the_enlarged_result():
    source = np.zeros((*LARGE, 1), np.uint8)
    source[:, ::2] = 100
    before = np.full((*SMALL, 1), 50, np.uint8)
    after = before.copy()
    after[:, :20] += 10
    after[:, 40:] = 255
    enlarged = np.ones(source.shape, np.float32)
    out = transfer_soft(source, before, after, enlarged)
    left = out[:, 6:45, 0] * 255
    assert left[:, 0::2].mean() - left[:, 1::2].mean() == pytest.approx(100, abs=1)
    np.testing.assert_array_equal(out[:, 160:], 1)


def test_sizes_that_do_not_agree_are_refused(source):
    small = shrink(source)
    with pytest.raises(ShapeError, match="expected"):
        transfer_labels(source, small, small[1:], source)
    with pytest.raises(ShapeError, match="expected"):
        transfer_soft(source[..., None], small[..., None], small[1:, :, None], source[..., None])
