"""Whether a clip's intermediates fit on the disk, before they are made."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from pipeline.errors import FullError
from pipeline.stage import Facts
from pipeline.store import Store


@dataclass
class Room:
    """Compares what open clips will take with what is free; only for a store on a file system.

    Parameters
    ----------
    store : Store
    needs : callable
        Gives from the facts of a clip the bytes that each stage takes.
    spendable : collection of str
        Stages whose arrays can be dropped after use where room is short.
    """

    store: Store
    needs: Callable[[Facts], Mapping[str, int]]
    spendable: Collection[str]
    _open: dict[str, int] = field(default_factory=dict)

    def admit(self, clip: str, facts: Facts, dropped: Collection[str]) -> bool:
        """Return whether a clip fits only if the spendable stages are dropped after use.

        A clip that was asked about before fits.

        Parameters
        ----------
        clip : str
        facts : mapping
        dropped : collection of str
            Stages that are dropped already.

        Raises
        ------
        FullError
            If it does not fit even then, saying what is needed and what is free.
        """
        if not self.store.local or clip in self._open:
            return False
        by_stage = self.needs(facts)
        lasting = {name: size for name, size in by_stage.items() if name not in dropped}
        least = sum(size for name, size in by_stage.items() if name not in self.spendable)
        free = shutil.disk_usage(self.store.root).free - sum(self._open.values())
        if least > free:
            raise FullError(
                f"expected about {gigabytes(least)} in the store at the least, "
                f"{gigabytes(max(free, 0))} are free: free some, name another --store, "
                "or take fewer lines (--set ingest.short_side=360)"
            )
        short = sum(lasting.values()) > free
        self._open[clip] = least if short else sum(lasting.values())
        return short

    def leave(self, clip: str) -> None:
        """Take down that a clip has ended."""
        self._open.pop(clip, None)


def gigabytes(size: float) -> str:
    """Return a size as people read it."""
    return f"{size / 1e9:.1f} GB"
