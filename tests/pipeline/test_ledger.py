import hashlib
import os

from pipeline.events import ClipFailed, Notice, TaskRetried, TaskStarted
from pipeline.ledger import Ledger
from pipeline.plan import Node
from pipeline.store.store import Store

NODE = Node("a", "flow", 0, 8)


def ledger(tmp_path):
    return Ledger(Store(str(tmp_path / "store")), tmp_path / "out")


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / "store" / "ledger").rglob("*.json"))


def test_an_entry_lies_under_folder_and_clip_with_nul_between(tmp_path):
    book = ledger(tmp_path)
    book.begin("a", {})
    book.record_event(ClipFailed("a", "broken"))
    name = os.fsencode(str(tmp_path / "out")) + b"\x00" + b"a"
    assert files(tmp_path) == [f"{hashlib.sha256(name).hexdigest()}.json"]


def test_an_entry_of_an_older_version_is_found(tmp_path):
    book = ledger(tmp_path)
    book.begin("a", {})
    book.record_event(ClipFailed("a", "its worker died", quarantined=True))
    (path,) = (tmp_path / "store" / "ledger").rglob("*.json")
    old = hashlib.sha256(os.fsencode(str(tmp_path / "out")) + b"\\0" + b"a").hexdigest()
    entry_path = tmp_path / "store" / "ledger" / old[:2] / f"{old}.json"
    entry_path.parent.mkdir(exist_ok=True)
    path.rename(entry_path)
    assert ledger(tmp_path).entry("a").state == "quarantined"


def test_a_notice_changes_no_entry_and_a_retry_does(tmp_path):
    book = ledger(tmp_path)
    book.begin("a", {})
    book.record_event(TaskStarted("a", NODE))
    before = book.entry("a")
    book.record_event(Notice("a", "little room"))
    assert book.entry("a") == before
    book.record_event(TaskRetried("a", NODE, "its worker died", "LostError", 1))
    assert book.entry("a").stages["flow"].text == "its worker died"
