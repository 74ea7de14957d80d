"""What every format of masks turns into, and the checks that all formats share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from pipeline.errors import InputError

Kind = Literal["auto", "labels", "soft", "binary"]
Missing = Literal["error", "hold", "empty"]


class MaskSource(ABC):
    """The masks of a clip, one a frame, in order, in constant memory.

    Attributes
    ----------
    kind : {"labels", "soft"}
        Whether iteration yields labels (H, W) uint16, or soft masks (C, H, W) float32 in [0, 1]
        of the foreground classes.
    classes : tuple of int
        Labels that occur, ascending, background left out; 1 … C for soft masks.
    warnings : tuple of str
        What a user should know.
    """

    kind: Literal["labels", "soft"] = "labels"
    classes: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()

    @abstractmethod
    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield the masks of all frames."""


def empty_warning(frames: int) -> tuple[str, ...]:
    """Return the warning about frames without foreground, if there are any."""
    return (f"{frames} frames have no foreground in their mask",) if frames else ()


def check_size(where: Path, got: Sequence[int], size: tuple[int, int]) -> None:
    """Refuse a mask of another size than the footage.

    Raises
    ------
    InputError
    """
    if tuple(got) != size:
        raise InputError(
            f"{where}: expected {size[1]}x{size[0]} like the footage, got {got[1]}x{got[0]}"
        )
