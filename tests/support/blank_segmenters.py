"""Networks that were given pictures scaled otherwise than in training: they say nothing."""

import numpy as np


def see_nothing(image):
    """Return a probability that is small everywhere."""
    return np.full((1, *image.shape[:2]), 0.2, np.float32)


def see_everything(image):
    """Return a probability that is large everywhere."""
    return np.full((1, *image.shape[:2]), 0.9, np.float32)
