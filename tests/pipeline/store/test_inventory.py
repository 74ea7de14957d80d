import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import CacheError
from pipeline.store.artifact import Manifest
from pipeline.store.inventory import delete_leftovers, find_leftovers, room_of, size_of, take_stock
from pipeline.store.keys import digest_json
from pipeline.store.retention import prune
from pipeline.store.store import MANIFEST, USED_EVERY_S, Store
from tests.support.stored_artifacts import (
    KINDS,
    damage,
    last_used,
    places,
    put,
    store_of,
    stored_keys,
    values_of,
)

ROOT = Path(__file__).resolve().parents[3]

DIE_WHILE_REMOVING = """
import os, shutil, signal, sys
from tests.support.stored_artifacts import store_of
from pathlib import Path

store, deleted = store_of(sys.argv[1], Path(sys.argv[2])), 0
def watch(event, arguments):
    global deleted
    if event == "os.remove":
        deleted += 1
        if deleted == 3:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
store.remove(sys.argv[3])
"""


@pytest.fixture(params=KINDS)
def store(request, tmp_path):
    return store_of(request.param, tmp_path)


def test_stock_tells_what_made_each_artifact_and_when_it_was_used(store):
    before = time.time()
    key = put(store, "one", stage="smooth", clip="b", seconds=2.5, finished=before)
    (entry,) = take_stock(store).entries
    assert (entry.key, entry.stage, entry.clip, entry.seconds) == (key, "smooth", "b", 2.5)
    assert entry.used == pytest.approx(before, abs=20)
    assert entry.stored_bytes == size_of(store, key)


def test_a_folder_counts_as_du_does_and_an_object_store_by_the_sizes_of_objects(tmp_path):
    folder, bucket = store_of("folder", tmp_path), store_of("bucket", tmp_path / "b")
    key = put(folder, "one")
    put(bucket, "one")
    output = subprocess.run(
        ["du", "-s", "--block-size=1", folder.artifact_folder(key)], capture_output=True, check=True
    )
    assert size_of(folder, key) == int(output.stdout.split()[0])
    files = [p for p in Path(bucket.artifact_folder(key)).rglob("*") if p.is_file()]
    assert size_of(bucket, key) == sum(path.stat().st_size for path in files)


def test_what_the_writer_measured_is_not_measured_again(store):
    record = {"stage": "toy"}
    key = digest_json(record)
    with store.draft(key) as draft:
        draft.append({"x": values_of("one")})
        size = room_of(store, draft.folder)
        provenance = {"stored_bytes": size}
        store.publish(draft, Manifest(key, 0, draft.arrays, {}, record, provenance))
    assert take_stock(store).entries[0].stored_bytes == size
    assert 0 < size < size_of(store, key)  # that is with the manifest


def test_what_was_measured_is_remembered_and_what_is_gone_forgotten(store):
    earlier, second = put(store, "one"), put(store, "two")
    first = [replace(entry, used=0) for entry in take_stock(store).entries]
    damage(store, earlier, "no JSON")  # read again, this would show
    assert [replace(entry, used=0) for entry in take_stock(store).entries] == first
    store.remove(earlier)
    assert stored_keys(store) == {second}
    assert not store.local or earlier not in store.note(f"index/{earlier[:2]}.json")
    put(store, "one")
    assert stored_keys(store) == {earlier, second}


@pytest.mark.parametrize("text", ["{", "[]", '{"%s": [1]}', '{"%s": 5}'])
def test_a_damaged_memory_is_made_anew(store, text):
    key = put(store, "one")
    before = take_stock(store)
    store.write_note(f"index/{key[:2]}.json", text.replace("%s", key))
    assert take_stock(store) == before


def test_names_that_are_no_keys_are_left_alone(tmp_path):
    store = store_of("folder", tmp_path)
    key = put(store, "one")
    for name in ("lost+found", key[:2] + "/note", "zz/" + key):
        Path(store.root, "objects", name).mkdir(parents=True)
    assert places(store) == stored_keys(store) == {key}


def test_an_artifact_that_cannot_be_understood_counts_with_its_room(store):
    key = put(store, "one")
    damage(store, key, "no JSON")
    (entry,) = take_stock(store).entries
    assert (entry.stage, entry.seconds) == ("(unreadable)", 0)
    assert entry.stored_bytes == size_of(store, key)


@pytest.mark.parametrize(
    "provenance", [{"seconds": "x"}, {"seconds": float("nan")}, {"finished": []}]
)
def test_an_artifact_with_nonsense_in_its_provenance_counts_too(store, provenance):
    record = {"stage": "toy"}
    key = digest_json(record)
    with store.draft(key) as draft:
        draft.append({"x": values_of("one")})
        store.publish(draft, Manifest(key, 0, draft.arrays, {}, record, provenance))
    (entry,) = take_stock(store).entries
    assert entry.stored_bytes == size_of(store, key)
    assert prune(store, 0).freed_bytes == entry.stored_bytes


def test_what_is_removed_is_absent_and_can_be_made_again(store):
    first, second = put(store, "one"), put(store, "two")
    store.remove(first)
    store.remove(first)
    assert store.find(first) is None
    assert places(store) == {second}
    put(store, "one")
    assert np.array_equal(store.read(store.find(first).piece("x", 10, 16)), values_of("one"))


def test_who_reads_what_is_removed_gets_an_error_and_finds_it_absent(store):
    key = put(store, "one")
    manifest = store.find(key)
    store.read(manifest.piece("x", 10, 12))
    store.remove(key)
    with pytest.raises(CacheError, match=key):
        store.read(manifest.piece("x", 12, 14))
    assert store.find(key) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_may_only_be_read_says_so(tmp_path):
    store = store_of("folder", tmp_path)
    key = put(store, "one")
    Path(store.artifact_folder(key)).parent.chmod(0o500)
    with pytest.raises(CacheError, match="cannot be removed"):
        store.remove(key)


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_a_process_killed_while_it_removes_leaves_nothing_that_can_be_read(tmp_path, kind):
    store = store_of(kind, tmp_path)
    key, other = put(store, "one"), put(store, "two")
    command = [sys.executable, "-c", DIE_WHILE_REMOVING, kind, str(tmp_path), key]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -9
    assert store.find(key) is None
    assert stored_keys(store) == {other}
    stock = take_stock(store)
    (left,) = find_leftovers(store, stock, before=time.time() + 1)
    assert left.stored_bytes > 0
    delete_leftovers(store, [left])
    assert not Path(left.path).exists()
    assert places(store) == {other}
    put(store, "one")
    assert np.array_equal(store.read(store.find(key).piece("x", 10, 16)), values_of("one"))


def test_a_draft_that_was_written_to_lately_is_no_leftover(tmp_path):
    store = store_of("folder", tmp_path)
    with store.draft("ab" + "0" * 62) as draft:
        draft.append({"x": values_of("one")})
        long_ago = time.time() - 1000
        for path in [Path(draft.folder), *Path(draft.folder).rglob("*")]:
            os.utime(path, (long_ago, long_ago))
        lately = next(p for p in Path(draft.folder).rglob("*") if p.is_file())
        os.utime(lately)
        assert find_leftovers(store, take_stock(store), before=long_ago + 500) == []
        os.utime(lately, (long_ago, long_ago))
        (left,) = find_leftovers(store, take_stock(store), before=long_ago + 500)
        assert left.path == draft.folder


def test_in_an_object_store_what_lacks_its_manifest_is_a_leftover_once_it_is_old():
    store = Store("memory://bucket/leftovers")
    key = put(store, "one")
    store.fs.rm_file(f"{store.artifact_folder(key)}/{MANIFEST}")
    stock = take_stock(store)
    assert stock.unfinished == [key]
    assert find_leftovers(store, stock, before=time.time() - 100) == []
    (left,) = find_leftovers(store, stock, before=time.time() + 100)
    assert left.path == store.artifact_folder(key)
    delete_leftovers(store, [left])
    assert places(store) == set()


def test_finding_an_artifact_is_taken_down_once_an_hour(tmp_path):
    store = store_of("folder", tmp_path)
    key, now = put(store, "one"), time.time()
    lately, before = now - USED_EVERY_S + 60, now - USED_EVERY_S - 60
    last_used(store, key, lately)
    store.find(key)
    assert take_stock(store).entries[0].used == pytest.approx(lately)
    last_used(store, key, before)
    take_stock(store)
    assert take_stock(store).entries[0].used == pytest.approx(before)
    store.find(key)
    assert take_stock(store).entries[0].used == pytest.approx(now, abs=20)


@contextmanager
def reading(store, key, truth):
    """Read an artifact all the while, for as long as it lasts: the truth, an error, or nothing.

    Gives what waits until it is being read again.
    """
    over, begun = threading.Event(), threading.Event()

    def read():
        while not over.is_set():
            manifest = store.find(key)
            if manifest is not None:
                begun.set()
                with suppress(CacheError):
                    np.testing.assert_array_equal(store.read(manifest.piece("x", 10, 16)), truth)

    def begin():
        begun.clear()
        assert begun.wait(30) or reader.result()

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        try:
            yield begin
        finally:
            over.set()
        reader.result()


def test_who_reads_while_it_is_removed_and_made_again_never_gets_anything_wrong(store):
    key = put(store, "one")
    with reading(store, key, values_of("one")) as begin:
        for _ in range(15):
            begin()
            store.remove(key)
            put(store, "one")


def test_many_may_write_an_artifact_while_it_is_removed(tmp_path):
    store = store_of("folder", tmp_path)
    key, over = put(store, "one"), threading.Event()

    def write():
        while not over.is_set():
            put(store, "one")

    with reading(store, key, values_of("one")), ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write) for _ in range(3)]
        for _ in range(20):
            while store.find(key) is None and not any(writer.done() for writer in writers):
                pass
            store.remove(key)
        over.set()
        for writer in writers:
            writer.result()
