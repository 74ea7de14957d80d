"""Export: one mask per source frame, at the source's size and with its timestamps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.stage import Clip, Facts, Input, Reader, Sink
from stages.filtering import centred
from stages.io.encode import open_writers
from stages.io.timeline import Timeline
from stages.io.video import read_frames
from stages.ops.fixed_point import unpack_mask
from stages.ops.guided import upsample_mask
from stages.ops.soft import winners


class Export(Sink):
    """Indexed PNG, lossless mask video, overlay preview; see `stages.io.encode`."""

    name: ClassVar[str] = "export"
    version: ClassVar[int] = 1
    uses: ClassVar[tuple[str, ...]] = ("frames", "size", "source_size", "timeline", "classes")

    formats: tuple[Literal["png", "ffv1", "overlay"], ...] = Field(
        ("png", "ffv1", "overlay"), description="what to write"
    )
    kernel: int = Field(8, ge=1, le=255, description="box of the upsampling to source size")
    eps: float = Field(1e-4, ge=1e-6, description="of the upsampling; see smooth.eps")
    alpha: float = Field(0.5, ge=0, le=1, description="opacity of the overlay")

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read what the smooth stage made, and the pictures below it."""
        return (
            Input("smooth", "masks"),
            Input("smooth", "labels"),
            Input("ingest", "frames"),
        )

    def run(self, clip: Clip, facts: Facts, read: Reader, folder: Path) -> list[str]:
        """Write the clip's masks into `folder`."""
        timeline = Timeline.from_json(facts["timeline"])
        ids = np.array([0, *facts["classes"]], np.uint16)
        with ExitStack() as stack:
            writers = open_writers(
                stack, folder, self.formats, timeline, clip.files["footage"],
                alpha=self.alpha, largest_label=int(ids.max()),
            )  # fmt: skip
            for labels, picture in self._frames(clip, facts, timeline, read):
                for writer in writers:
                    writer.write(ids[labels], picture)
            return [writer.name for writer in writers]

    def _frames(
        self, clip: Clip, facts: Facts, timeline: Timeline, read: Reader
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        """Yield labels and picture of every frame at source size."""
        if facts["size"] == facts["source_size"]:
            yield from zip(read("smooth", "labels"), read("ingest", "frames"), strict=True)
            return
        large = read_frames(clip.files["footage"], timeline)
        small = zip(read("smooth", "masks"), read("ingest", "frames"), large, strict=True)
        for mask, frame, picture in small:
            yield winners(self._enlarged(mask, frame, picture)), picture

    def _enlarged(
        self, mask: NDArray[np.uint8], frame: NDArray[np.uint8], picture: NDArray[np.uint8]
    ) -> NDArray[Any]:
        return upsample_mask(
            unpack_mask(mask),
            centred(frame),
            centred(picture),
            size=self.kernel,
            eps=self.eps,
        )
