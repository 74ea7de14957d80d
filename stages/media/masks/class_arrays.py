"""Masks in one .npz with an array a class, each of all frames; the array's name is the class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.masks.arrays import ArrayMasks
from stages.media.masks.legend import Legend
from stages.media.masks.source import Known, MaskSource

if TYPE_CHECKING:
    from stages.media.masks.contract import FootageFacts, ReadingChoices


class ClassArrays(MaskSource):
    """A class for each array; where hard ones overlap, the last lies on top."""

    def __init__(
        self,
        file: Path,
        members: Sequence[str],
        footage: FootageFacts,
        choices: ReadingChoices,
        known: Known | None,
    ) -> None:
        super().__init__(footage.frames)
        self._size = footage.size
        names = [Path(member).stem for member in members]
        inside = [None] * len(members) if known is None else known["arrays"]
        self._arrays = [
            ArrayMasks(file, footage, choices, of_array, member=member)
            for member, of_array in zip(members, inside, strict=True)
        ]
        self._soft = all(array.legend.kind == "soft" for array in self._arrays)
        if known is not None:
            self.legend = Legend.from_json(known["legend"])
            return
        for name, array in zip(names, self._arrays, strict=True):
            if len(array.legend.classes) > 1:
                raise InputError(
                    f"{file}: expected an array a class, or one array of all frames, got "
                    f"{len(members)} arrays, of which {name} alone has "
                    f"{len(array.legend.classes)} classes: set segment.video to the name of the "
                    f"one to read: {', '.join(names[:8])}"
                )
        numbers = range(1, len(names) + 1)
        occurring = [
            k for k, array in zip(numbers, self._arrays, strict=True) if array.legend.classes
        ]
        classes = tuple(numbers) if self._soft else tuple(occurring)
        self.legend = Legend(
            "soft" if self._soft else "labels",
            classes,
            names=dict(zip(numbers, names, strict=True)),
        )
        self.warnings = tuple(
            f"{name}: {note}"
            for name, array in zip(names, self._arrays, strict=True)
            for note in array.warnings
        )
        self.reading = (
            f"{footage.frames} masks, {len(names)} arrays, an array a class, "
            f"{self.legend.describe_classes()}; all {footage.frames} frames"
        )

    @property
    def known(self) -> Known:
        """See `MaskSource.known`."""
        arrays = [{**array.known, "legend": asdict(array.legend)} for array in self._arrays]
        return {**super().known, "arrays": arrays}

    def read(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """Yield the masks of frames `start` to `stop`."""
        for masks in zip(*(array.read(start, stop) for array in self._arrays), strict=True):
            yield _joined_soft(masks) if self._soft else self._joined_labels(masks)

    def _joined_labels(self, masks: Sequence[NDArray[Any]]) -> NDArray[np.uint16]:
        labels = np.zeros(self._size, np.uint16)
        for number, mask in enumerate(masks, start=1):
            drawn = mask > 0.5
            labels[drawn if drawn.ndim == 2 else drawn.any(axis=0)] = number
        return labels


def _joined_soft(masks: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Return soft masks (C, H, W) that sum to 1 at most."""
    soft = np.concatenate(masks).astype(np.float32, copy=False)
    shared: NDArray[np.float32] = soft / np.maximum(soft.sum(axis=0), np.float32(1))
    return shared
