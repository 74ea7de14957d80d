"""What a process made or read last is not read again."""

import shutil

import numpy as np
import pytest

from pipeline.errors import DamageError
from pipeline.executor import InlineExecutor
from pipeline.scheduler import Run
from pipeline.store.frame_cache import Recent
from pipeline.store.store import Store
from tests.pipeline.store.test_store import KEY, put
from tests.pipeline.test_faults import kinds
from tests.support.toy_stages import STEPS, clip_of, numbers

OTHER = "cd" + "0" * 62
FRAME = np.arange(4)


def test_a_frame_is_found_by_its_digest_as_it_was():
    recent, frame = Recent(1000), FRAME.copy()
    recent.put_values("a", frame)
    frame[:] = 0
    np.testing.assert_array_equal(recent.find("a"), FRAME)
    assert recent.find("b") is None


def test_what_was_not_used_for_longest_goes_first():
    recent = Recent(2 * FRAME.nbytes)
    for digest in ("a", "b", "a", "c"):
        recent.put_values(digest, FRAME)
    assert [recent.find(digest) is not None for digest in "abc"] == [True, False, True]
    recent.find("a")
    recent.put_values("d", FRAME)
    assert [recent.find(digest) is not None for digest in "acd"] == [True, False, True]


@pytest.mark.parametrize("limit", [0, FRAME.nbytes - 1])
def test_more_than_the_limit_is_not_held(limit):
    recent = Recent(limit)
    recent.put_values("a", FRAME)
    assert recent.find("a") is None


def gone(store, manifest):
    """Delete the arrays of an artifact behind the store's back."""
    shutil.rmtree(f"{store.artifact_folder(manifest.key)}/x")


def test_what_was_read_to_be_remembered_is_read_once(tmp_path):
    store = Store(str(tmp_path), recent=1000)
    manifest = put(store)
    before = store.read(manifest.piece("x", 10, 16), remember=True)
    expected = before.copy()
    before[:] = -1  # who has read it owns it
    gone(store, manifest)
    np.testing.assert_array_equal(store.read(manifest.piece("x", 12, 15)), expected[2:5])
    np.testing.assert_array_equal(store.read(manifest.piece("x", 10, 16)), expected)


@pytest.mark.parametrize("cached", [(10, 11), (12, 14), (15, 16)])
def test_what_is_held_and_what_is_not_are_joined(tmp_path, cached):
    store = Store(str(tmp_path), recent=1000)
    first, other = put(store), put(store, OTHER, np.arange(12.0).reshape(6, 2) + 100)
    expected = store.read(other.piece("x", 14, 16), first.piece("x", 10, 16))
    store.read(first.piece("x", *cached), remember=True)
    read, inner = [], store._read_piece
    store._read_piece = lambda piece, *more: (
        read.append((piece.start, piece.frames)),
        inner(piece, *more),
    )
    actual = store.read(other.piece("x", 14, 16), first.piece("x", 10, 16))
    np.testing.assert_array_equal(actual, expected)
    assert sum(frames for _, frames in read) == 2 + 6 - (cached[1] - cached[0])


@pytest.mark.parametrize("recent", [0, 1000])
def test_nothing_is_remembered_unasked(tmp_path, recent):
    store = Store(str(tmp_path), recent=recent)
    manifest = put(store)
    store.read(manifest.piece("x", 10, 16), remember=recent == 0)
    gone(store, manifest)
    with pytest.raises(DamageError):
        store.read(manifest.piece("x", 10, 16))


def run(tmp_path, name, recent):
    """Run a clip; return how many frames were read from the disk, and what was written."""
    events, store, read = [], Store(str(tmp_path / name)), []

    def start():
        executor = InlineExecutor(store.url, 1, recent=recent)
        inner = executor._store._read_piece
        executor._store._read_piece = lambda piece, *more: (read.append(piece), inner(piece, *more))
        return executor

    out = tmp_path / f"out-{name}"
    clip = clip_of(tmp_path, "a", numbers(20))
    Run(STEPS, store, out, start, chunk=8, listener=events.append).go([clip])
    assert kinds(events)["failed"] == 0
    written = {
        path.name: path.read_bytes()
        for path in sorted((out / "a").iterdir())
        if not path.name.startswith(".")
    }
    return sum(piece.frames for piece in read), written


def test_stages_find_what_those_before_them_made_and_write_the_same(tmp_path):
    most, expected = run(tmp_path, "without", 0)
    fewer, written = run(tmp_path, "with", 10**6)
    assert expected
    assert written == expected
    assert 0 < fewer < most / 2


def test_the_larger_window_of_the_next_stage_reads_only_what_is_new(tmp_path):
    store = Store(str(tmp_path), recent=1000)
    manifest = put(store, KEY)
    store.read(manifest.piece("x", 11, 14), remember=True)
    read, inner = [], store._read_piece
    store._read_piece = lambda piece, *more: (
        read.append((piece.start, piece.frames)),
        inner(piece, *more),
    )
    store.read(manifest.piece("x", 10, 16), remember=True)
    assert read == [(10, 1), (14, 2)]
