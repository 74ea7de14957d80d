"""Whether a clip's intermediates and results fit on the disk, before they are made."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import FullError
from pipeline.stage import Facts
from pipeline.store.store import Store


@dataclass
class Room:
    """Compares what open clips will take with what is free; of stores, those on a file system.

    Parameters
    ----------
    store : Store
    needs : callable
        Gives from the facts of a clip the bytes that each stage takes.
    spendable : collection of str
        Stages whose arrays can be dropped after use where room is short.
    out : Path, optional
        Where results go.
    writes : callable, optional
        Gives from the facts of a clip the bytes that each sink leaves there; without those that
        are not worth counting.
    """

    store: Store
    needs: Callable[[Facts], Mapping[str, int]]
    spendable: Collection[str]
    out: Path | None = None
    writes: Callable[[Facts], Mapping[str, int]] = lambda facts: {}
    _open: dict[str, int] = field(default_factory=dict)
    _results: dict[str, int] = field(default_factory=dict)

    def admit_clip(self, clip: str, facts: Facts, dropped: Collection[str]) -> bool:
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
        if clip in self._open:
            return False
        self.admit_results(clip, facts)
        if not self.store.local:
            return False
        by_stage = self.needs(facts)
        lasting = {name: size for name, size in by_stage.items() if name not in dropped}
        least = sum(size for name, size in by_stage.items() if name not in self.spendable)
        free = self._free_bytes(self.store.root)
        if least > free:
            results = self._results.get(clip)
            beside = f" beside {gigabyte_text(results)} of results" if results else ""
            raise FullError(
                f"expected about {gigabyte_text(least)} in the store at the least, "
                f"{gigabyte_text(max(free, 0))} are free{beside}: free some, name another --store, "
                "or take fewer lines (--set ingest.short_side=360)"
            )
        short = sum(lasting.values()) > free
        self._open[clip] = least if short else sum(lasting.values())
        return short

    def admit_results(self, clip: str, facts: Facts, sink: str = "") -> None:
        """Refuse a clip whose results do not fit; one that was asked about before fits.

        Parameters
        ----------
        clip : str
        facts : mapping
        sink : str
            The one that is left to run; all if empty.

        Raises
        ------
        FullError
            Saying what is needed and what is free.
        """
        if self.out is None or clip in self._results:
            return
        by_sink = self.writes(facts)
        size = by_sink.get(sink, 0) if sink else sum(by_sink.values())
        free = self._free_bytes(self.out)
        if size > free:
            raise FullError(
                f"{self.out}: expected room for about {gigabyte_text(size)} of results "
                f"({', '.join(by_sink)}), {gigabyte_text(max(free, 0))} are free: free some, name "
                "another --out, or write less (export.formats, pseudo_labels.every=5)"
            )
        self._results[clip] = size

    def _free_bytes(self, folder: str | Path) -> int:
        """Return the free bytes of a folder's disk, less those that open clips will take."""
        taken = 0
        if self.store.local and _disk_of(self.store.root) == _disk_of(folder):
            taken += sum(self._open.values())
        if self.out is not None and _disk_of(self.out) == _disk_of(folder):
            taken += sum(self._results.values())
        return shutil.disk_usage(_existing_folder(folder)).free - taken

    def leave(self, clip: str) -> None:
        """Take down that a clip has ended."""
        self._open.pop(clip, None)
        self._results.pop(clip, None)


def _disk_of(folder: str | Path) -> int:
    return _existing_folder(folder).stat().st_dev


def _existing_folder(path: str | Path) -> Path:
    return next(
        folder for folder in (Path(path), *Path(path).absolute().parents) if folder.exists()
    )


def gigabyte_text(size: float) -> str:
    """Return a size as people read it."""
    return f"{size / 1e9:.1f} GB"
