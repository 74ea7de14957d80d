"""Run lengths as COCO writes them, decoded here: what pycocotools makes of crafted ones is unsafe.

It reads behind the end of a cut-off text, and leaves unset memory where the runs are too short.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Five bits a letter, from the lowest on; all but a number's last letter are over O.
TEXT = re.compile(r"(?:[P-o]{0,6}[0-O])*")
POLYGON_STEPS = 2**24  # pycocotools walks along the border in fifths of a pixel


def decode_rle(counts: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of some runs, column by column, the first of them background.

    Parameters
    ----------
    counts : str, bytes or list of int
        As COCO compresses them, or plain.
    size : (H, W)

    Returns
    -------
    ndarray, shape (H, W), bool

    Raises
    ------
    ValueError
        If they are no runs, or do not fill the picture exactly.
    """
    if isinstance(counts, bytes):
        counts = counts.decode("ascii")
    runs = _runs_of_text(counts) if isinstance(counts, str) else _runs_of_list(counts)
    pixels = size[0] * size[1]
    if (runs < 0).any() or (runs > pixels).any() or int(runs.sum()) != pixels:
        raise ValueError(f"expected runs that fill {size[1]}x{size[0]} pixels, got others")
    marks = np.arange(len(runs)) % 2 == 1
    return np.repeat(marks, runs).reshape(size[1], size[0]).T


def _runs_of_list(counts: Any) -> NDArray[np.int64]:
    runs = np.asarray(counts)
    if runs.ndim != 1 or (runs.size and runs.dtype.kind not in "iu"):
        raise ValueError(f"expected a list of whole numbers, got {str(counts)[:40]}")
    return runs.astype(np.int64)


def _runs_of_text(text: str) -> NDArray[np.int64]:
    """Undo rleToString of pycocotools: each number is a difference to the one two before it."""
    if not TEXT.fullmatch(text):
        raise ValueError(f"expected compressed runs, got {text[:40]!r}")
    letters = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    if not letters.size:
        return letters
    lasts = np.flatnonzero(letters < 32)
    firsts = np.concatenate([[0], lasts[:-1] + 1])
    positions = np.arange(len(letters)) - np.repeat(firsts, lasts - firsts + 1)
    steps = np.add.reduceat((letters & 31) << 5 * positions, firsts)
    negative = letters[lasts] & 16 > 0
    steps[negative] -= np.int64(1) << 5 * (lasts - firsts + 1)[negative]
    steps[1::2] = np.cumsum(steps[1::2])
    steps[2::2] = np.cumsum(steps[2::2])
    return steps


def check_polygons(polygons: Sequence[Any], size: tuple[int, int]) -> None:
    """Refuse polygons that pycocotools would take for ever over, or crash at.

    Raises
    ------
    ValueError
        If a polygon has fewer than three corners, or lies farther outside than the picture is wide.
    """
    steps = 0.0
    for polygon in polygons:
        flat = np.asarray(polygon, np.float64)
        if flat.ndim != 1 or len(flat) < 6 or len(flat) % 2:
            raise ValueError("a polygon of fewer than three corners")
        corners = flat.reshape(-1, 2)
        reach = np.array([size[1], size[0]])
        if not ((corners >= -reach) & (corners <= 2 * reach)).all():  # NaN is neither
            raise ValueError(f"a polygon far outside of the {size[1]}x{size[0]} pixels")
        edges = np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1)
        steps += 5 * float(edges.sum())
    if steps > POLYGON_STEPS:
        raise ValueError("polygons with too long a border")
