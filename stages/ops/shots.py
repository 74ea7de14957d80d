"""Where one shot ends and the next begins."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

SEEN_AT = 160  # longest side, pixels, at which pictures are compared
SHORTEST = 5  # frames of a shot found by itself


class CutFinder:
    """Looks at frames in order and finds hard cuts, with PySceneDetect's adaptive detector.

    Parameters
    ----------
    threshold : float, > 0
        How many times a change must stand out from the changes around it.
    """

    def __init__(self, threshold: float) -> None:
        from scenedetect import AdaptiveDetector  # slow to import

        self._detector = AdaptiveDetector(adaptive_threshold=threshold, min_scene_len=SHORTEST)
        self._cuts: list[int] = []
        self._seen = 0

    def look(self, frame: NDArray[np.uint8]) -> None:
        """Take the next frame, RGB (H, W, 3)."""
        from scenedetect import FrameTimecode

        scale = SEEN_AT / max(frame.shape[:2])
        size = tuple(max(round(side * min(scale, 1.0)), 1) for side in frame.shape[1::-1])
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        found = self._detector.process_frame(
            FrameTimecode(self._seen, 25.0), cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
        )
        self._cuts += [cut.frame_num for cut in found]
        self._seen += 1

    def cuts(self) -> list[int]:
        """Return the first frame of every shot but the first."""
        return sorted({cut for cut in self._cuts if 0 < cut < self._seen})


def shots_between(cuts: Iterable[int], frames: int) -> list[tuple[int, int]]:
    """Return the shots, (start, stop) each, of a clip of `frames` frames cut at `cuts`.

    Cuts outside the clip are left out; the order does not matter.
    """
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < frames}), frames]
    return list(pairwise(edges))
