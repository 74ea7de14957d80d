"""Format ``ffv1``: the labels as grey values of a lossless video. It is data, not a picture."""

from __future__ import annotations

from typing import Any, ClassVar

import av
import numpy as np

from stages.media.results.encoded_video import Video
from stages.media.results.result import ResultClip, ResultFrame
from stages.media.results.settings import ResultSettings


class LabelVideo(Video):
    """``masks.mkv``: grey value = class id (FFV1). Matroska keeps milliseconds.

    A player shows it nearly black: ids are small numbers. ``matte`` is white on black.
    """

    format: ClassVar[str] = "ffv1"
    template: ClassVar[str] = "masks.mkv"
    container: ClassVar[str] = "matroska"
    codec: ClassVar[str] = "ffv1"

    def __init__(self, clip: ResultClip, settings: ResultSettings) -> None:
        super().__init__(clip, settings)
        self.pixels = "gray" if max(clip.classes, default=0) < 256 else "gray16le"

    def options(self) -> dict[str, str]:
        """Return the old format, which has no slices, for a picture too narrow for them."""
        return {"level": "1"} if self.timeline.size[1] == 1 else {}

    def image(self, frame: ResultFrame) -> Any:
        """Return the labels as a grey picture."""
        values = frame.labels.astype(np.uint8 if self.pixels == "gray" else np.uint16)
        return av.VideoFrame.from_ndarray(values, format=self.pixels)

    def prepare_join(self, stream: Any) -> None:
        """Say in the file that these are labels."""
        stream.metadata["title"] = "class ids as grey values: data, not a picture"
