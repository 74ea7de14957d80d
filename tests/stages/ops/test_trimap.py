"""Trimaps: certain inside and outside, and a band as wide as the mask is soft."""

import cv2
import numpy as np
import pytest

from stages.ops.trimap import BACKGROUND, FOREGROUND, UNKNOWN, keep_known, trimap

SIZE = (200, 300)
Y, X = np.mgrid[: SIZE[0], : SIZE[1]]
DISC = (np.hypot(X - 150, Y - 100) < 60).astype(np.float32)


def soft(sigma):
    return cv2.GaussianBlur(DISC, (0, 0), sigma) if sigma else DISC


@pytest.mark.parametrize("sigma", [0, 1, 6])
def test_what_is_certain_is_right_and_the_outline_is_unknown(sigma):
    known = trimap(soft(sigma))
    assert set(np.unique(known)) == {BACKGROUND, UNKNOWN, FOREGROUND}
    assert (DISC[known == FOREGROUND] == 1).all()
    assert (DISC[known == BACKGROUND] == 0).all()
    outline = cv2.morphologyEx(DISC, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    assert (known[outline] == UNKNOWN).all()


def test_the_band_is_as_wide_as_the_mask_is_soft():
    widths = [np.count_nonzero(trimap(soft(sigma)) == UNKNOWN) for sigma in (0, 1, 3, 6)]
    assert widths == sorted(widths)
    assert widths[-1] > 3 * widths[0]


@pytest.mark.parametrize(("value", "wanted"), [(0, BACKGROUND), (1, FOREGROUND), (0.5, UNKNOWN)])
def test_an_even_mask_has_an_even_trimap(value, wanted):
    assert (trimap(np.full(SIZE, value, np.float32)) == wanted).all()


def test_what_is_known_is_kept():
    known = trimap(soft(3))
    alpha = keep_known(np.full(SIZE, 0.3, np.float32), known)
    assert (alpha[known == FOREGROUND] == 1).all()
    assert (alpha[known == BACKGROUND] == 0).all()
    assert (alpha[known == UNKNOWN] == np.float32(0.3)).all()
