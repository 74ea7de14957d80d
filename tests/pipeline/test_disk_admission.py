"""Clips and results are admitted only where the disk has room for them."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.disk_admission import Room
from pipeline.errors import FullError
from pipeline.executor import InlineExecutor
from pipeline.scheduler import Run
from pipeline.store.store import Store
from tests.support.event_counts import artifacts, kinds
from tests.support.toy_stages import STEPS, clip_of, numbers


def test_a_clip_that_does_not_fit_on_the_disk_is_refused_or_steps_down(tmp_path, monkeypatch):
    clips = [clip_of(tmp_path, f"c{k}", numbers(9, k)) for k in range(3)]
    store, events = Store(str(tmp_path / "store")), []

    def go(free):
        events.clear()
        usage = SimpleNamespace(free=free)
        monkeypatch.setattr("pipeline.disk_admission.shutil.disk_usage", lambda _: usage)
        needs = {"mean": 4e9, "difference": 2e9}
        room = Room(store, lambda facts: needs, ("mean",))
        start = lambda: InlineExecutor(store.url, 1)  # noqa: E731
        Run(STEPS, store, tmp_path / "out", start, chunk=64, listener=events.append, room=room).go(
            clips
        )
        return [event.text for event in events if event.kind in ("failed", "notice")]

    assert all("expected about 2.0 GB" in text and "1.0 GB are free" in text for text in go(1e9))
    assert kinds(events)["failed"] == 3
    assert "deleted after use" in go(5e9)[0]
    assert kinds(events)["finished"] >= 1
    assert kinds(events)["again"] == 0  # nothing was tried twice
    for artifact in artifacts(tmp_path, "mean"):
        Store(str(tmp_path / "store")).remove(artifact.name)
    assert go(1e12) == []


def test_results_and_intermediates_share_a_disk_or_have_one_each(tmp_path, monkeypatch):
    store = Store(str(tmp_path / "store"))
    usage = SimpleNamespace(free=10e9)
    monkeypatch.setattr("pipeline.disk_admission.shutil.disk_usage", lambda _: usage)
    needs, writes = {"mean": 6e9}, {"page": 5e9}

    def room():
        return Room(store, lambda _: needs, (), out=tmp_path / "out", writes=lambda _: writes)

    with pytest.raises(FullError, match=r"about 6\.0 GB in the store .* 5\.0 GB are free beside 5"):
        room().admit_clip("a", {}, ())
    monkeypatch.setattr(
        "pipeline.disk_admission._disk_of", lambda folder: "out" in Path(folder).name
    )
    apart = room()
    apart.admit_clip("a", {}, ())
    apart.admit_clip("a", {}, ())
    with pytest.raises(FullError, match=r"expected about 6\.0 GB in the store .* 4\.0 GB are free"):
        apart.admit_clip("b", {}, ())
    apart.leave("b")
    apart.admit_results("c", {}, "other")
    apart.admit_results("d", {}, "page")
    with pytest.raises(FullError, match=r"out: expected room for about 5\.0 GB of results \(page"):
        apart.admit_results("e", {}, "page")
    apart.leave("d")
    apart.admit_results("e", {}, "page")
    remote = room()
    remote.store = SimpleNamespace(local=False)
    usage.free = 4e9
    with pytest.raises(FullError, match=r"4\.0 GB are free"):
        remote.admit_clip("a", {}, ())
