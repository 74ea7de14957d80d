import numpy as np
import pytest

from stages.ops.outline_fit import outline_fit

BOX = np.zeros((80, 100), np.bool_)
BOX[20:60, 30:70] = True
PICTURE = np.where(BOX[..., None], [200, 40, 40], [30, 90, 160]).astype(np.uint8)


def test_an_outline_along_the_edges_fits():
    assert outline_fit(PICTURE, BOX) > 0.7


@pytest.mark.parametrize("pixels", [2, 4])
def test_an_outline_beside_the_edges_does_not(pixels):
    beside = np.roll(BOX, (pixels, pixels), axis=(0, 1))
    assert outline_fit(PICTURE, beside) < 0.5 * outline_fit(PICTURE, BOX)


def test_a_coarse_outline_fits_less():
    coarse = np.zeros_like(BOX)
    coarse[16:64, 24:72] = True
    assert outline_fit(PICTURE, coarse) < 0.5


def test_a_flat_picture_fits_nothing():
    assert outline_fit(np.full_like(PICTURE, 90), BOX) == 0


@pytest.mark.parametrize("value", [False, True])
def test_a_mask_without_an_outline_has_no_fit(value):
    assert outline_fit(PICTURE, np.full_like(BOX, value)) == 0
