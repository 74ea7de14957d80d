"""Dense inverse search: OpenCV's optical flow, fast on a CPU and needing no weights."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Preset = Literal["ultrafast", "fast", "medium"]

PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
SMALLEST = 32  # rows and columns; below that its pyramid has no level


class DisFlow:
    """Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016.

    The result does not depend on the number of threads: OpenCV searches in a fixed number of
    stripes.
    """

    def __init__(self, preset: Preset) -> None:
        self._search = cv2.DISOpticalFlow_create(PRESETS[preset])  # type: ignore[attr-defined]

    def __call__(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the flow from one RGB picture (H, W, 3) to another: (2, H, W) float32, pixels."""
        rows, columns = first.shape[:2]
        grey = [
            _padded_picture(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) for image in (first, second)
        ]
        flow = self._search.calc(grey[0], grey[1], None)[:rows, :columns]
        return np.ascontiguousarray(flow.transpose(2, 0, 1), dtype=np.float32)


def _padded_picture(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the border of a picture that is too small for the pyramid."""
    below, right = (max(SMALLEST - size, 0) for size in grey.shape)
    if not below and not right:
        return grey
    wide: NDArray[np.uint8] = cv2.copyMakeBorder(grey, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return wide
