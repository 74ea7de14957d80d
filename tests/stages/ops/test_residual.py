import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ShapeError
from stages.ops.residual import add_residual


def masks(seed, classes=2):
    rng = np.random.default_rng(seed)
    both = rng.dirichlet(np.full(classes + 1, 0.5), (6, 7)).astype(np.float32)
    return both[..., 1:]


def test_no_residual_changes_nothing_at_all():
    mask = masks(0)
    mask[0] = 0
    mask[1, :, 0], mask[1, :, 1] = 1, 0
    np.testing.assert_array_equal(add_residual(mask, np.zeros_like(mask)), mask)


@given(st.integers(0, 99), st.floats(-3, 3))
def test_log_odds_against_the_background_move_by_the_residual(seed, residual):
    mask = masks(seed) * np.float32(0.9) + np.float32(0.03)
    out = add_residual(mask, np.full_like(mask, residual))
    before, after = (np.log(m / (1 - m.sum(-1, keepdims=True))) for m in (mask, out))
    np.testing.assert_allclose(after - before, residual, atol=1e-3)


@given(st.integers(0, 99))
def test_classes_stay_probabilities(seed):
    rng = np.random.default_rng(seed)
    mask = masks(seed, classes=3)
    out = add_residual(mask, rng.normal(0, 9, mask.shape).astype(np.float32))
    assert (out >= 0).all()
    assert (out.sum(-1) <= 1 + 1e-6).all()


def test_what_was_ruled_out_can_come_back():
    mask = np.zeros((1, 1, 1), np.float32)
    assert add_residual(mask, np.full_like(mask, 8.0)) > 0.9


def test_sizes_that_do_not_agree_are_refused():
    with pytest.raises(ShapeError, match="residual: expected"):
        add_residual(masks(0), np.zeros((6, 7, 3), np.float32))


def test_where_the_background_is_absent_it_does_not_come_back():
    mask = np.full((2, 3, 2), 0.4, np.float32)
    doubt = np.full_like(mask, -6.0)
    absent = np.zeros((2, 3), np.bool_)
    absent[1] = True
    out = add_residual(mask, doubt, absent)
    assert (out[0].sum(axis=-1) < 0.5).all()
    np.testing.assert_allclose(out[1], 0.4, atol=1e-6)
