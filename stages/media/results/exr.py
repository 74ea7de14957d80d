"""Format ``exr``: soft masks as named layers of OpenEXR, half float."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.results.frame_folder import FrameFolder
from stages.media.results.result import ResultClip, ResultFrame
from stages.media.results.settings import ResultSettings


class Exr(FrameFolder):
    """``exr/00000.exr``: channel ``A`` for all classes, ``<class>.A`` for each.

    Nuke, Resolve, Fusion and Blender show ``person.A`` as layer ``person``. Mattes are linear
    anyway: there is no colour in it that would need a colour space.
    """

    format: ClassVar[str] = "exr"
    template: ClassVar[str] = "exr/{index:05d}.exr"
    needs_alpha: ClassVar[bool] = True

    def __init__(self, clip: ResultClip, settings: ResultSettings) -> None:
        super().__init__(clip, settings)
        self._library = _open_exr()
        self._layers = layer_names(clip)

    def write_frame(self, folder: Path, frame: ResultFrame) -> None:
        """Write the layers."""
        library = self._library
        channels = {"A": half(frame.opacity)}
        for k, layer in enumerate(self._layers):
            single = len(self._layers) == 1
            channels[f"{layer}.A"] = channels["A"] if single else half(frame.alpha[..., k])
        across, down = self.timeline.aspect
        # Run lengths: a matte is flat, and ZIP takes twice the time.
        header = {
            "compression": library.RLE_COMPRESSION,
            "type": library.scanlineimage,
            "pixelAspectRatio": float(across / down),
        }
        library.File(header, channels).write(str(self.path(folder, frame.index)))

    def read_size(self, path: Path) -> tuple[int, int]:
        """Return (H, W) of a file with all layers."""
        with self._library.File(str(path), separate_channels=True) as file:
            names = set(file.channels())
            missing = {"A", *(f"{layer}.A" for layer in self._layers)} - names
            if missing:
                raise InputError(f"{path}: expected the layers {', '.join(sorted(missing))}")
            rows, columns = file.channels()["A"].pixels.shape
        return int(rows), int(columns)


def layer_names(clip: ResultClip) -> list[str]:
    """Return a layer name for each class: letters, digits and _ alone, as Nuke wants them."""
    names = [re.sub(r"[\W_]+", "_", name).strip("_") or "_" for name in clip.class_names.values()]
    lowered = [name.lower() for name in names]
    return [
        f"{name}_{label}" if lowered.count(name.lower()) > 1 else name
        for name, label in zip(names, clip.classes, strict=True)
    ]


def half(alpha: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return an alpha in 16-bit floats, contiguous."""
    rounded: NDArray[np.float16] = cv2.convertFp16(np.clip(alpha, 0, 1)).view(np.float16)
    return rounded


def _open_exr() -> Any:
    try:
        import OpenEXR
    except ImportError as error:
        raise InputError(
            "export.formats: exr needs the library OpenEXR: pip install OpenEXR, or choose matte16"
        ) from error
    return OpenEXR
