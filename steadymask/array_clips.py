"""A clip of arrays: written as files that the stages read, and read back frame by frame.

The stages see a folder of PNG frames and of .npy masks, as in a library, so that the result is that
of the command bit for bit, and a clip of any length needs room on disk and not in memory.
"""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ShapeError
from pipeline.stage import Clip, Facts, Input, Reader
from stages.arrays import masks_to_smooth
from stages.export import Export
from stages.ops.fixed_point import pack_mask, unpack_mask

if TYPE_CHECKING:
    import torch

    Array = NDArray[Any] | torch.Tensor
else:
    Array = Any

Frames = Array | Iterable[Array]
"""(T, H, W, …) as an array or tensor, or an iterable of (H, W, …)."""

FAST_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)
MOST_LABEL = 2**16 - 1


@dataclass(frozen=True)
class StableFrame:
    """The masks of one frame.

    Attributes
    ----------
    labels : ndarray, shape (H, W), uint16
        Class ids as they came in; 0 is background.
    soft : ndarray, shape (H, W, C), float32
        Probability of each class in [0, 1], kept in 255ths; the background is what they leave to 1.
    trust : ndarray, float32
        How far each class's mask was kept as it came in, in [0, 1].
    """

    labels: NDArray[np.uint16]
    soft: NDArray[np.float32]
    trust: NDArray[np.float32]


class StableMasks:
    """Stable masks of a clip, one for each frame, in the order of the frames.

    Iterating reads one frame at a time; `labels`, `soft` and `trust` read all of them at once. The
    masks lie in a temporary folder that goes with this object.

    Attributes
    ----------
    class_ids : tuple of int
        Of the channels of `soft`, in their order.
    scores : dict
        What ``metrics.json`` says: E_cons and E_smooth in and out, warnings.
    """

    def __init__(
        self,
        folder: Path,
        class_ids: tuple[int, ...],
        scores: dict[str, Any],
        convert: Callable[[NDArray[Any]], Any],
    ) -> None:
        self.class_ids, self.scores = class_ids, scores
        self._files = sorted((folder / "clip" / ArrayExport.folder).glob("*.npz"))
        self._convert = convert
        self._finalizer = weakref.finalize(self, shutil.rmtree, folder, True)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._files)

    def __getitem__(self, frame: int) -> StableFrame:
        """Return the masks of a frame."""
        with np.load(self._files[frame]) as arrays:
            return StableFrame(
                arrays["labels"], unpack_mask(arrays["soft"]), unpack_mask(arrays["trust"])
            )

    def __iter__(self) -> Iterator[StableFrame]:
        """Yield the masks of one frame after the other."""
        return (self[frame] for frame in range(len(self)))

    @property
    def labels(self) -> Any:
        """Class ids, (T, H, W) uint16; an array, or a tensor where frames were one (int32)."""
        return self._convert(np.stack([frame.labels for frame in self]))

    @property
    def soft(self) -> Any:
        """Soft masks, (T, H, W, C) float32 in [0, 1]."""
        return self._convert(np.stack([frame.soft for frame in self]))

    @property
    def trust(self) -> Any:
        """How far masks were kept as they came in; see `StableFrame`."""
        return self._convert(np.stack([frame.trust for frame in self]))


class ArrayExport(Export):
    """Export into one file of arrays a frame."""

    name: ClassVar[str] = "export"
    version: ClassVar[int] = Export.version
    folder: ClassVar[str] = "arrays"

    @property
    def needs_soft(self) -> bool:
        """Soft masks are always wanted."""
        return True

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read what export reads, and trust."""
        return (*super().inputs(facts), masks_to_smooth()[2].within())

    def write(
        self, clip: Clip, facts: Facts, part: tuple[int, int], read: Reader, folder: Path
    ) -> None:
        """Write the frames of a part."""
        about, wanted = self._result_clip(clip, facts), self._wanted_frames(clip, facts)
        trust = read(masks_to_smooth()[2])
        target = folder / self.folder
        target.mkdir()
        for frame, trusted in zip(
            self._result_frames(clip, facts, about, part, wanted, read), trust, strict=True
        ):
            np.savez(
                target / f"{frame.index:08d}.npz",
                labels=frame.labels, soft=pack_mask(frame.alpha), trust=trusted,
            )  # fmt: skip

    def join(self, clip: Clip, facts: Facts, parts: Sequence[Path], folder: Path) -> list[str]:
        """Give the files of all parts one folder."""
        target = folder / self.folder
        target.mkdir(exist_ok=True)
        for part in parts:
            for file in (part / self.folder).iterdir():
                os.link(file, target / file.name)
        return [self.folder]


def write_clip(frames: Frames, masks: Frames | None, folder: Path) -> Clip:
    """Write a clip's frames and masks below `folder`, one after the other; return the clip.

    Raises
    ------
    ShapeError
        If a frame or a mask is not what it should be, or there are more of one than of the other.
    """
    files = {"footage": folder / "footage"}
    (folder / "footage").mkdir()
    if masks is not None:
        files["masks"] = folder / "masks"
        (folder / "masks").mkdir()
    size: tuple[int, int] | None = None
    layers: set[tuple[int, ...]] = set()
    for t, (frame, mask) in enumerate(zip_longest(_each_array(frames), _each_array(masks))):
        if frame is None or (mask is None and masks is not None):
            short, more = ("frame", "mask") if frame is None else ("mask", "frame")
            raise ShapeError(
                f"expected as many masks as frames: there is no {short} for {more} {t}"
            )
        picture = _checked_picture(np.asarray(frame), t, size)
        size = picture.shape[0], picture.shape[1]
        path = folder / "footage" / f"{t:08d}.png"
        if not cv2.imwrite(str(path), picture[..., ::-1], FAST_PNG):
            raise OSError(f"{path}: cannot be written")
        if mask is not None:
            values = _checked_mask(np.asarray(mask), t, size)
            layers.add((values.ndim, *values.shape[:-2]))
            if len(layers) > 1:
                raise ShapeError(f"mask {t}: expected as many channels as in mask 0")
            np.save(folder / "masks" / f"{t:08d}.npy", values)
    if size is None:
        raise ShapeError("expected at least one frame, got none")
    return Clip("clip", files)


def frame_converter(frames: Frames) -> Callable[[NDArray[Any]], Any]:
    """Return a function that makes results of the frames' own kind: an array or a tensor."""
    if type(frames).__module__.partition(".")[0] != "torch":
        return partial(np.asarray)
    import torch

    def as_tensor(values: NDArray[Any]) -> Any:
        wide = values.astype(np.int32) if values.dtype == np.uint16 else values
        return torch.from_numpy(wide)

    return as_tensor


def _each_array(values: Frames | None) -> Iterator[Any]:
    for value in () if values is None else values:
        yield value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _checked_picture(
    frame: NDArray[Any], t: int, size: tuple[int, int] | None
) -> NDArray[np.uint8]:
    fits = frame.ndim == 3 and frame.shape[-1] == 3 and frame.dtype == np.uint8
    if not fits or (size is not None and frame.shape[:2] != size):
        wanted = "(H, W, 3)" if size is None else f"{(*size, 3)} as frame 0"
        raise ShapeError(f"frame {t}: expected uint8 {wanted}, got {frame.dtype} {frame.shape}")
    return frame


def _checked_mask(mask: NDArray[Any], t: int, size: tuple[int, int]) -> NDArray[Any]:
    """Return a mask as a file has it: labels (H, W) uint16, or soft (C, H, W) float32."""
    soft = mask.dtype.kind == "f"
    if mask.shape[:2] != size or mask.ndim not in ((2, 3) if soft else (2,)):
        raise ShapeError(
            f"mask {t}: expected integer labels {size}, or floats {size} or {(*size, 'C')}, got "
            f"{mask.dtype} {mask.shape}"
        )
    low, high = (mask.min(), mask.max()) if mask.size else (0, 0)
    if not (low >= 0 and high <= (1 if soft else MOST_LABEL)):  # NaN is neither
        raise ShapeError(
            f"mask {t}: expected {'values in [0, 1]' if soft else f'labels of 0 to {MOST_LABEL}'}, "
            f"got {low} to {high}"
        )
    if not soft:
        return mask.astype(np.uint16)
    return np.moveaxis(mask.reshape(*size, -1), -1, 0).astype(np.float32)
