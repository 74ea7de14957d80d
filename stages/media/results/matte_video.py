"""Format ``matte_video``: the soft mask of all classes as a lossless video of 16 bits."""

from __future__ import annotations

from typing import Any, ClassVar

import av
import numpy as np

from stages.media.results.label_video import LabelVideo
from stages.media.results.matte import whole_numbers
from stages.media.results.result import ResultClip, ResultFrame
from stages.media.results.settings import ResultSettings


class MatteVideo(LabelVideo):
    """``matte.mkv``: white on black (FFV1, 16 bits grey), for editors and for ``--masks``."""

    format: ClassVar[str] = "matte_video"
    template: ClassVar[str] = "matte.mkv"
    needs_alpha: ClassVar[bool] = True

    def __init__(self, clip: ResultClip, settings: ResultSettings) -> None:
        super().__init__(clip, settings)
        self.pixels = "gray16le"

    def image(self, frame: ResultFrame) -> Any:
        """Return the soft mask as a grey picture."""
        return av.VideoFrame.from_ndarray(whole_numbers(frame.opacity, np.uint16), "gray16le")

    def prepare_join(self, stream: Any) -> None:
        """Say in the file what it is."""
        stream.metadata["title"] = "matte of all classes, white on black"
