"""Keeping a store within bounds while runs use it.

Every run that uses a store says so in a note under ``runs/``, refreshed while it lives. What a run
may be using is never removed: on a file system that is whatever was used since shortly before it
began; in an object store, which does not tell of use, it is everything.
"""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pipeline.store.inventory import Entry, delete_leftovers, find_leftovers, names_in, take_stock
from pipeline.store.store import USED_EVERY_S, Store

log = logging.getLogger(__name__)

REFRESH_S = 60.0
SKEW_S = 600.0  # between the clocks of machines on one store
GONE_AFTER_S = SKEW_S + 10 * REFRESH_S  # a run that did not refresh its note for so long is dead
DAY_S = 24 * 3600.0
LOOK_EVERY_S = 1.0
HEADROOM = 0.1  # of a budget, made free at a time so that it is not needed for every task
SCAN_EVERY_S = 600.0  # what others wrote is counted so often at least
SCAN_SHARE = 20  # between two scans, so many times what one takes


@dataclass(frozen=True)
class Running:
    """A run that uses a store: `name` of its note, who and where, since when (s since 1970)."""

    name: str
    host: str
    pid: int
    out: str
    since: float

    def __str__(self) -> str:
        """Return the words that messages use."""
        since = time.strftime("%F %T", time.localtime(self.since))
        return f"{self.out} (pid {self.pid} on {self.host} since {since})"


@contextmanager
def in_use(store: Store, out: str) -> Iterator[str]:
    """Say in the store that a run with these results uses it; give the name of the note.

    The note is refreshed from a thread of its own. A run that is killed leaves its note: it counts
    for nothing where the process is seen to be gone, and elsewhere once it is old.
    """
    _forget_dead(store)
    name, since = uuid.uuid4().hex, time.time()
    over = threading.Event()

    def write() -> None:
        who = {"host": socket.gethostname(), "pid": os.getpid(), "out": out}
        store.write_note(_note_name(name), json.dumps(who | {"since": since, "seen": time.time()}))

    def refresh() -> None:
        while not over.wait(REFRESH_S):
            try:
                write()
            except Exception as error:  # noqa: BLE001 - end of a thread; tried again in a while
                log.warning("%s: cannot say that this run uses it: %s", store.url, error)

    write()
    thread = threading.Thread(target=refresh, name="in_use", daemon=True)
    thread.start()
    try:
        yield name
    finally:
        over.set()
        thread.join()
        _drop_note(store, name)


def running(store: Store, *, mine: str = "") -> list[Running]:
    """Return the runs that use a store now, but for the one whose note is called `mine`."""
    alive = []
    for name in _note_names(store):
        run, refreshed = _read_note(store, name)
        if run is not None and name != mine and _is_alive(run, refreshed):
            alive.append(run)
    return alive


@dataclass(frozen=True)
class Pruned:
    """What `prune` did: the artifacts removed, the bytes left, the other runs on the store."""

    removed: tuple[Entry, ...]
    left_bytes: int
    others: tuple[Running, ...]

    @property
    def freed_bytes(self) -> int:
        """Bytes that were removed."""
        return sum(entry.stored_bytes for entry in self.removed)


def prune(
    store: Store,
    max_bytes: float = math.inf,
    spare: Set[str] = frozenset(),
    *,
    keep_s: float = math.inf,
    mine: str = "",
    dry_run: bool = False,
) -> Pruned:
    """Remove what was not used for long, then what costs least to have again, until all fits.

    The cost is the seconds it took to make per byte that it takes, taken as equal within a factor
    of two; among equals the least recently used goes first. What the inputs of an artifact would
    cost, should they be gone too, is not counted. A run that begins meanwhile and loses what it has
    just found computes it again.

    Parameters
    ----------
    store : Store
    max_bytes : float
        The store is to take no more than that.
    spare : set of str
        Keys that must stay.
    keep_s : float
        What was not used for so many seconds goes in any case.
    mine : str
        Note of the run that asks, from `in_use`: it knows what it needs and says so in `spare`.
    dry_run : bool
        Only say what would be removed.
    """
    now, stock = time.time(), take_stock(store)
    others = running(store, mine=mine)
    if not dry_run:
        delete_leftovers(store, find_leftovers(store, stock, before=dead_before(others, now)))
    free = [entry for entry in stock.entries if entry.key not in spare]
    free.sort(key=lambda entry: _removal_rank(entry, old=now - entry.used > keep_s))
    left, removed = stock.stored_bytes, []
    for entry in _unused_entries(store, free, mine):
        if left <= max_bytes and now - entry.used <= keep_s:
            break
        if not dry_run:
            store.remove(entry.key)
        removed.append(entry)
        left -= entry.stored_bytes
    return Pruned(tuple(removed), left, tuple(others))


def _unused_entries(store: Store, entries: list[Entry], mine: str) -> Iterator[Entry]:
    """Yield the entries that no other run may be using, looking every while who is there."""
    look_at, horizon = -math.inf, 0.0
    for entry in entries:
        if time.monotonic() >= look_at:
            horizon = _use_horizon(store, running(store, mine=mine))
            look_at = time.monotonic() + LOOK_EVERY_S
        if entry.used < horizon:
            yield entry


class Budget:
    """Keeps a store within `max_bytes` during a run.

    The run tells it of every artifact that it adds, and between tasks lets it make room, with the
    keys that must stay: of all artifacts that the open clips have found or made (the manifests of
    ``ClipPlan.done``), since their later stages read them. A clip that is finished needs nothing.

    Parameters
    ----------
    store : Store
    max_bytes : int
    mine : str
        Note of this run, from `in_use`.
    """

    def __init__(self, store: Store, max_bytes: int, *, mine: str = "") -> None:
        self._store, self._max, self._mine = store, max_bytes, mine
        self._scan_after = 0.0  # never later than this is the store measured again
        self._try_after = 0.0  # nor is it tried again before this where too little could go
        self.stored_bytes = 0

    def count_added(self, size: int) -> None:
        """Count an artifact just made, of `size` bytes on disk; see `room_of`."""
        self.stored_bytes += size

    def make_room(self, spare: Set[str]) -> int:
        """Remove what may go if the store is over its budget; return how many bytes that freed.

        Does nothing unless it is `due`.

        Parameters
        ----------
        spare : set of str
            Keys that must stay.
        """
        if not self.is_due:
            return 0
        began = time.monotonic()
        if not self.is_exceeded:
            self.stored_bytes = take_stock(self._store).stored_bytes
        freed = 0
        if self.stored_bytes > self._max:
            aim = self._max * (1 - HEADROOM)
            done = prune(self._store, aim, spare, mine=self._mine)
            freed, self.stored_bytes = done.freed_bytes, done.left_bytes
        pause = SCAN_SHARE * (time.monotonic() - began)
        self._scan_after = time.monotonic() + max(SCAN_EVERY_S, pause)
        self._try_after = time.monotonic() + (pause if self.is_exceeded else 0.0)
        return freed

    @property
    def is_due(self) -> bool:
        """Whether `make_room` has something to do; cheap, so that `spare` need not be made before.

        It has while the store is over its budget, and every ten minutes, to count what others have
        written; but no more than a twentieth of the time is spent on it where it is of no use.
        """
        return time.monotonic() >= (self._try_after if self.is_exceeded else self._scan_after)

    @property
    def is_exceeded(self) -> bool:
        """Whether the store takes more than its budget, as far as is known."""
        return self.stored_bytes > self._max


def dead_before(others: list[Running], now: float) -> float:
    """Return the time before which whoever wrote something unfinished is dead: a day and more."""
    return min([now - DAY_S, *(run.since for run in others)])


def _use_horizon(store: Store, others: list[Running]) -> float:
    """Return since when what was used may be in use."""
    if not others:
        return math.inf
    if not store.local:
        return -math.inf
    return min(run.since for run in others) - USED_EVERY_S - SKEW_S


def _removal_rank(entry: Entry, *, old: bool) -> tuple[bool, float, float]:
    """Return the sort key that puts first the entry to remove first."""
    cost = max(entry.seconds, 1e-3) / max(entry.stored_bytes, 1)
    return not old, math.floor(math.log2(cost)), entry.used


def _note_name(name: str) -> str:
    return f"runs/{name}"


def _note_names(store: Store) -> list[str]:
    """Return the names of the notes; not those that are being written."""
    return [name for name in names_in(store, "runs") if "." not in name]


def _read_note(store: Store, name: str) -> tuple[Running | None, float]:
    """Return the run of a note and when it was last refreshed; None if the note is damaged."""
    try:
        who = json.loads(store.note(_note_name(name)) or "{}")
        since, refreshed = float(who["since"]), float(who["seen"])
        return Running(name, str(who["host"]), int(who["pid"]), str(who["out"]), since), refreshed
    except (ValueError, KeyError, TypeError):
        return None, 0.0


def _is_alive(run: Running, refreshed: float) -> bool:
    if time.time() - refreshed > GONE_AFTER_S:
        return False
    if run.host != socket.gethostname():
        return True
    try:
        os.kill(run.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # of another user
    return True


def _forget_dead(store: Store) -> None:
    for name in _note_names(store):
        run, refreshed = _read_note(store, name)
        if run is None or not _is_alive(run, refreshed):
            _drop_note(store, name)


def _drop_note(store: Store, name: str) -> None:
    with suppress(OSError):  # gone already, or the store is: a dead note does no harm
        store.fs.rm_file(f"{store.root}/{_note_name(name)}")
