import cv2
import numpy as np
import pytest
import skimage.data

from pipeline.errors import ShapeError
from stages.ops.edge_alpha import edge_alpha
from stages.ops.soft_masks import winning_classes

SIZE = (480, 640)


def composite(front, back, seed=0):
    """Return a picture made of two photographs with a known hairy edge, and that edge's alpha."""
    rng = np.random.default_rng(seed)
    large = np.zeros((2 * SIZE[0], 2 * SIZE[1]), np.float32)
    cv2.ellipse(large, (640, 480), (288, 264), 0, 0, 360, 1, -1)
    for angle in rng.uniform(0, 2 * np.pi, 260):
        outward = np.array([np.cos(angle), np.sin(angle)])
        steps = np.cumsum(outward * 6 + rng.normal(0, 2, (9, 2)), axis=0)
        strand = np.array([640, 480]) + outward * (282, 258) + steps
        shade, width = float(rng.uniform(0.4, 1)), int(rng.integers(1, 4))
        cv2.polylines(large, [np.int32(strand * 8)], False, shade, width, cv2.LINE_AA, 3)
    alpha = cv2.resize(large, SIZE[::-1], interpolation=cv2.INTER_AREA)
    alpha = np.clip(cv2.GaussianBlur(alpha, (0, 0), 1), 0, 1)
    pictures = [
        cv2.resize(getattr(skimage.data, name)(), SIZE[::-1]).astype(np.float32)
        for name in (front, back)
    ]
    mixed = alpha[..., None] * pictures[0] + (1 - alpha[..., None]) * pictures[1]
    return np.rint(mixed).astype(np.uint8), alpha


@pytest.mark.parametrize(("front", "back"), [("chelsea", "rocket"), ("coffee", "astronaut")])
def test_it_is_nearer_to_the_true_alpha_than_any_blur_of_the_mask(front, back):
    picture, truth = composite(front, back)
    labels = (truth > 0.5).astype(np.uint8)
    error = np.abs(edge_alpha(labels, picture, classes=1)[..., 0] - truth).sum()
    hard = labels.astype(np.float32)
    blurred = [cv2.GaussianBlur(hard, (0, 0), sigma) for sigma in (0.5, 1, 1.5, 2, 3, 4)]
    assert error < 0.9 * min(np.abs(mask - truth).sum() for mask in blurred)


def test_labels_win_where_they_did_and_thin_lines_stay():
    picture, truth = composite("chelsea", "rocket")
    labels = (truth > 0.5).astype(np.uint8)
    labels[20, 50:600] = 1
    labels[300:460, 10:60] = 2
    np.testing.assert_array_equal(winning_classes(edge_alpha(labels, picture, classes=2)), labels)


def test_far_from_outlines_masks_are_hard():
    picture, _ = composite("chelsea", "rocket")
    labels = np.zeros(SIZE, np.uint8)
    labels[200:400, 200:500] = 1
    alpha = edge_alpha(labels, picture, classes=1)[..., 0]
    assert set(np.unique(alpha[240:360, 240:460])) == {1}
    assert set(np.unique(alpha[:170])) == {0}
    assert 0 < alpha[200, 300] < 1


def test_classes_that_meet_sum_to_one_at_most():
    picture, _ = composite("coffee", "rocket")
    labels = np.ones(SIZE, np.uint8)
    labels[:, 320:] = 2
    alpha = edge_alpha(labels, picture, classes=2)
    assert alpha.sum(axis=-1).max() <= 1 + 1e-6


def test_no_class_and_no_region_are_nothing():
    picture, _ = composite("coffee", "rocket")
    labels = np.zeros(SIZE, np.uint8)
    assert edge_alpha(labels, picture, classes=0).shape == (*SIZE, 0)
    assert not edge_alpha(labels, picture, classes=3).any()


def test_sizes_that_do_not_agree_are_refused():
    picture, _ = composite("coffee", "rocket")
    with pytest.raises(ShapeError, match="expected"):
        edge_alpha(np.zeros((5, 6), np.uint8), picture, classes=1)
