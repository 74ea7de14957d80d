"""The engine on a small plan: the law of chunks, resuming, failures."""

import pytest

from pipeline.errors import NowhereError
from pipeline.executor import InlineExecutor
from pipeline.scheduler import Run
from pipeline.stage import Input
from pipeline.store.store import Store
from tests.support.toy_stages import STEPS, Difference, Mean, Numbers, Page, Some, clip_of, numbers


def run(tmp_path, clips, steps=STEPS, chunk=4, workers=1, out="out", store="store"):
    events = []
    where = Store(str(tmp_path / store))
    started = []

    def start():
        started.append(True)
        return InlineExecutor(where.url, workers)

    Run(steps, where, tmp_path / out, start, chunk=chunk, listener=events.append).go(clips)
    return events


def computed(events):
    return [event.node.stage for event in events if event.kind == "done"]


def page(tmp_path, name="a", out="out"):
    return (tmp_path / out / name / "page.txt").read_text()


def test_the_result_does_not_depend_on_chunks_or_workers(tmp_path):
    clip = clip_of(tmp_path, "a", numbers(29) + "\n\n" + numbers(2, 1))
    pages = set()
    for k, (chunk, workers) in enumerate([(1, 1), (4, 1), (8, 2), (13, 2), (64, 1)]):
        run(tmp_path, [clip], chunk=chunk, workers=workers, out=f"o{k}", store=f"s{k}")
        pages.add(page(tmp_path, out=f"o{k}"))
    assert len(pages) == 1


def test_a_run_that_can_run_nowhere_ends_at_once(tmp_path):
    clips = [clip_of(tmp_path, name, numbers(9)) for name in ("a", "b")]
    asked, events = [], []

    def start():
        asked.append(True)
        raise NowhereError("no GPU")

    store = Store(str(tmp_path / "store"))
    library_run = Run(STEPS, store, tmp_path / "out", start, chunk=4, listener=events.append)
    with pytest.raises(NowhereError, match="no GPU"):
        library_run.go(clips)
    assert len(asked) == 1
    assert not any(event.kind == "failed" for event in events)


def test_what_a_stage_does_not_ask_for_is_not_read(tmp_path, monkeypatch):
    class Sparing(Difference):
        name = "sparing"

        def inputs(self, facts):
            return (*super().inputs(facts), Input("numbers", "x"))

    read, load = [], Store.read

    def counted(store, *pieces, **options):
        read.extend(piece.array for piece in pieces)
        return load(store, *pieces, **options)

    monkeypatch.setattr(Store, "read", counted)
    clip = clip_of(tmp_path, "a", numbers(9))
    events = run(tmp_path, [clip], steps=[Numbers(), Mean(), Sparing()], chunk=64)
    assert computed(events) == ["numbers", "mean", "sparing"]
    assert read == ["x", "y"]


def test_neighbours_are_not_seen_across_a_cut(tmp_path):
    run(tmp_path, [clip_of(tmp_path, "a", "1\n1\n1\n\n9\n9\n9\n9")])
    assert set(page(tmp_path).split("\n")[1:]) == {"[0.0]"}


def test_a_second_run_finds_everything(tmp_path):
    clip = clip_of(tmp_path, "a", numbers(20))
    run(tmp_path, [clip])
    events = run(tmp_path, [clip])
    assert computed(events) == []
    assert {event.kind for event in events} == {"known", "hit", "finished"}


def test_a_changed_setting_recomputes_its_stage_and_what_lies_below(tmp_path):
    clip = clip_of(tmp_path, "a", numbers(20))
    run(tmp_path, [clip])
    changed = (Numbers(), Mean(scale=2.0), Difference(), Page())
    assert set(computed(run(tmp_path, [clip], changed))) == {"mean", "difference", "page"}


def test_a_changed_setting_that_changes_no_value_stops_the_recomputation_below(tmp_path):
    clip = clip_of(tmp_path, "a", "7\n7\n7\n7\n7")
    run(tmp_path, [clip])
    assert set(computed(run(tmp_path, [clip], (Numbers(), Mean(reach=1), *STEPS[2:])))) == {"mean"}


def test_a_setting_changed_back_finds_what_it_made(tmp_path):
    clip = clip_of(tmp_path, "a", numbers(20))
    first = run(tmp_path, [clip])
    before = page(tmp_path)
    run(tmp_path, [clip], (Numbers(), Mean(scale=2.0), *STEPS[2:]))
    assert page(tmp_path) != before
    assert computed(run(tmp_path, [clip])) == ["page"]
    assert page(tmp_path) == before
    assert computed(first) != []


def test_a_failing_clip_costs_the_others_nothing(tmp_path):
    clips = [
        clip_of(tmp_path, "bad", "1\n666\n3"),
        clip_of(tmp_path, "empty", ""),
        clip_of(tmp_path, "good", numbers(9)),
    ]
    events = run(tmp_path, clips, workers=2)
    failed = {event.clip: event.text for event in events if event.kind == "failed"}
    assert failed["bad"] == "mean, frames 0-2: ValueError: the number of the beast"
    assert "empty.txt: no number" in failed["empty"]
    assert [event.clip for event in events if event.kind == "finished"] == ["good"]


def test_what_the_user_deleted_is_written_again(tmp_path):
    clip = clip_of(tmp_path, "a", numbers(9))
    run(tmp_path, [clip])
    before = page(tmp_path)
    (tmp_path / "out" / "a" / "page.txt").unlink()
    assert computed(run(tmp_path, [clip])) == ["page"]
    assert page(tmp_path) == before


def test_many_clips_are_not_opened_at_once(tmp_path):
    clips = [clip_of(tmp_path, f"c{k}", numbers(5, k)) for k in range(20)]
    opened = []

    def watched():
        for clip in clips:
            opened.append(clip.name)
            yield clip

    most, done = 0, 0

    def listen(event):
        nonlocal most, done
        done += event.kind == "finished"
        most = max(most, len(opened) - done)

    store = Store(str(tmp_path / "store"))
    Run(
        STEPS,
        store,
        tmp_path / "out",
        lambda: InlineExecutor(store.url, 2),
        chunk=4,
        listener=listen,
    ).go(watched())
    assert done == 20
    assert most <= 6


@pytest.mark.parametrize("chunk", [1, 3, 64])
def test_the_clip_of_one_frame_works(tmp_path, chunk):
    run(tmp_path, [clip_of(tmp_path, "a", "5")], chunk=chunk)
    assert page(tmp_path) == "red\n[0.0]"


def test_files_that_look_the_same_are_not_read_again(tmp_path, monkeypatch):
    clip = clip_of(tmp_path, "a", numbers(9))
    run(tmp_path, [clip])
    read = []
    monkeypatch.setattr(Numbers, "identity", lambda step, clip: read.append(clip.name) or "x")
    run(tmp_path, [clip])
    assert read == []
    clip_of(tmp_path, "a", numbers(10))
    run(tmp_path, [clip])
    assert read == ["a"]


@pytest.mark.parametrize("chunk", [1, 4, 13, 64])
def test_a_sink_may_read_only_some_frames(tmp_path, chunk):
    values = numbers(29)
    chosen = (0, 3, 4, 17, 28)
    run(tmp_path, [clip_of(tmp_path, "a", values)], (Numbers(), Some(frames=chosen)), chunk=chunk)
    wanted = [float(values.split("\n")[t]) for t in chosen]
    assert (tmp_path / "out" / "a" / "some.txt").read_text() == repr(wanted)
