"""Masks in one file of several pictures, in their order."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import InputError
from stages.media.footage.limits import USUAL
from stages.media.masks.legend import Legend, count_masks
from stages.media.masks.mask_pictures import BROKEN, FORMATS, MaskFile, is_exact, raw_of_picture
from stages.media.masks.raw import Raw
from stages.media.masks.readings import decide
from stages.media.masks.sizes import fit_labels, fit_note, fit_soft
from stages.media.masks.source import Known, MaskSource

if TYPE_CHECKING:
    from stages.media.masks.contract import FootageFacts, ReadingChoices


class StackMasks(MaskSource):
    """As many pictures as frames, read one after the other."""

    def __init__(
        self, file: MaskFile, footage: FootageFacts, choices: ReadingChoices, known: Known | None
    ) -> None:
        super().__init__(footage.frames)
        self._file, self._footage = file, footage
        if known is not None:
            self.legend = Legend.from_json(known["legend"])
            return
        reading = decide(file.path, count_masks(self._pictures()), choices)
        note = self._check(choices)
        self.legend = reading.legend
        self.warnings = (*((note,) if note else ()), *reading.notes)
        kind = file.suffix.removeprefix(".").upper()
        self.reading = (
            f"{footage.frames} masks, one {kind} ({reading.words}), "
            f"{self.legend.describe_classes()}; all {footage.frames} frames"
        )

    def read(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """Yield the masks of frames `start` to `stop`."""
        hard = self.legend.kind == "labels"
        for number, raw in enumerate(self._pictures()):
            if number >= stop:
                return
            if number >= start:
                mask = self.legend.apply(raw)
                size = self._footage.size
                yield fit_labels(mask, size) if hard else fit_soft(mask, size)

    def _check(self, choices: ReadingChoices) -> str:
        raw = next(self._pictures())
        shape = raw.values.shape[:2] if raw.is_colour else raw.values.shape[-2:]
        return fit_note(
            self._file.where, (int(shape[0]), int(shape[1])), self._footage.size,
            self._footage.rotation, self._footage.aspect, stretch=choices.fit == "stretch",
        )  # fmt: skip

    def _pictures(self) -> Iterator[Raw]:
        file, frames = self._file, self._footage.frames
        try:
            with file.open() as source:
                start = source.read(4096)
                source.seek(0)
                with Image.open(source, formats=FORMATS) as picture:
                    count = getattr(picture, "n_frames", 1)
                    if count != frames:
                        raise InputError(
                            f"{file.where}: expected {frames} masks, one a frame, got {count}"
                        )
                    for number in range(count):
                        picture.seek(number)
                        USUAL.check_size(file.where, (picture.height, picture.width))
                        exact = is_exact(picture, start)
                        yield raw_of_picture(file.where, picture, exact=exact)
        except (*BROKEN, zipfile.BadZipFile) as error:
            raise InputError(f"{file.where}: not readable pictures ({error})") from error
