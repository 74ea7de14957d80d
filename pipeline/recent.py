"""Arrays that a process made or read last: who wants them next need not read them again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from pipeline.artifact import Piece
from pipeline.keys import DIGEST


@dataclass(frozen=True)
class _Held:
    values: NDArray[Any]
    offset: int  # in the artifact, of the first frame
    digests: str


class Recent:
    """Some frames of each array, the last ones used up to `limit` bytes.

    Nobody may change what is in here: stages must not write to what they read or have returned.

    Parameters
    ----------
    limit : int
        Bytes; 0 keeps nothing.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._bytes = limit, 0
        self._held: OrderedDict[tuple[str, str], _Held] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, piece: Piece, values: NDArray[Any]) -> None:
        """Hold the frames of a piece, unless more of the same array is held."""
        if not values.size or values.nbytes > self._limit:
            return
        name = piece.key, piece.array
        with self._lock:
            if name in self._held:
                if len(self._held[name].digests) >= len(piece.digests):
                    return
                self._bytes -= self._held.pop(name).values.nbytes
            self._held[name] = _Held(values, piece.offset, piece.digests)
            self._bytes += values.nbytes
            while self._bytes > self._limit:
                self._bytes -= self._held.popitem(last=False)[1].values.nbytes

    def find(self, piece: Piece) -> NDArray[Any] | None:
        """Return the frames of a piece if they are held, as they are: not a copy."""
        with self._lock:
            held = self._held.get((piece.key, piece.array))
            if held is None:
                return None
            first = piece.offset - held.offset
            there = held.digests[first * DIGEST :][: len(piece.digests)] if first >= 0 else ""
            if there != piece.digests:
                return None
            self._held.move_to_end((piece.key, piece.array))
        return held.values[first : first + piece.frames]
