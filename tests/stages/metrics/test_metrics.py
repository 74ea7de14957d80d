import numpy as np
import pytest
from skimage.morphology import disk
from skimage.segmentation import find_boundaries

from stages.metrics.accuracy import boundary_f, jaccard
from stages.metrics.stability import (
    Consistency,
    boundary_pixels,
    disagreement,
    joint_counts,
    restlessness,
)


@pytest.fixture
def labels():
    rng = np.random.default_rng(11)
    blocks = rng.integers(0, 4, (12, 6, 8), np.uint8)
    return blocks.repeat(4, axis=1).repeat(4, axis=2)


def square(left, side=10):
    mask = np.zeros((40, 60), np.uint8)
    mask[10 : 10 + side, left : left + side] = 1
    return mask


def test_boundary_pixels_are_those_of_scikit_image(labels):
    for frame in labels:
        assert boundary_pixels(frame) == find_boundaries(frame, mode="inner").sum()


def test_a_mask_that_moves_with_the_flow_is_consistent():
    flow = np.zeros((2, 40, 60), np.float32)
    flow[0] = 5
    visible = np.ones((40, 60), bool)
    assert disagreement(square(20), square(25), flow, visible) == (0, 40 * 55)


def test_a_mask_that_stays_while_the_picture_moves_is_wrong_on_both_sides():
    flow = np.zeros((2, 40, 60), np.float32)
    flow[0] = 5
    visible = np.ones((40, 60), bool)
    assert disagreement(square(20), square(20), flow, visible) == (100, 40 * 55)


def test_disagreement_equals_its_sum(labels):
    rng = np.random.default_rng(12)
    flow = rng.uniform(-6, 6, (2, *labels.shape[1:])).astype(np.float32)
    visible = rng.random(labels.shape[1:]) < 0.7
    wrong = count = 0
    for y, x in zip(*np.nonzero(visible), strict=True):
        px, py = round(float(x + flow[0, y, x])), round(float(y + flow[1, y, x]))
        if 0 <= px < labels.shape[2] and 0 <= py < labels.shape[1]:
            count += 1
            wrong += labels[0, y, x] != labels[1, py, px]
    assert disagreement(labels[0], labels[1], flow, visible) == (wrong, count)


def test_joint_counts_are_those_of_each_pair_of_labels(labels):
    table = joint_counts(labels[0], labels[1], 5)
    for a in range(5):
        for b in range(5):
            assert table[a, b] == ((labels[0] == a) & (labels[1] == b)).sum()


def test_a_label_that_is_not_counted_is_refused(labels):
    with pytest.raises(ValueError, match="under 3, got 3"):
        joint_counts(labels[0], labels[1], 3)


def test_consistency_is_the_mean_over_pairs_per_boundary_pixel():
    total = Consistency()
    total.add((10, 100), (30, 100))
    total.add((0, 50), (0, 50))
    total.add((5, 10), (0, 0))  # a pair that sees nothing counts for nothing
    assert total.blind_pairs == 1
    assert total.mean() == pytest.approx(0.2)
    assert total.value(area=2400, boundary=36) == pytest.approx(0.2 * 2400 / 36)


def test_empty_masks_have_no_consistency_rather_than_a_perfect_one():
    total = Consistency()
    total.add((0, 100), (0, 100))
    assert np.isnan(total.value(area=2400, boundary=0))
    assert np.isnan(Consistency().mean())


def test_restlessness_equals_its_formula(labels):
    sigma = 1.7
    actual = restlessness(labels, range(12), sigma=sigma)
    for t in range(12):
        near = np.arange(max(t - 6, 0), min(t + 7, 12))
        weights = np.exp(-0.5 * ((near - t) / sigma) ** 2)
        weights /= weights.sum()
        total = 0.0
        for label in (1, 2, 3):
            hot = (labels == label).astype(float)
            total += ((hot[t] - np.tensordot(weights, hot[near], 1)) ** 2).sum()
        assert actual[t] == pytest.approx(np.sqrt(total), rel=1e-9)
    assert restlessness(labels, range(4, 9), sigma=sigma) == actual[4:9]


def test_masks_that_do_not_move_are_perfectly_smooth(labels):
    assert restlessness(np.stack([labels[0]] * 5), range(5), sigma=3.6) == [0] * 5


def test_overlap_of_two_squares():
    assert jaccard(square(20) > 0, square(25) > 0) == pytest.approx(50 / 150)
    assert jaccard(square(0, 0) > 0, square(0, 0) > 0) == 1
    assert jaccard(square(0, 0) > 0, square(5) > 0) == 0


def slow_boundary_f(ours, theirs, radius):
    """DAVIS: contours matched within a disk, pixel by pixel."""

    def contour(mask):
        padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
        here = padded[:-1, :-1]
        return (here != padded[:-1, 1:]) | (here != padded[1:, :-1]) | (here != padded[1:, 1:])

    def near(points, others):
        reach = disk(radius)
        hits = 0
        for y, x in zip(*np.nonzero(points), strict=True):
            rows = slice(max(y - radius, 0), y + radius + 1)
            columns = slice(max(x - radius, 0), x + radius + 1)
            shape = reach[
                max(radius - y, 0) : max(radius - y, 0) + others[rows].shape[0],
                max(radius - x, 0) : max(radius - x, 0) + others[:, columns].shape[1],
            ]
            hits += bool((others[rows, columns] & (shape > 0)).any())
        return hits / points.sum()

    a, b = contour(ours), contour(theirs)
    precision, recall = near(a, b), near(b, a)
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("tolerance", [1, 2, 4])
def test_boundary_f_equals_the_definition(tolerance):
    ours, theirs = square(20, 11) > 0, square(23, 9) > 0
    theirs[30:34, 50:57] = True
    assert boundary_f(ours, theirs, tolerance=tolerance) == pytest.approx(
        slow_boundary_f(ours, theirs, tolerance)
    )


def test_a_tolerance_below_one_is_a_share_of_the_diagonal():
    ours, theirs = square(20) > 0, square(23) > 0
    diagonal = np.hypot(40, 60)
    assert boundary_f(ours, theirs, tolerance=0.03) == boundary_f(
        ours, theirs, tolerance=np.ceil(0.03 * diagonal)
    )


def test_contours_are_compared_also_where_one_is_missing():
    assert boundary_f(square(0, 0) > 0, square(0, 0) > 0, tolerance=2) == 1
    assert boundary_f(square(0, 0) > 0, square(9) > 0, tolerance=2) == 0
