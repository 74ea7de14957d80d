import numpy as np
import pytest
from scipy.ndimage import binary_erosion, binary_opening

from stages.ops.trust import at_edges, changed_pieces, mask_steadiness, mask_sureness

SIZE = (120, 160, 1)


def square(trust):
    """A mask with soft edges between columns 40 and 80, and that much trust everywhere."""
    own = np.zeros(SIZE, np.float32)
    own[40:80, 40:80] = 1
    own[39:81, [39, 80]] = own[[39, 80], 39:81] = 0.5
    return at_edges(np.full(SIZE, trust, np.float32), own)


@pytest.mark.parametrize(("trust", "share"), [(0.5, 0.0), (0.66, 0.0), (0.7, 0.5), (0.75, 1.0)])
def test_a_mask_is_sure_as_far_as_its_edges_are_trusted(trust, share):
    np.testing.assert_allclose(mask_sureness([square(trust)] * 7), [share], atol=1e-4)


def test_a_mask_that_is_right_in_one_frame_of_seven_is_not_sure():
    assert not mask_sureness([square(0.2)] * 3 + [square(1.0)] + [square(0.2)] * 3).any()


def test_edges_count_and_nothing_else():
    own = np.zeros((10, 10, 2), np.float32)
    own[:5, :, 0], own[5, :, 0] = 1, 0.5
    trust = np.zeros((10, 10, 2), np.float32)
    trust[5, :3] = 1
    trusted, edges = at_edges(trust, own)
    assert trusted.tolist() == [3, 0]
    assert edges.tolist() == [10, 0]
    assert mask_sureness([(trusted, edges)]).tolist() == [0, 0]


def neighbourhood(own, *others, weight=1.0):
    """The mask, and its neighbours as they would be carried to it."""
    near = [plane for other in others for plane in (other, np.full(own.shape, weight))]
    return own[..., None].astype(np.float32), np.stack(near)[None].astype(np.float32)


def test_pieces_are_counted_as_by_erosion_and_dilation():
    rng = np.random.default_rng(0)
    masks = [np.kron(rng.random((60, 80)) > 0.5, np.ones((4, 4))) for _ in range(3)]
    changed, outline = changed_pieces(*neighbourhood(*masks))
    side = np.ones((3, 3))
    parts = [binary_opening(masks[0] != other, side).sum() for other in masks[1:]]
    assert changed[0] == np.mean(parts)
    inner = binary_erosion(masks[0] > 0, side, border_value=1)
    assert outline[0] == ((masks[0] > 0) & ~inner).sum()


def test_a_line_along_the_outline_is_no_piece():
    own = np.zeros((240, 320))
    own[60:180, 80:240] = 1
    shifted = np.roll(own, 2, axis=1)
    assert changed_pieces(*neighbourhood(own, shifted, shifted))[0] == 0
    assert changed_pieces(*neighbourhood(own, np.roll(own, 5, axis=1), own))[0] == 2 * 120 * 5 / 2


def test_what_looks_different_or_lies_outside_is_not_counted():
    own = np.zeros((240, 320))
    own[60:180, 80:240] = 1
    assert changed_pieces(*neighbourhood(own, 1 - own, 1 - own, weight=0.4))[0] == 0
    assert changed_pieces(*neighbourhood(own, 1 - own, 1 - own, weight=0.6))[0] == 240 * 320


def test_masks_are_steady_if_few_pieces_come_and_go_in_all_frames_together():
    def counts(changed):
        return np.array([changed, 0.0], np.float32), np.array([100.0, 0.0], np.float32)

    assert mask_steadiness([counts(1), counts(4)]).tolist() == [1, 1]
    np.testing.assert_allclose(mask_steadiness([counts(4), counts(7)]), [0.5, 1], atol=1e-6)
    assert mask_steadiness([counts(0), counts(40)]).tolist() == [0, 1]
