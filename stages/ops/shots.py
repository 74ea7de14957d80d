"""Where one shot ends and the next begins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SEEN_AT = 160  # longest side, pixels, at which pictures are compared
SHORTEST = 5  # frames of a shot found by itself


class Changes:
    """Looks at frames in order and says how much each differs from the one before.

    Attributes
    ----------
    values : list of float, >= 0
        Mean difference of hue, saturation and value, 0 to 255; 0 for the first frame.
    ends : list of array (h, w, 3) uint8
        The first and the last frame, small: what it takes to join the changes of two parts.
    """

    def __init__(self) -> None:
        from scenedetect import ContentDetector  # slow to import

        self._detector = ContentDetector()
        self.values: list[float] = []
        self.ends: list[NDArray[np.uint8]] = []

    def add_frame(self, frame: NDArray[np.uint8]) -> None:
        """Take the next frame, RGB (H, W, 3)."""
        from scenedetect import FrameTimecode

        scale = SEEN_AT / max(frame.shape[:2])
        size = tuple(max(round(side * min(scale, 1.0)), 1) for side in frame.shape[1::-1])
        small = cv2.cvtColor(
            cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR
        )
        at = FrameTimecode(len(self.values), 25.0)
        self.values.append(float(self._detector._calculate_frame_score(at, small)))
        self.ends = [self.ends[0] if self.ends else small, small]

    @classmethod
    def between(cls, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
        """Return the change from the last picture of one part to the first of the next."""
        both = cls()
        for small in (before, after):
            both.add_frame(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
        return both.values[1]


def find_cuts(changes: Sequence[float], threshold: float) -> list[int]:
    """Return the first frame of every shot but the first, with PySceneDetect's adaptive detector.

    Parameters
    ----------
    changes : sequence of float
        As `Changes.values`, of the whole clip.
    threshold : float, > 0
        How many times a change must stand out from the changes around it.
    """
    from scenedetect import AdaptiveDetector, FrameTimecode

    class Replayed(AdaptiveDetector):  # type: ignore[misc]
        def _calculate_frame_score(self, timecode: Any, frame_img: Any) -> float:
            return changes[int(timecode.frame_num)]

    detector = Replayed(adaptive_threshold=threshold, min_scene_len=SHORTEST)
    picture = np.zeros((1, 1, 3), np.uint8)
    cuts = {
        cut.frame_num
        for t in range(len(changes))
        for cut in detector.process_frame(FrameTimecode(t, 25.0), picture)
    }
    return sorted(cut for cut in cuts if 0 < cut < len(changes))


def shots_between(cuts: Iterable[int], frames: int) -> list[tuple[int, int]]:
    """Return the shots, (start, stop) each, of a clip of `frames` frames cut at `cuts`.

    Cuts outside the clip are left out; the order does not matter.
    """
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < frames}), frames]
    return list(pairwise(edges))
