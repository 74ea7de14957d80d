"""Test-time augmentation: a segmenter that looks at a picture several times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from stages.models.segmenters.base import Segmenter


class Augmented(Segmenter):
    """The mean of another segmenter's masks over scales, and over the picture and its mirror image.

    What each look gives is brought back to the picture; all looks count the same. A scale is of the
    size at which the network otherwise sees the picture, so it means the same to one that sees
    pictures of any size at one.

    Parameters
    ----------
    inner : Segmenter
    scales : tuple of float, > 0
        Different ones, at least one.
    flip : bool
        Look at the mirror image at each scale too, left and right exchanged.

    Raises
    ------
    ConfigError
        If scales are not so, or `inner` cannot see a picture at one of them.
    """

    def __init__(self, inner: Segmenter, scales: tuple[float, ...], *, flip: bool) -> None:
        check_scales(scales)
        if max(scales) > inner.most:
            raise ConfigError(
                f"segment.scales = {list(scales)}: expected at most {inner.most:g}, because the "
                "model's input has a fixed size: a smaller picture fits on it, a larger one does "
                "not; take smaller scales, --set segment.flip=true, or export the model with open "
                "sides"
            )
        self._inner, self._scales, self._flip = inner, scales, flip
        self.class_ids, self.class_names = inner.class_ids, inner.class_names
        self.notes = inner.notes

    def network_masks(self, frame: NDArray[np.uint8], scale: float) -> NDArray[np.float32]:
        """Return the mean over all looks, at the picture's size."""
        mirrored = np.ascontiguousarray(frame[:, ::-1]) if self._flip else None
        total = np.zeros((len(self.class_ids), *frame.shape[:2]), np.float32)
        for factor in self._scales:
            total += self._inner(frame, scale=scale * factor)
            if mirrored is not None:
                total += self._inner(mirrored, scale=scale * factor)[..., ::-1]
        total /= len(self._scales) * (1 + self._flip)
        return total


def check_scales(scales: tuple[float, ...]) -> None:
    """Refuse scales that are not different factors above 0.

    Raises
    ------
    ConfigError
    """
    if not scales or min(scales) <= 0 or len(set(scales)) < len(scales):
        raise ConfigError(
            f"segment.scales = {list(scales)}: expected different factors above 0, such as "
            "[0.75, 1.0]"
        )
