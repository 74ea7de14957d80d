import numpy as np
import pytest

from stages.ops.trust import at_edges, left_alone

SIZE = (120, 160, 1)


def square(trust):
    """A mask with soft edges between columns 40 and 80, and that much trust everywhere."""
    own = np.zeros(SIZE, np.float32)
    own[40:80, 40:80] = 1
    own[39:81, [39, 80]] = own[[39, 80], 39:81] = 0.5
    return at_edges(np.full(SIZE, trust, np.float32), own)


@pytest.mark.parametrize(("trust", "share"), [(0.7, 0.0), (0.8, 0.0), (0.875, 0.5), (0.97, 1.0)])
def test_a_mask_is_left_alone_as_far_as_its_edges_are_trusted(trust, share):
    out = left_alone([square(trust)] * 7)
    np.testing.assert_allclose(out[40:80, 40, 0], share, atol=1e-4)


def test_a_mask_that_is_right_in_one_frame_of_seven_is_not_left_alone():
    out = left_alone([square(0.2)] * 3 + [square(1.0)] + [square(0.2)] * 3)
    assert not out.any()


def test_where_there_is_no_edge_around_nothing_is_left_alone():
    out = left_alone([square(1.0)] * 7)
    assert not out[:20].any()
    assert not out[:, 120:].any()
    assert not left_alone([at_edges(np.ones(SIZE, np.float32), np.ones(SIZE, np.float32))]).any()
