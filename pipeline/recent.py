"""Frames that a process made or read last: who wants them next need not read them again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from numpy.typing import NDArray


class Recent:
    """Frames by the digest of their content, the last ones used, up to `limit` bytes.

    They are copied when they are put in and must be when they are taken out.

    Parameters
    ----------
    limit : int
        Bytes; 0 keeps nothing.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self._bytes = limit, 0
        self._held: OrderedDict[str, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, digest: str, frame: NDArray[Any]) -> None:
        """Hold a copy of a frame."""
        if frame.nbytes > self.limit:
            return
        with self._lock:
            if digest in self._held:
                self._held.move_to_end(digest)
                return
        held = frame.copy()
        with self._lock:
            if digest not in self._held:
                self._held[digest] = held
                self._bytes += held.nbytes
            while self._bytes > self.limit:
                self._bytes -= self._held.popitem(last=False)[1].nbytes

    def find(self, digest: str) -> NDArray[Any] | None:
        """Return a frame if it is held; it is to be read and never written to."""
        with self._lock:
            found = self._held.get(digest)
            if found is not None:
                self._held.move_to_end(digest)
            return found
