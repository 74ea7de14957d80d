"""Frames that a process made or read last: who wants them next need not read them again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Generic, Protocol, TypeVar

from numpy.typing import NDArray


class Sized(Protocol):
    """Anything that takes memory."""

    @property
    def nbytes(self) -> int:
        """How much."""


Kept = TypeVar("Kept", bound=Sized)


class LastUsed(Generic[Kept]):
    """Arrays or tensors by name, the last ones used, up to `limit` bytes; for many threads.

    Parameters
    ----------
    limit : int
        Bytes; 0 keeps nothing.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self._bytes = limit, 0
        self._held: OrderedDict[str, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def put_values(self, name: str, values: Kept) -> None:
        """Hold values, unless some are held under this name or they are more than the limit."""
        if values.nbytes > self.limit:
            return
        with self._lock:
            if name not in self._held:
                self._held[name] = values
                self._bytes += values.nbytes
            while self._bytes > self.limit:
                self._bytes -= self._held.popitem(last=False)[1].nbytes

    def find(self, name: str) -> Kept | None:
        """Return the values under a name, or None; they are to be read and never written to."""
        with self._lock:
            values = self._held.get(name)
            if values is not None:
                self._held.move_to_end(name)
            return values


class Recent(LastUsed[NDArray[Any]]):
    """Copies of frames, by the digest of their content."""

    def put_values(self, name: str, values: NDArray[Any]) -> None:
        """Hold a copy of a frame, unless it is held or larger than the limit."""
        if values.nbytes <= self.limit and self.find(name) is None:
            super().put_values(name, values.copy())
