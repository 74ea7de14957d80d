"""Masks in one .npy or .npz: labels (T, H, W), soft (T, H, W) or (T, C, H, W)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.io.mask_source import MaskSource, check_size, check_soft, labels_of


def load_array(file: Path, *, mapped: bool = False) -> NDArray[Any]:
    """Return the array of a .npy, or the only one of a .npz; nothing is unpickled.

    Raises
    ------
    InputError
        If it is unreadable, holds objects or several arrays.
    """
    try:
        held = np.load(file, allow_pickle=False, mmap_mode="r" if mapped else None)
        if not isinstance(held, np.lib.npyio.NpzFile):
            array: NDArray[Any] = held
            return array
        with held:
            if len(held.files) != 1:
                raise InputError(f"{file}: expected one array in it, got {held.files}")
            return np.asarray(held[held.files[0]])
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{file}: not a plain array ({error})") from error


def soft_channels(where: Path, soft: NDArray[Any]) -> NDArray[np.float32]:
    """Return soft masks (H, W) or (C, H, W) as (C, H, W) of the foreground, checked.

    Channels that sum to 1 everywhere start with the background, which is left out.
    """
    if soft.ndim not in (2, 3):
        raise InputError(f"{where}: expected (H, W) or (C, H, W) a frame, got {soft.shape}")
    checked = check_soft(where, soft if soft.ndim == 3 else soft[None])
    total = checked.sum(axis=0)
    if len(checked) > 1 and np.allclose(total, 1, atol=1e-2):
        return checked[1:]
    if total.max(initial=0) > 1 + 1e-2:
        raise InputError(
            f"{where}: expected classes that sum to at most 1, got up to {total.max():.3g}"
        )
    return checked


class ArrayMasks(MaskSource):
    """See `stages.io.masks.open_masks`."""

    def __init__(self, file: Path, frames: int, size: tuple[int, int]) -> None:
        self._file = file
        self._array = load_array(file, mapped=True)
        array = self._array
        if array.ndim not in (3, 4) or array.dtype.kind not in "buif":
            raise InputError(
                f"{file}: expected labels (T, H, W) or soft masks (T, H, W) or (T, C, H, W), got "
                f"{array.dtype} {array.shape}"
            )
        if len(array) != frames:
            raise InputError(f"{file}: expected {frames} masks, one a frame, got {len(array)}")
        check_size(file, array.shape[-2:], size)
        if array.dtype.kind == "f":
            self.kind = "soft"
            self.classes = tuple(range(1, len(soft_channels(file, array[0])) + 1))
        elif array.ndim == 3:
            self.scan()
        else:
            raise InputError(f"{file}: expected labels (T, H, W), got {array.shape}")

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield the masks of all frames."""
        for values in self._array:
            if self.kind == "labels":
                yield labels_of(self._file, np.asarray(values))
                continue
            soft = soft_channels(self._file, np.asarray(values))
            if len(soft) != len(self.classes):
                raise InputError(
                    f"{self._file}: some frames have a background channel, others do not"
                )
            yield soft
