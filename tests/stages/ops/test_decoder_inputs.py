import numpy as np
import pytest

from pipeline.errors import ShapeError
from stages.ops.colour import STRONGEST, colour_evidence, count_colours
from stages.ops.decoder_inputs import decoder_inputs, frame_view
from stages.ops.voting import appearance_table

TABLE = appearance_table(12.0)
SIZE = (40, 50)


def clip(frames=3, classes=2):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (frames, *SIZE, 3), np.uint8)
    masks = (rng.random((frames, *SIZE, classes)) > 0.5).astype(np.float32)
    return [frame_view(image, mask) for image, mask in zip(images, masks, strict=True)]


def inputs(views, voted, box=None):
    still = np.zeros((2, 20, 25), np.float32)
    around = {-1: views[0], 0: views[1], 1: views[2]}
    return decoder_inputs(around, voted, {-1: still, 1: still}, window=3, table=TABLE, box=box)


def test_a_class_is_seen_with_the_picture_its_masks_and_what_its_colours_say():
    views = clip()
    voted = np.full((*SIZE, 2), 0.25, np.float32)
    frame_inputs = inputs(views, voted)
    planes = frame_inputs.planes(1)
    np.testing.assert_array_equal(np.round(planes[:3] * 255), np.moveaxis(views[1].image, -1, 0))
    np.testing.assert_array_equal(planes[3], views[1].mask[..., 1])
    assert (planes[4] == 0.25).all()
    counts = np.mean([count_colours(s.image, s.mask) for s in views], axis=0, dtype=np.float32)
    evidence = colour_evidence(views[1].image, counts)[..., 1]
    np.testing.assert_allclose((planes[5] - 0.5) * 2 * STRONGEST, evidence, atol=1e-5)


def test_neighbours_that_stand_still_and_look_alike_are_seen_where_they_are():
    views = clip()
    frame_inputs = inputs([views[1]] * 3, views[1].mask)
    assert frame_inputs.near.shape == (2, 4, 20, 25)
    for c in range(2):
        for mask, weight in (frame_inputs.near[c, :2], frame_inputs.near[c, 2:]):
            np.testing.assert_allclose(mask, views[1].half.mask[..., c], atol=1e-6)
            assert (weight == 1).all()


def test_a_part_is_cut_out_of_the_whole_to_the_bit():
    views = clip()
    voted = np.random.default_rng(1).random((*SIZE, 2), np.float32)
    whole, part = inputs(views, voted), inputs(views, voted, np.s_[8:30, 4:49])
    np.testing.assert_array_equal(part.picture, whole.picture[:, 8:30, 4:49])
    np.testing.assert_array_equal(part.masks, whole.masks[..., 8:30, 4:49])
    np.testing.assert_array_equal(part.near, whole.near[..., 4:15, 2:25])


def test_a_voted_mask_of_another_size_is_refused():
    with pytest.raises(ShapeError, match="voted"):
        inputs(clip(), np.zeros((10, 10, 2), np.float32))
