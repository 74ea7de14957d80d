"""DeepFlow: OpenCV's variational flow with matching, accurate and slow; for judging above all."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


class DeepFlow:
    """Weinzaepfel et al., "DeepFlow: Large displacement flow with deep matching", ICCV 2013.

    OpenCV's version, without the deep matches. About a second a pair at 854 x 480.
    """

    def __init__(self) -> None:
        self._search = cv2.optflow.createOptFlow_DeepFlow()

    def __call__(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the flow from one RGB picture (H, W, 3) to another: (2, H, W) float32, pixels."""
        grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second)]
        flow = self._search.calc(grey[0], grey[1], None)
        return np.ascontiguousarray(flow.transpose(2, 0, 1), dtype=np.float32)
