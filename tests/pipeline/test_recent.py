"""What a process made or read last is not read again."""

import shutil

import numpy as np
import pytest

from pipeline.artifact import Piece
from pipeline.errors import DamageError
from pipeline.executor import InlineExecutor
from pipeline.keys import digest_array
from pipeline.recent import Recent
from pipeline.run import Run
from pipeline.store import Store
from tests.pipeline.test_faults import kinds
from tests.pipeline.test_store import KEY, put
from tests.pipeline.toys import STEPS, clip_of, numbers

VALUES = np.arange(12, dtype=np.int64).reshape(6, 2)
OTHER = "cd" + "0" * 62


def piece(start=0, stop=6, key=KEY, values=VALUES):
    digests = "".join(digest_array(frame) for frame in values)
    return Piece(key, "x", 10, 0, digests).part(10 + start, 10 + stop)


def test_any_part_of_what_is_held_is_found():
    recent = Recent(1000)
    recent.keep(piece(1, 5), VALUES[1:5])
    np.testing.assert_array_equal(recent.find(piece(2, 4)), VALUES[2:4])
    np.testing.assert_array_equal(recent.find(piece(1, 5)), VALUES[1:5])
    assert np.shares_memory(recent.find(piece(2, 4)), VALUES)
    for start, stop in (0, 2), (4, 6), (0, 6):
        assert recent.find(piece(start, stop)) is None


def test_other_content_under_the_same_name_is_not_found():
    recent = Recent(1000)
    recent.keep(piece(), VALUES)
    assert recent.find(piece(values=VALUES + 1)) is None
    assert recent.find(piece(key=OTHER)) is None


def test_the_larger_part_stays():
    recent = Recent(1000)
    recent.keep(piece(1, 5), VALUES[1:5])
    recent.keep(piece(0, 2), VALUES[:2])
    assert recent.find(piece(2, 4)) is not None
    recent.keep(piece(), VALUES)
    assert recent.find(piece()) is not None


def test_what_was_not_used_for_longest_goes_first():
    recent = Recent(2 * VALUES.nbytes)
    for key in ("1", "2"):
        recent.keep(piece(key=key), VALUES)
    recent.find(piece(key="1"))
    recent.keep(piece(key="3"), VALUES)
    assert [recent.find(piece(key=key)) is not None for key in "123"] == [True, False, True]


@pytest.mark.parametrize("limit", [0, VALUES.nbytes - 1])
def test_more_than_the_limit_is_not_held(limit):
    recent = Recent(limit)
    recent.keep(piece(), VALUES)
    assert recent.find(piece()) is None


def gone(store, manifest):
    """Delete the arrays of an artifact behind the store's back."""
    shutil.rmtree(f"{store.place(manifest.key)}/x")


def test_what_was_read_to_be_remembered_is_read_once(tmp_path):
    store = Store(str(tmp_path), recent=1000)
    manifest = put(store)
    before = store.read(manifest.piece("x", 10, 16), remember=True)
    gone(store, manifest)
    np.testing.assert_array_equal(store.read(manifest.piece("x", 12, 15)), before[2:5])


def test_what_is_held_and_what_is_not_are_joined(tmp_path):
    store = Store(str(tmp_path), recent=1000)
    held, read = put(store), put(store, OTHER, np.arange(12.0).reshape(6, 2) + 100)
    store.read(held.piece("x", 10, 16), remember=True)
    gone(store, held)
    for parts in (held, read), (read, held):
        found = store.read(*(part.piece("x", 11, 13) for part in parts))
        first, second = (100 if part is read else 0 for part in parts)
        expected = [[2 + first, 3 + first], [4 + first, 5 + first]]
        expected += [[2 + second, 3 + second], [4 + second, 5 + second]]
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("options", [{"recent": 0}, {"recent": 1000}])
def test_nothing_is_remembered_unasked(tmp_path, options):
    store = Store(str(tmp_path), **options)
    manifest = put(store)
    store.read(manifest.piece("x", 10, 16), remember=options["recent"] == 0)
    gone(store, manifest)
    with pytest.raises(DamageError):
        store.read(manifest.piece("x", 10, 16))


def test_of_what_is_read_with_more_only_the_larger_part_is_held(tmp_path):
    """A small part would hold the memory of all."""
    store = Store(str(tmp_path), recent=1000)
    small, large = put(store), put(store, OTHER, np.arange(12.0).reshape(6, 2) + 100)
    store.read(small.piece("x", 14, 16), large.piece("x", 10, 16), remember=True)
    gone(store, large)
    store.read(large.piece("x", 10, 16))
    gone(store, small)
    with pytest.raises(DamageError):
        store.read(small.piece("x", 14, 16))


def run(tmp_path, name, recent):
    """Run a clip; return the frames that were read from the disk, and what was written."""
    events, store, read = [], Store(str(tmp_path / name)), []

    def start():
        made = InlineExecutor(store.url, 1, recent=recent)
        inner = made._store._read
        made._store._read = lambda p, *more: (read.append(p), inner(p, *more))
        return made

    out = tmp_path / f"out-{name}"
    clip = clip_of(tmp_path, "a", numbers(20))
    Run(STEPS, store, out, start, chunk=8, listener=events.append).go([clip])
    assert kinds(events)["failed"] == 0
    written = {
        path.name: path.read_bytes()
        for path in sorted((out / "a").iterdir())
        if not path.name.startswith(".")
    }
    return sum(p.frames for p in read), written


def test_stages_find_what_those_before_them_made_and_write_the_same(tmp_path):
    most, expected = run(tmp_path, "without", 0)
    fewer, written = run(tmp_path, "with", 10**6)
    assert expected
    assert written == expected
    assert 0 < fewer < most / 2
