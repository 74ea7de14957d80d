"""Masks of a clip in a video."""

from __future__ import annotations

from pathlib import Path

from stages.media.footage.clip_listing import VIDEOS
from stages.media.masks.contract import (
    BY_NAME,
    NOT_MINE,
    Confidence,
    FootageFacts,
    MaskReader,
    ReadingChoices,
)
from stages.media.masks.source import Known, MaskSource
from stages.media.masks.video_masks import VideoMasks


class VideoFile(MaskReader):
    """See `stages.media.masks.video_masks`."""

    name = "video"
    format = "video: grey levels, or labels in a lossless codec"
    recognised_by = "the ending"
    ambiguity = "as in grey pictures: `segment.kind`; lossy codecs are cut at half height"
    suffixes = VIDEOS

    def recognise(self, path: Path) -> Confidence:
        """Return whether the ending fits."""
        return BY_NAME if path.suffix.lower() in self.suffixes and path.is_file() else NOT_MINE

    def open(
        self,
        path: Path,
        footage: FootageFacts,
        choices: ReadingChoices,
        known: Known | None = None,
    ) -> MaskSource:
        """Return the masks of a clip."""
        return VideoMasks(path, footage, choices, known)


READERS = (VideoFile(),)
