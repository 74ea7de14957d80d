"""Export: one mask per source frame, at the source's size and with its timestamps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.stage import Clip, Facts, Input, PartedSink, Reader
from stages.facts import ClipFacts
from stages.media.footage.video import read_frames
from stages.media.results.encode import Result, results
from stages.ops.fixed_point import unpack_mask
from stages.ops.guided import upsample_mask
from stages.ops.soft_masks import winners
from stages.ops.source_size import transfer_labels, transfer_soft
from stages.smooth.filtering import centred


class Export(PartedSink):
    """Indexed PNG, lossless mask video, overlay preview; see `stages.media.results.encode`."""

    name: ClassVar[str] = "export"
    version: ClassVar[int] = 3
    uses: ClassVar[tuple[str, ...]] = (
        "size", "source_size", "timeline", "parts", "classes", "source_masks",
    )  # fmt: skip

    formats: tuple[Literal["png", "ffv1", "overlay"], ...] = Field(
        ("png", "ffv1", "overlay"), description="what to write"
    )
    kernel: int = Field(8, ge=1, le=255, description="box of the upsampling to source size")
    eps: float = Field(1e-4, ge=1e-6, description="of the upsampling; see smooth.eps")
    alpha: float = Field(0.5, ge=0, le=1, description="opacity of the overlay")

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read the stable masks, the pictures below them, and the masks as they came."""
        source = ClipFacts(facts).source_masks
        return (
            Input("smooth", "masks"),
            Input("smooth", "labels"),
            Input("ingest", "frames"),
            *([Input("segment", source)] if source else []),
            *([Input("segment", "labels")] if source == "source_labels" else []),
            *([Input("segment", "masks")] if source == "source_soft" else []),
        )

    def parts(self, facts: Facts) -> Sequence[tuple[int, int]]:
        """Return what can be decoded by itself."""
        return ClipFacts(facts).parts

    def write(
        self, clip: Clip, facts: Facts, part: tuple[int, int], read: Reader, folder: Path
    ) -> None:
        """Write the masks of a part."""
        ids = np.array([0, *ClipFacts(facts).classes], np.uint16)
        with ExitStack() as stack:
            writers = [
                stack.enter_context(result.part(folder, part[0]))
                for result in self._results(clip, facts)
            ]
            for labels, picture in self._frames(clip, facts, part, read):
                for writer in writers:
                    writer.write(ids[labels], picture)

    def join(self, clip: Clip, facts: Facts, parts: Sequence[Path], folder: Path) -> list[str]:
        """Join the parts to the clip's masks."""
        results = self._results(clip, facts)
        for result in results:
            result.join(parts, folder)
        return [result.name for result in results]

    def _results(self, clip: Clip, facts: Facts) -> list[Result]:
        return results(
            self.formats, ClipFacts(facts).timeline, clip.files["footage"],
            alpha=self.alpha, largest_label=max(ClipFacts(facts).classes, default=0),
        )  # fmt: skip

    def _frames(
        self, clip: Clip, facts: Facts, part: tuple[int, int], read: Reader
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        """Yield labels and picture of every frame of a part at source size."""
        if ClipFacts(facts).size == ClipFacts(facts).source_size:
            yield from zip(read("smooth", "labels"), read("ingest", "frames"), strict=True)
            return
        timeline = ClipFacts(facts).timeline
        large = read_frames(clip.files["footage"], timeline, frames=part)
        stable = zip(
            read("smooth", "masks"), read("smooth", "labels"), read("ingest", "frames"), strict=True
        )
        own = self._own(facts, read)
        for (mask, labels, frame), picture in zip(stable, large, strict=True):
            enlarge = partial(self._enlarged, mask, frame, picture)
            if own is None:
                yield winners(enlarge()), picture
            elif ClipFacts(facts).source_masks == "source_labels":
                yield _labels(*next(own), labels, enlarge), picture
            else:
                yield _soft_labels(*next(own), mask, enlarge), picture

    @staticmethod
    def _own(facts: Facts, read: Reader) -> Iterator[tuple[NDArray[Any], NDArray[Any]]] | None:
        """Return the masks as they came, at the source's size and at working size, if there are."""
        source = ClipFacts(facts).source_masks
        if not source:
            return None
        small = "labels" if source == "source_labels" else "masks"
        return zip(read("segment", source), read("segment", small), strict=True)

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


def _labels(
    source: NDArray[np.uint8],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    enlarge: Callable[[], NDArray[np.float32]],
) -> NDArray[np.uint8]:
    """Return labels at the source's size; see `stages.ops.source_size.transfer_labels`."""
    if np.array_equal(before, after):
        return source
    return transfer_labels(source, before, after, winners(enlarge()))


def _soft_labels(
    source: NDArray[np.uint8],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    enlarge: Callable[[], NDArray[np.float32]],
) -> NDArray[np.uint8]:
    """Return labels of soft masks; see `stages.ops.source_size.transfer_soft`."""
    if np.array_equal(before, after):
        return winners(unpack_mask(source))
    return winners(transfer_soft(source, before, after, enlarge()))
