"""What the run does when parts of the machine fail."""

import errno
import os
import pickle
from collections import Counter
from pathlib import Path
from threading import Timer

import numpy as np
import pytest

from pipeline import scheduler as run_module
from pipeline import task_runner as work
from pipeline.errors import DamageError, FullError, LostError
from pipeline.executor import InlineExecutor
from pipeline.ledger import Ledger
from pipeline.plan import ClipPlan
from pipeline.scheduler import ATTEMPTS, Run
from pipeline.store.store import Store
from tests.support.event_counts import artifacts, kinds
from tests.support.toy_stages import STEPS, Difference, Mean, Page, Parted, Trap, clip_of, numbers


class Deadly:
    """An executor whose workers die under tasks of some stages, a number of times each."""

    def __init__(self, url, deaths):
        self._inner, self._deaths = InlineExecutor(url, 1), deaths
        self._lost = []

    @property
    def slots(self):
        return 2

    def submit(self, task):
        if self._deaths[task.node.stage] > 0:
            self._deaths[task.node.stage] -= 1
            self._lost.append(task)
        else:
            self._inner.submit(task)

    def next_done(self):
        if self._lost:
            task = self._lost.pop()
            return task, LostError(f"{task.node}: its worker died")
        return self._inner.next_done()

    def close(self):
        self._inner.close()


class DiesAtTheEnd(InlineExecutor):
    """An executor whose worker dies once, between its result and the removal of its log."""

    dead = False

    def next_done(self):
        task, outcome = super().next_done()
        if self.dead or task.node.stage != "mean":
            return task, outcome
        self.dead = True
        log = work.log_file(task.folder, task.node)
        log.parent.mkdir(parents=True)
        log.write_text("begun")
        return task, LostError(f"{task.node}: its worker died")


class LateFinder:
    """An executor of which two tasks find their input gone, the second when it was made again."""

    slots = 2

    def __init__(self, url):
        self._inner = InlineExecutor(url, 1)
        self._finders, self._finds, self._late = [], 2, False

    def submit(self, task):
        if task.node.stage == "mean" and self._finds:
            self._finds -= 1
            self._finders.append(task)
        else:
            self._inner.submit(task)

    def next_done(self):
        if self._late or len(self._finders) == 2:
            self._late = False
            finder = self._finders.pop()
            (piece,) = finder.pieces["numbers.x"]
            return finder, DamageError("gone", piece.key)
        task, outcome = self._inner.next_done()
        self._late = bool(self._finders)
        return task, outcome

    def close(self):
        self._inner.close()


def run(tmp_path, clips, steps=STEPS, start=None, *, chunk=4, out="out", retry=False):
    events, store = [], Store(str(tmp_path / "store"))
    start = start or (lambda: InlineExecutor(store.url, 2))
    library_run = Run(
        steps, store, tmp_path / out, start, chunk=chunk, listener=events.append, retry=retry
    )
    library_run.go(clips)
    return events


def page(tmp_path, name="a", out="out"):
    return (tmp_path / out / name / "page.txt").read_text()


@pytest.mark.parametrize("stage", ["numbers", "mean", "difference"])
@pytest.mark.parametrize("harm", ["flipped", "arrays gone", "manifest cut"])
def test_damaged_artifacts_are_made_again(tmp_path, stage, harm):
    clip = clip_of(tmp_path, "a", numbers(20))
    run(tmp_path, [clip])
    before = page(tmp_path)
    (tmp_path / "out" / "a" / "page.txt").unlink()
    for artifact in artifacts(tmp_path, stage):
        frame = min(artifact.rglob("c.*"))
        if harm == "flipped":
            frame.write_bytes(frame.read_bytes()[:-1] + b"!")
        elif harm == "arrays gone":
            frame.unlink()
        else:
            (artifact / "manifest.json").write_text("{")
    changed = (*STEPS[:1], Mean(scale=2.0), *STEPS[2:])
    for steps in (changed, STEPS):  # as input of something new, and of what is there
        events = run(tmp_path, [clip], steps)
        assert [event.text for event in events if event.kind == "failed"] == []
    assert page(tmp_path) == before
    assert kinds(run(tmp_path, [clip]))["done"] == 0


def test_damage_that_comes_back_fails_the_clip_alone(tmp_path, monkeypatch):
    real = Store.publish

    def torn(store, draft, manifest):
        real(store, draft, manifest)
        if manifest.record["stage"] == "mean" and manifest.provenance["clip"] == "bad":
            for path in Path(store.artifact_folder(manifest.key)).rglob("c.*"):
                path.write_bytes(b"torn")

    monkeypatch.setattr(Store, "publish", torn)
    clips = [clip_of(tmp_path, "bad", numbers(9)), clip_of(tmp_path, "good", numbers(9, 1))]
    events = run(tmp_path, clips)
    failed = {event.clip: event.text for event in events if event.kind == "failed"}
    assert list(failed) == ["bad"]
    assert "damaged" in failed["bad"] or "cannot be read" in failed["bad"]
    assert [event.clip for event in events if event.kind == "finished"] == ["good"]


def test_a_task_whose_worker_dies_is_done_again(tmp_path):
    clip = clip_of(tmp_path, "a", numbers(20))
    run(tmp_path, [clip], out="quiet")
    url = str(tmp_path / "store")
    changed = (*STEPS[:1], Mean(scale=3.0), *STEPS[2:])
    deaths = Counter(mean=ATTEMPTS - 1)
    events = run(tmp_path, [clip], changed, lambda: Deadly(url, deaths), out="out")
    assert kinds(events)["again"] == ATTEMPTS - 1
    assert kinds(events)["failed"] == 0
    stages = Ledger(Store(url), tmp_path / "out").entry("a").stages
    assert 2 <= stages["mean"].attempts <= ATTEMPTS
    assert stages["mean"].state == "done"


def test_a_clip_that_kills_its_workers_goes_into_quarantine_until_it_is_asked_for(tmp_path):
    clips = [clip_of(tmp_path, "a", numbers(9)), clip_of(tmp_path, "b", numbers(9, 1))]
    url, deaths = str(tmp_path / "store"), Counter(difference=ATTEMPTS)
    events = run(tmp_path, clips[:1], start=lambda: Deadly(url, deaths), chunk=64)
    ledger = Ledger(Store(url), tmp_path / "out")
    assert kinds(events)["failed"] == 1
    assert ledger.entry("a").state == "quarantined"
    assert ledger.entry("a").stages["difference"].error == "LostError"
    assert ledger.entry("a").stages["difference"].attempts == ATTEMPTS
    events = run(tmp_path, clips)
    assert [e.clip for e in events if e.kind == "failed"] == ["a"]
    assert "--retry-failed" in next(e.text for e in events if e.kind == "failed")
    assert [e.clip for e in events if e.kind == "finished"] == ["b"]
    assert kinds(run(tmp_path, clips, retry=True))["finished"] == 2
    assert ledger.entry("a").state == "done"


def test_a_task_that_loses_its_device_is_done_again(tmp_path):
    clip = clip_of(tmp_path, "a", "1\n2\n3")
    (tmp_path / "trap").write_text("lose")
    events = run(tmp_path, [clip], (STEPS[0], Trap(folder=str(tmp_path)), *STEPS[2:]))
    (again,) = [event for event in events if event.kind == "again"]
    assert again.error == "LostError"
    assert "mean" in again.text
    assert "GPU 0 does not answer" in again.text
    assert kinds(events)["finished"] == 1


def test_the_ledger_says_what_failed_where_and_why(tmp_path):
    run(tmp_path, [clip_of(tmp_path, "bad", "1\n666\n3"), clip_of(tmp_path, "good", "1\n2")])
    ledger = Ledger(Store(str(tmp_path / "store")), tmp_path / "out")
    bad, good = ledger.entry("bad"), ledger.entry("good")
    assert (bad.state, good.state) == ("failed", "done")
    assert bad.stages["mean"].state == "failed"
    assert bad.stages["mean"].error == "ValueError"
    assert bad.stages["mean"].frames == [0, 3]
    assert "the number of the beast" in bad.stages["mean"].text
    assert "Traceback" in Path(bad.log).read_text()
    assert good.stages["page"].done == 1
    assert ledger.entry("never") is None
    assert Ledger(Store(str(tmp_path / "store")), tmp_path / "else").entry("bad") is None


def test_a_store_that_goes_away_for_a_while_costs_only_the_wait(tmp_path, monkeypatch):
    store = tmp_path / "store"
    real = Mean.run
    gone = []

    def unplugged(self, window):
        if not gone:
            gone.append(True)
            store.rename(tmp_path / "away")

            def back():
                if store.exists():
                    store.rename(tmp_path / "rubbish")
                (tmp_path / "away").rename(store)

            Timer(0.5, back).start()
        return real(self, window)

    monkeypatch.setattr(Mean, "run", unplugged)
    events = run(tmp_path, [clip_of(tmp_path, "a", numbers(20))])
    assert gone
    assert [event.text for event in events if event.kind == "failed"] == []
    assert not (tmp_path / "rubbish" / "store.json").exists()


@pytest.mark.parametrize("where", ["store", "sink"])
def test_a_full_disk_stops_the_run_and_nothing_is_half_written(tmp_path, monkeypatch, where):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    step, name = (Mean, "run") if where == "store" else (Page, "run")
    with monkeypatch.context() as patched:
        patched.setattr(step, name, full)
        with pytest.raises(FullError, match="no room left"):
            run(tmp_path, [clip_of(tmp_path, f"c{k}", numbers(9, k)) for k in range(5)])
    assert not list((tmp_path / "store" / "drafts").iterdir())
    events = run(tmp_path, [clip_of(tmp_path, f"c{k}", numbers(9, k)) for k in range(5)])
    assert kinds(events)["finished"] == 5


def test_a_log_of_a_task_that_succeeds_is_removed(tmp_path):
    clip = clip_of(tmp_path, "a", numbers(9))
    tasks = []

    class Kept(InlineExecutor):
        def submit(self, task):
            tasks.append(task)
            super().submit(task)

    url = str(tmp_path / "store")
    run(tmp_path, [clip], start=lambda: Kept(url, 1))
    Store(url).remove(tasks[0].key)
    work.produce_capturing_output(tasks[0], url)
    assert not (tmp_path / "out" / "a" / "logs").exists()
    assert pickle.dumps(tasks)


def test_a_store_that_cannot_be_opened_is_in_the_log(tmp_path, monkeypatch):
    task = ClipPlan(
        clip_of(tmp_path, "a", numbers(9)), STEPS, 8, str(tmp_path / "out")
    ).next_ready()

    def fail(url, **more):
        raise ImportError("no s3fs here")

    monkeypatch.setattr(work, "open_store", fail)
    with pytest.raises(ImportError):
        work.produce_capturing_output(task, "s3://bucket/store")
    (log,) = (tmp_path / "out" / "logs").iterdir()
    assert "no s3fs here" in log.read_text()


@pytest.mark.parametrize("parts", [[20], [7, 13], [1] * 20])
def test_a_source_in_parts_gives_what_the_whole_gives(tmp_path, parts):
    clip = clip_of(tmp_path, "a", numbers(20))
    run(tmp_path, [clip], out="whole")
    edges = np.cumsum([0, *parts]).tolist()
    steps = (Parted(edges=tuple(edges)), *STEPS[1:])
    events = run(tmp_path, [clip], steps)
    assert page(tmp_path) == page(tmp_path, out="whole")
    done = [event.node.stage for event in events if event.kind == "done"]
    assert done.count("numbers") == len(parts)
    assert "mean" not in done  # the frames are the same, so what is below them is


def test_each_node_costs_the_same_in_a_clip_of_any_length(tmp_path, monkeypatch):
    looks = Counter()
    real = run_module.find_result
    monkeypatch.setattr(run_module, "find_result", lambda *a: looks.update(n=1) or real(*a))
    steps = (*STEPS[:1], Mean(reach=1), Difference(), Page())
    events = run(tmp_path, [clip_of(tmp_path, "a", numbers(300))], steps, chunk=1)
    assert looks["n"] == kinds(events)["done"] == 602


def arrays_held(tmp_path, stage):
    return [any(artifact.glob("*/c.*")) for artifact in artifacts(tmp_path, stage)]


def test_what_nothing_reads_any_more_is_dropped_and_made_again_where_it_is_wanted(tmp_path):
    clip = clip_of(tmp_path, "a", numbers(20))
    run(tmp_path, [clip], out="kept")
    steps = (*STEPS[:1], Mean(scale=2.0), *STEPS[2:])
    store, events = Store(str(tmp_path / "store")), []

    def go(steps, **how):
        start = lambda: InlineExecutor(store.url, 1)  # noqa: E731
        events.clear()
        out = tmp_path / "out"
        Run(steps, store, out, start, chunk=4, listener=events.append, **how).go([clip])
        assert [event.text for event in events if event.kind == "failed"] == []
        return kinds(events)

    go(steps, drop=("mean",))
    first_page = page(tmp_path)
    assert sorted(arrays_held(tmp_path, "mean")) == [False] * 5 + [True] * 5
    assert all(arrays_held(tmp_path, "difference"))
    assert go(steps)["done"] == 0  # a warm run finds all that it needs
    (tmp_path / "out" / "a" / "page.txt").unlink()
    assert go(steps)["done"] == 1
    assert go((*steps[:2], Difference(step=2), Page()))["again"] > 0
    assert all(arrays_held(tmp_path, "mean"))
    assert go(steps)["done"] == 1
    assert page(tmp_path) == first_page


def test_a_worker_that_dies_after_its_result_leaves_no_log(tmp_path):
    clip = clip_of(tmp_path, "a", numbers(8))
    url = Store(str(tmp_path / "store")).url
    events = run(tmp_path, [clip], start=lambda: DiesAtTheEnd(url, 1))
    assert (kinds(events)["again"], kinds(events)["finished"]) == (1, 1)
    assert not (tmp_path / "out" / "a" / "logs").exists()


def test_what_two_readers_find_gone_is_made_again_once(tmp_path):
    clip = clip_of(tmp_path, "a", numbers(8))
    url = Store(str(tmp_path / "store")).url
    events = run(tmp_path, [clip], start=lambda: LateFinder(url))
    assert (kinds(events)["again"], kinds(events)["finished"]) == (2, 1)
    assert sum(e.kind == "done" and e.node.stage == "numbers" for e in events) == 2
