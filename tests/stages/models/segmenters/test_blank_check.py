"""Segmenters that find nothing, everything or the picture are stopped with the likely cause."""

import numpy as np
import pytest

from pipeline.errors import InputError
from stages.models.segmenters.blank_check import check_masks, sample_frames

RNG = np.random.default_rng(2)
PICTURES = [RNG.integers(0, 256, (24, 32, 1), np.uint8).repeat(3, axis=2) for _ in range(3)]
DISC = np.hypot(*np.mgrid[-12:12, -16:16]) < 8


def masks_of(*values):
    return [np.asarray(value, np.float32)[None] for value in values]


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (
            [np.full((24, 32), 0.3)] * 3,
            r"no foreground .*highest probability is 0\.3.*segment\.mean",
        ),
        ([np.ones((24, 32))] * 3, "every pixel is foreground .*background among the classes"),
        ([p.mean(axis=-1) / 255 for p in PICTURES], "is the picture, no mask: the wrong output"),
        ([1 - p.mean(axis=-1) / 255 for p in PICTURES], "is the picture, no mask"),
    ],
)
def test_what_cannot_be_masks_is_refused(masks, message):
    with pytest.raises(InputError, match=message):
        check_masks(PICTURES, masks_of(*masks), where="model.onnx")


def test_one_good_frame_is_enough():
    empty, full = np.zeros((24, 32)), np.ones((24, 32))
    check_masks(PICTURES, masks_of(empty, empty, DISC), where="model.onnx")
    check_masks(PICTURES, masks_of(full, DISC, full), where="model.onnx")


def test_samples_are_spread_over_the_clip():
    assert sample_frames(1) == [0]
    assert sample_frames(9) == [0, 2, 4, 6, 8]
