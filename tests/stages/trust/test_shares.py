"""Shares of a mask that is wrong, or in doubt."""

import numpy as np

from stages.trust.shares import trust_shares
from stages.trust.structure import DOUBTED, TRUSTED, WRONG


def test_shares_are_of_the_mask_and_of_what_is_missing_beside_it():
    labels = np.zeros((40, 60), np.uint8)
    labels[:20, :20] = 1  # 100 pixels of the grid
    trust = np.full((20, 30, 3), TRUSTED, np.uint8)
    trust[:10, :2, 0] = WRONG  # 20 of them
    trust[:10, 2:3, 0] = DOUBTED  # 10
    trust[:10, 10:20, 1] = WRONG  # of a class that the frame lacks
    actual = trust_shares(trust, labels)
    np.testing.assert_allclose(actual[:2], [[0.2, 0.3], [1, 1]])
    assert np.isnan(actual[2]).all()
    trust[:10, 10:20, 0] = WRONG
    np.testing.assert_allclose(trust_shares(trust, labels)[0], [120 / 200, 130 / 200])
    assert (trust_shares(np.full_like(trust, TRUSTED), labels)[0] == 0).all()
