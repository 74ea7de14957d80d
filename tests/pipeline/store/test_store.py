import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer

import numpy as np
import pytest

from pipeline.errors import CacheError, ConfigError, DamageError
from pipeline.store import store as store_module
from pipeline.store.artifact import Manifest
from pipeline.store.store import Store

KEY = "ab" + "0" * 62


def put(store, key=KEY, values=None, facts=None):
    values = np.arange(12.0).reshape(6, 2) if values is None else values
    with store.draft(key) as draft:
        draft.append({"x": values[:4]})
        draft.append({"x": values[4:]})
        manifest = Manifest(key, 10, draft.arrays, facts or {}, {"stage": "toy"})
        store.publish(draft, manifest)
    return manifest


def everything_under(root):
    return sorted(str(p.relative_to(root)) for p in Path(root).rglob("*") if p.is_file())


def test_what_was_stored_is_found_and_read_by_its_number_in_the_clip(tmp_path):
    store = Store(str(tmp_path))
    put(store, facts={"colour": "red"})
    manifest = store.find(KEY)
    assert manifest.facts == {"colour": "red"}
    np.testing.assert_array_equal(store.read(manifest.piece("x", 12, 15)), [[4, 5], [6, 7], [8, 9]])


def test_pieces_are_read_one_after_the_other(tmp_path):
    store = Store(str(tmp_path))
    first, second = put(store), put(store, "cd" + "0" * 62, np.arange(12.0).reshape(6, 2) + 100)
    read = store.read(first.piece("x", 14, 16), second.piece("x", 10, 11), first.piece("x", 10, 11))
    np.testing.assert_array_equal(read, [[8, 9], [10, 11], [100, 101], [0, 1]])


def test_a_store_in_an_object_store_works_the_same():
    store = Store("memory://bucket/store")
    put(store)
    np.testing.assert_array_equal(store.read(store.find(KEY).piece("x", 15, 16)), [[10, 11]])


def test_a_writer_that_fails_half_way_leaves_nothing(tmp_path):
    store = Store(str(tmp_path))

    def half():
        with store.draft(KEY) as draft:
            draft.append({"x": np.zeros((2, 2))})
            raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        half()
    assert store.find(KEY) is None
    assert everything_under(tmp_path) == ["store.json"]


def test_without_its_manifest_an_artifact_does_not_exist(tmp_path):
    store = Store(str(tmp_path))
    put(store)
    Path(store.artifact_folder(KEY), "manifest.json").unlink()
    assert store.find(KEY) is None


def test_of_many_writers_one_wins_and_all_succeed(tmp_path):
    store = Store(str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: put(store), range(16)))
    np.testing.assert_array_equal(store.read(store.find(KEY).piece("x", 10, 11)), [[0, 1]])
    assert not list((tmp_path / "drafts").iterdir())


@pytest.mark.parametrize("harm", ["flipped", "shortened", "missing"])
def test_a_damaged_frame_is_never_read(tmp_path, harm):
    store = Store(str(tmp_path))
    put(store, values=np.random.default_rng(0).random((6, 2000)))
    frame = Path(store.artifact_folder(KEY), "x", "c.3.0")
    if harm == "flipped":
        data = bytearray(frame.read_bytes())
        data[-5] ^= 255
        frame.write_bytes(data)
    elif harm == "shortened":
        frame.write_bytes(frame.read_bytes()[:20])
    else:
        frame.unlink()
    with pytest.raises(DamageError, match=store.artifact_folder(KEY)) as caught:
        store.read(store.find(KEY).piece("x", 12, 15))
    assert caught.value.key == pickle.loads(pickle.dumps(caught.value)).key == KEY
    assert len(store.read(store.find(KEY).piece("x", 10, 13))) == 3


def test_an_artifact_whose_manifest_is_damaged_is_not_there_and_is_replaced(tmp_path):
    store = Store(str(tmp_path))
    put(store)
    Path(store.artifact_folder(KEY), "manifest.json").write_text("{")
    assert store.find(KEY) is None
    put(store)
    np.testing.assert_array_equal(store.read(store.find(KEY).piece("x", 10, 11)), [[0, 1]])
    assert not list((tmp_path / "drafts").iterdir())


def test_a_fact_that_was_changed_makes_an_artifact_absent(tmp_path):
    store = Store(str(tmp_path))
    put(store, facts={"rate": 24})
    file = Path(store.artifact_folder(KEY), "manifest.json")
    text = file.read_text()
    assert '"rate": 24' in text
    file.write_text(text.replace('"rate": 24', '"rate": 25'))
    assert store.find(KEY) is None
    put(store, facts={"rate": 24})
    assert store.find(KEY).facts == {"rate": 24}


def test_numbers_that_name_facts_are_found_as_text(tmp_path):
    store = Store(str(tmp_path))
    put(store, facts={"sizes": {2: (3, 4), 10: (5, 6)}})
    assert store.find(KEY).facts == {"sizes": {"2": [3, 4], "10": [5, 6]}}


@pytest.mark.parametrize("url", ["", "memory://bucket/removed"])
def test_what_is_removed_is_not_there(tmp_path, url):
    store = Store(url or str(tmp_path))
    put(store)
    store.remove(KEY)
    store.remove(KEY)
    assert store.find(KEY) is None
    put(store)
    assert store.find(KEY) is not None


def test_a_store_that_cannot_be_made_is_an_error_of_the_settings(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="no store can be made here"):
        Store(str(tmp_path / "file" / "store"))


def test_a_store_that_is_away_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "PATIENCE_S", 0.3)
    store = Store(str(tmp_path / "store"))
    put(store)
    (tmp_path / "store").rename(tmp_path / "away")
    with pytest.raises(CacheError, match="expected the store, not there for"):
        store.find(KEY)
    monkeypatch.setattr(store_module, "PATIENCE_S", 30)
    Timer(0.3, lambda: (tmp_path / "away").rename(tmp_path / "store")).start()
    assert store.find(KEY) is not None
