"""Formats ``prores`` and ``webm``: videos with alpha."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from stages.media.footage.sound import add_sound
from stages.media.results.cut_out import with_alpha
from stages.media.results.encoded_video import Video
from stages.media.results.result import ResultClip, ResultFrame, WriteError
from stages.media.results.settings import ResultSettings

QSCALE = 118  # of FFmpeg's lambda, in one step of quality


class AlphaVideo(Video):
    """The picture, with the soft mask as straight alpha, and the source's sound."""

    needs_alpha: ClassVar[bool] = True

    def __init__(self, clip: ResultClip, settings: ResultSettings) -> None:
        super().__init__(clip, settings)
        self.zero = self.timeline.origin

    def image(self, frame: ResultFrame) -> Any:
        """Return picture and alpha in the source's colours."""
        return self.encoded(with_alpha(frame), "rgba")

    def prepare(self, stream: Any) -> None:
        """Tag the colours."""
        self.tag_colours(stream)

    def join_parts(self, parts: Sequence[Path], draft: Path) -> None:
        """Copy the packets of all parts, and the source's sound, into one file."""
        super().join_parts(parts, draft)
        if self.timeline.audio:
            add_sound(
                draft, self.clip.source, self.timeline,
                container=self.container, cut=self.clip.first > 0,
            )  # fmt: skip


class ProRes(AlphaVideo):
    """``prores.mov``: ProRes 4444, 10 bits, alpha lossless; for Resolve, Premiere, Final Cut."""

    format: ClassVar[str] = "prores"
    template: ClassVar[str] = "prores.mov"
    container: ClassVar[str] = "mov"
    codec: ClassVar[str] = "prores_ks"
    part_container: ClassVar[str] = "mov"  # NUT takes no ProRes
    alternative: ClassVar[str] = "rgba or webm"

    def __init__(self, clip: ResultClip, settings: ResultSettings) -> None:
        super().__init__(clip, settings)
        self.pixels = "yuva444p10le"

    def options(self) -> dict[str, str]:
        """Return a constant quantiser: a target rate makes the encoder five times slower.

        Eight is 56 dB on a photograph; four is 60, half as large again and a fifth slower.
        """
        return {
            "profile": "4444",
            "vendor": "apl0",
            "alpha_bits": "8",  # as many as the alpha has; 16 take longer and are no closer
            "flags": "+qscale",
            "global_quality": str(8 * QSCALE),
        }

    def part_muxing(self) -> dict[str, str]:
        """Return the source's clock: by itself the muxer takes another and rounds the times."""
        clock = str(self.timeline.time_base[1])
        return {"video_track_timescale": clock, "movie_timescale": clock}

    def prepare_join(self, stream: Any) -> None:
        """Keep the timecode, and say that it is ProRes 4444: the muxer takes it for 422."""
        stream.codec_context.codec_tag = "ap4h"
        self.write_timecode(stream)

    def check_stream(self, draft: Path, stream: Any) -> None:
        """Look for the alpha."""
        pixels = stream.codec_context.pix_fmt or ""
        if "yuva" not in pixels:
            raise WriteError(f"{draft}: expected alpha, got pixels {pixels!r}")


class WebM(AlphaVideo):
    """``webm.webm``: VP9 with alpha, for browsers. WebM keeps milliseconds."""

    format: ClassVar[str] = "webm"
    template: ClassVar[str] = "webm.webm"
    container: ClassVar[str] = "webm"
    codec: ClassVar[str] = "libvpx-vp9"
    part_container: ClassVar[str] = "webm"  # the alpha is beside the packets, which NUT drops
    alternative: ClassVar[str] = "prores or rgba"

    def __init__(self, clip: ResultClip, settings: ResultSettings) -> None:
        super().__init__(clip, settings)
        self.pixels = "yuva420p"

    def options(self) -> dict[str, str]:
        """Return a constant quality; frames that are not shown would have no alpha."""
        return {"crf": "4", "b": "0", "deadline": "realtime", "cpu-used": "7", "auto-alt-ref": "0"}

    def prepare(self, stream: Any) -> None:
        """Announce the alpha."""
        super().prepare(stream)
        stream.metadata["alpha_mode"] = "1"

    def prepare_join(self, stream: Any) -> None:
        """Announce the alpha."""
        stream.metadata["alpha_mode"] = "1"

    def check_stream(self, draft: Path, stream: Any) -> None:
        """Look for the alpha."""
        named = {name.lower(): value for name, value in stream.metadata.items()}
        if named.get("alpha_mode") != "1":
            raise WriteError(f"{draft}: expected alpha beside the pictures, found none")
