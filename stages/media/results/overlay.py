"""Format ``overlay``: masks over the picture, for people to judge."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stages.media.footage.sound import add_sound
from stages.media.masks.palette import overlay
from stages.media.results.encoded_video import Video
from stages.media.results.result import ResultClip, ResultFrame
from stages.media.results.settings import ResultSettings


class H264(Video):
    """An MP4 that every player plays, with the source's sound.

    Its clock starts when a player of the source starts, as a broadcast's may stand at hours.
    """

    container: ClassVar[str] = "mp4"
    codec: ClassVar[str] = "libx264"
    muxing: ClassVar[dict[str, str]] = {"movflags": "+faststart"}

    def __init__(self, clip: ResultClip, settings: ResultSettings) -> None:
        super().__init__(clip, settings)
        self.pixels = "yuv420p"
        self.zero = self.timeline.origin

    @abstractmethod
    def shown(self, frame: ResultFrame) -> NDArray[np.uint8]:
        """Return the picture (H, W, 3) RGB to encode."""

    def image(self, frame: ResultFrame) -> Any:
        """Return the picture, padded to even sides as H.264 wants them."""
        picture = self.shown(frame)
        odd = [(0, side % 2) for side in picture.shape[:2]]
        if any(pad for _, pad in odd):
            picture = np.pad(picture, (*odd, (0, 0)), mode="edge")
        return self.encoded(picture, "rgb24")

    def prepare(self, stream: Any) -> None:
        """Tag the colours."""
        self.tag_colours(stream)

    def prepare_join(self, stream: Any) -> None:
        """Keep the source's timecode."""
        self.write_timecode(stream)

    def picture_size(self) -> tuple[int, int]:
        """Return (H, W), even."""
        rows, columns = self.timeline.size
        return rows + rows % 2, columns + columns % 2

    def join_parts(self, parts: Sequence[Path], draft: Path) -> None:
        """Copy the packets of all parts, and the source's sound, into one file."""
        super().join_parts(parts, draft)
        if self.timeline.audio:
            add_sound(draft, self.clip.source, self.timeline, cut=self.clip.first > 0)


class Overlay(H264):
    """``overlay.mp4``: each class in its colour."""

    format: ClassVar[str] = "overlay"
    template: ClassVar[str] = "overlay.mp4"

    def options(self) -> dict[str, str]:
        """Fast, and good enough to judge a mask by."""
        return {"preset": "ultrafast", "crf": "20"}

    def shown(self, frame: ResultFrame) -> NDArray[np.uint8]:
        """Return the picture with the labels laid over it."""
        return overlay(frame.picture, frame.labels, alpha=self.settings.alpha)
