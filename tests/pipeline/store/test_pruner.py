"""A pruner in a process of its own, beside a run and killed at its work."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from pipeline.executor import InlineExecutor
from pipeline.scheduler import Run
from pipeline.store.inventory import take_stock
from pipeline.store.retention import in_use, prune
from pipeline.store.store import Store
from pipeline.store.verify import verify_artifacts
from tests.support.stored_artifacts import put, stored_keys
from tests.support.toy_stages import STEPS, clip_of, numbers

ROOT = Path(__file__).resolve().parents[3]

PRUNER = """
import sys
from pipeline.store.retention import prune
from pipeline.store.store import Store
print("begun", flush=True)
while True:
    prune(Store(sys.argv[1]), 0)
"""


def run(tmp_path, clips, store, out):
    events = []
    where = tmp_path / out

    def start():
        return InlineExecutor(store.url, 1)

    Run(STEPS, store, where, start, chunk=4, listener=events.append).go(clips)
    return events


def pruner_of(store):
    child = subprocess.Popen(
        [sys.executable, "-c", PRUNER, store.url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "begun\n"
    return child


def test_a_run_that_is_in_the_store_loses_nothing_to_a_pruner_beside_it(tmp_path):
    store = Store(str(tmp_path / "store"))
    clips = [clip_of(tmp_path, f"c{k}", numbers(30, k)) for k in range(3)]
    run(tmp_path, clips, Store(str(tmp_path / "quiet")), "quiet")
    with in_use(store, "here"):
        pruner = pruner_of(store)
        try:
            events = run(tmp_path, clips, store, "out")
            count = len(stored_keys(store))
            assert pruner.poll() is None
        finally:
            pruner.kill()
            pruner.wait()
            pruner.stdout.close()
    assert [event.text for event in events if event.kind == "failed"] == []
    assert count == len(stored_keys(Store(str(tmp_path / "quiet"))))
    for clip in clips:
        pages = [(tmp_path / out / clip.name / "page.txt").read_text() for out in ("out", "quiet")]
        assert pages[0] == pages[1]


def test_a_pruner_killed_at_any_moment_leaves_only_whole_artifacts(tmp_path):
    store = Store(str(tmp_path / "store"))
    keys = [put(store, str(k), frames=30) for k in range(40)]
    for left in (38, 25, 10):
        pruner = pruner_of(store)
        until = time.monotonic() + 60
        while sum(Path(store.artifact_folder(key)).exists() for key in keys) > left:
            assert time.monotonic() < until
        pruner.send_signal(signal.SIGKILL)
        pruner.wait()
        pruner.stdout.close()
        assert [
            v for v in verify_artifacts(store, sorted(stored_keys(store)), workers=1) if v.problem
        ] == []
        assert take_stock(store).unfinished == []
    prune(store, 0)
    assert list(Path(store.root, "drafts").iterdir()) == []
