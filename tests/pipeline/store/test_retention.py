import json
import os
import socket
import time
from pathlib import Path

import pytest

from pipeline.store import retention as keeping
from pipeline.store.inventory import size_of, take_stock
from pipeline.store.retention import Budget, in_use, prune, running
from pipeline.store.store import USED_EVERY_S, Store
from tests.support.stored_artifacts import KINDS, last_used, put, store_of, stored_keys

HOUR, DAY = 3600.0, 86400.0


@pytest.fixture(params=KINDS)
def store(request, tmp_path):
    return store_of(request.param, tmp_path)


def note(store, name="other", host="elsewhere", pid=1, since=0.0, refreshed=0.0):
    """Leave the note of another run; times are seconds before now."""
    now = time.time()
    who = {"host": host, "pid": pid, "out": "there", "since": now - since, "seen": now - refreshed}
    store.write_note(f"runs/{name}", json.dumps(who))


def total(store):
    return take_stock(store).stored_bytes


def test_what_costs_least_per_byte_goes_first(store):
    dear = put(store, "dear", seconds=100)
    middle = put(store, "middle", seconds=10)
    cheap = put(store, "cheap", seconds=1)
    large = put(store, "large", seconds=10, width=1_000_000)  # cheapest for its size
    order = [entry.key for entry in prune(store, 0, dry_run=True).removed]
    assert order == [large, cheap, middle, dear]
    assert stored_keys(store) == {dear, middle, cheap, large}
    prune(store, total(store) - size_of(store, large) - 1)
    assert stored_keys(store) == {dear, middle}


def test_among_equals_the_least_recently_used_goes_first(store):
    now, keys = time.time(), {}
    for name, age in (("b", 2 * HOUR), ("a", 3 * HOUR), ("c", 1 * HOUR)):
        keys[name] = put(store, name, seconds=1.0 + 0.01 * age / HOUR, finished=now - age)
        if store.local:
            last_used(store, keys[name], now - age)
    prune(store, total(store) - 1)
    assert stored_keys(store) == {keys["b"], keys["c"]}


def test_nothing_goes_that_does_not_have_to(store):
    keys = {put(store, name) for name in "abc"}
    done = prune(store, total(store))
    assert (done.removed, done.left_bytes) == ((), total(store))
    assert stored_keys(store) == keys


def test_what_is_told_to_be_spared_stays(store):
    first, second = put(store, "one", seconds=1), put(store, "two", seconds=50)
    done = prune(store, 0, {first})
    assert stored_keys(store) == {first}
    assert [entry.key for entry in done.removed] == [second]
    assert done.left_bytes == size_of(store, first)


def test_what_was_not_used_for_long_goes_whatever_it_costs(store):
    now = time.time()
    old = put(store, "old", seconds=1000, finished=now - 31 * DAY)
    young = put(store, "young", seconds=0, finished=now - 29 * DAY)
    if store.local:
        last_used(store, old, now - 31 * DAY)
        last_used(store, young, now - 29 * DAY)
    prune(store, keep_s=30 * DAY)
    assert stored_keys(store) == {young}


def test_age_and_size_together_hold_both(store):
    now = time.time()
    keys = {}
    for name, seconds, age in (("old", 900, 40), ("cheap", 1, 1), ("dear", 900, 1)):
        keys[name] = put(store, name, seconds=seconds, finished=now - age * DAY)
        if store.local:
            last_used(store, keys[name], now - age * DAY)
    entry_size = size_of(store, keys["dear"])
    prune(store, 1.5 * entry_size, keep_s=30 * DAY)
    assert stored_keys(store) == {keys["dear"]}


def test_a_run_is_seen_while_it_lasts(store):
    assert running(store) == []
    with in_use(store, "here") as mine:
        (run,) = running(store)
        assert (run.out, run.pid, run.host) == ("here", os.getpid(), socket.gethostname())
        assert running(store, mine=mine) == []
        assert str(run).startswith(f"here (pid {os.getpid()} on ")
    assert running(store) == []


def test_the_note_of_a_run_is_refreshed(store, monkeypatch):
    monkeypatch.setattr(keeping, "REFRESH_S", 0.02)
    with in_use(store, "here") as mine:
        first = store.note(f"runs/{mine}")
        until = time.monotonic() + 20
        while store.note(f"runs/{mine}") == first and time.monotonic() < until:
            pass
        assert json.loads(store.note(f"runs/{mine}"))["seen"] > json.loads(first)["seen"]


@pytest.mark.parametrize(
    ("who", "lives"),
    [
        ({"refreshed": 60}, True),
        ({"refreshed": 3600}, False),
        ({"host": socket.gethostname(), "pid": os.getpid()}, True),
        ({"host": socket.gethostname(), "pid": 2**22 + 1}, False),
    ],
)
def test_a_run_that_is_dead_counts_for_nothing_and_its_note_is_dropped_by_the_next(
    store, who, lives
):
    note(store, **who)
    store.write_note("runs/nonsense", "[1]")
    assert [run.name for run in running(store)] == ["other"] * lives
    with in_use(store, "here") as mine:
        names = {"other"} if lives else set()
        assert {run.name for run in running(store, mine=mine)} == names
        assert store.note("runs/nonsense") is None
        assert (store.note("runs/other") is None) is not lives


def test_what_a_run_may_be_using_is_not_removed(tmp_path):
    store, now = store_of("folder", tmp_path), time.time()
    note(store, since=2 * HOUR)
    old, used, new = put(store, "old"), put(store, "used"), put(store, "new")
    last_used(store, old, now - DAY)
    last_used(store, used, now - 2 * HOUR - USED_EVERY_S + 1)  # found again, it tells of no use
    done = prune(store, 0)
    assert stored_keys(store) == {used, new}
    assert [run.name for run in done.others] == ["other"]
    assert done.left_bytes == total(store)


@pytest.mark.parametrize("kind", ["bucket", "memory"])
def test_in_an_object_store_nothing_is_removed_while_another_run_lasts(tmp_path, kind):
    store = store_of(kind, tmp_path)
    note(store)
    key = put(store, "one")
    assert prune(store, 0).removed == ()
    store.fs.rm_file(f"{store.root}/runs/other")
    assert [entry.key for entry in prune(store, 0).removed] == [key]


def test_a_run_that_begins_while_something_is_removed_is_seen(tmp_path, monkeypatch):
    store = store_of("folder", tmp_path)
    keys = [put(store, str(k)) for k in range(3)]
    monkeypatch.setattr(keeping, "LOOK_EVERY_S", 0.0)
    gone, remove = [], Store.remove

    def then_a_run_begins(store, key):
        gone.append(key)
        remove(store, key)
        note(store)

    monkeypatch.setattr(Store, "remove", then_a_run_begins)
    prune(store, 0)
    assert len(gone) == 1
    assert stored_keys(store) == set(keys) - set(gone)


def test_pruning_takes_away_what_dead_removers_left_and_no_live_writers_draft(tmp_path):
    store = store_of("folder", tmp_path)
    rest = Path(store.root, "drafts", "removed-1")
    rest.mkdir(parents=True)
    with store.draft("ab" + "0" * 62) as draft:
        prune(store, 0, dry_run=True)
        assert rest.exists()
        prune(store, 0)
        assert not rest.exists()
        assert Path(draft.folder).exists()


def test_a_draft_older_than_a_day_stays_while_a_run_older_than_it_lasts(tmp_path):
    store, now = store_of("folder", tmp_path), time.time()
    old = Path(store.root, "drafts", "ff")
    old.mkdir(parents=True)
    os.utime(old, (now - 2 * DAY, now - 2 * DAY))
    note(store, since=3 * DAY)
    prune(store, 0)
    assert old.exists()
    note(store, since=1 * DAY)
    prune(store, 0)
    assert not old.exists()


def test_a_budget_costs_nothing_until_it_is_exceeded_and_then_keeps_to_it(store, monkeypatch):
    scans = []
    real = keeping.take_stock
    monkeypatch.setattr(keeping, "take_stock", lambda s: scans.append(s) or real(s))
    with in_use(store, "here") as mine:
        entry_size = size_of(store, put(store, "first", seconds=0.1))
        budget = Budget(store, 5 * entry_size, mine=mine)
        assert budget.make_room(set()) == 0
        assert budget.stored_bytes == entry_size
        for k in range(20):
            budget.count_added(size_of(store, put(store, str(k))))
            budget.make_room(set())
            assert total(store) <= 5 * entry_size
        assert len(scans) <= 22
        assert budget.stored_bytes == total(store)


def test_a_budget_spares_what_open_clips_need(store):
    needed = {put(store, str(k), seconds=0) for k in range(3)}
    other = put(store, "other", seconds=1000)
    size = size_of(store, other)
    budget = Budget(store, size)
    assert budget.make_room(needed) == size
    assert stored_keys(store) == needed
    assert budget.is_exceeded


def test_a_budget_counts_what_others_write(store, monkeypatch):
    entry_size = size_of(store, put(store, "one"))
    budget = Budget(store, 2 * entry_size)
    budget.make_room(set())
    for name in "abc":
        put(store, name)
    assert budget.make_room(set()) == 0
    monkeypatch.setattr(budget, "_scan_after", 0.0)
    assert budget.make_room(set()) > 0
    assert total(store) <= 2 * entry_size
