"""Results that are written in parts and joined."""

import pytest

from pipeline.whole_files import draft_path
from tests.pipeline.test_scheduler import computed, run
from tests.support.toy_stages import STEPS, Book, Difference, Mean, Numbers, clip_of, numbers

BOUND = (*STEPS[:-1], Book())
TEXT = numbers(20) + "\n\n" + numbers(13, 1)  # the cut lies within a part
FIRST = [0, 8, 16, 24, 32]  # frames of parts


def written(tmp_path):
    """Return the first frames of the parts written since the last call."""
    log = tmp_path / "written.log"
    frames = [int(line) for line in log.read_text().split()] if log.exists() else []
    log.unlink(missing_ok=True)
    return sorted(frames)


def book(tmp_path, out="out"):
    return (tmp_path / out / "a" / "book.txt").read_text()


def left(tmp_path, out="out"):
    return sorted({path.name for path in (tmp_path / out / "a").iterdir()} - {"logs"})


@pytest.fixture
def whole(tmp_path):
    """Return what a quiet run makes of TEXT."""
    run(tmp_path, [clip_of(tmp_path, "a", TEXT)], BOUND, out="quiet", store="quiet store")
    assert written(tmp_path) == FIRST
    return book(tmp_path, "quiet")


@pytest.mark.parametrize(("chunk", "workers"), [(1, 1), (4, 2), (13, 1), (64, 2)])
def test_the_result_does_not_depend_on_chunks_or_workers(tmp_path, whole, chunk, workers):
    events = run(tmp_path, [clip_of(tmp_path, "a", TEXT)], BOUND, chunk, workers)
    assert book(tmp_path) == whole
    assert whole.count("\n") == 33
    assert computed(events).count("book") == len(FIRST) + 1
    assert left(tmp_path) == [".book.json", "book.txt"]


def test_a_clip_of_one_part_is_one_task(tmp_path):
    events = run(tmp_path, [clip_of(tmp_path, "a", numbers(5))], BOUND)
    assert computed(events).count("book") == 1
    assert written(tmp_path) == [0]


def test_a_second_run_writes_nothing(tmp_path, whole):
    clip = clip_of(tmp_path, "a", TEXT)
    run(tmp_path, [clip], BOUND)
    written(tmp_path)
    assert computed(run(tmp_path, [clip], BOUND)) == []
    assert written(tmp_path) == []


def test_an_interrupted_run_writes_no_part_twice(tmp_path, whole):
    clip = clip_of(tmp_path, "a", TEXT)
    (tmp_path / "no binding").touch()
    assert run(tmp_path, [clip], BOUND)[-1].kind == "failed"
    assert written(tmp_path) == FIRST
    (tmp_path / "no binding").unlink()
    assert computed(run(tmp_path, [clip], BOUND)) == ["book"]
    assert written(tmp_path) == []
    assert book(tmp_path) == whole


def test_a_part_that_was_half_written_is_written_again(tmp_path, whole):
    clip = clip_of(tmp_path, "a", TEXT)
    (tmp_path / "no binding").touch()
    run(tmp_path, [clip], BOUND)
    written(tmp_path)
    part = tmp_path / "out" / "a" / ".book.parts" / "8-16"
    (part / "leaf.txt").write_text("half")
    part.rename(draft_path(part))
    (tmp_path / "no binding").unlink()
    run(tmp_path, [clip], BOUND)
    assert written(tmp_path) == [8]
    assert book(tmp_path) == whole


def test_what_changed_in_one_part_is_in_the_whole(tmp_path, whole):
    clip = clip_of(tmp_path, "a", TEXT)
    run(tmp_path, [clip], BOUND)
    written(tmp_path)
    clip_of(tmp_path, "a", TEXT.rsplit("\n", 1)[0] + "\n1000")
    events = run(tmp_path, [clip], BOUND)
    assert computed(events).count("book") == 2  # one part by itself, and the whole
    assert written(tmp_path) == FIRST
    changed = book(tmp_path)
    assert changed != whole
    run(tmp_path, [clip], BOUND, out="anew", store="new store")
    assert changed == book(tmp_path, "anew")


def test_a_changed_setting_replaces_parts_that_were_left(tmp_path, whole):
    clip = clip_of(tmp_path, "a", TEXT)
    (tmp_path / "no binding").touch()
    run(tmp_path, [clip], (Numbers(), Mean(scale=2.0), Difference(), Book()))
    (tmp_path / "no binding").unlink()
    run(tmp_path, [clip], BOUND)
    assert book(tmp_path) == whole
    assert left(tmp_path) == [".book.json", "book.txt"]


def test_a_result_that_was_deleted_is_made_again(tmp_path, whole):
    clip = clip_of(tmp_path, "a", TEXT)
    run(tmp_path, [clip], BOUND)
    (tmp_path / "out" / "a" / "book.txt").unlink()
    assert set(computed(run(tmp_path, [clip], BOUND))) == {"book"}
    assert book(tmp_path) == whole


def test_parts_left_beside_what_is_joined_are_removed(tmp_path, whole):
    """As by a run that was killed between the two."""
    clip = clip_of(tmp_path, "a", TEXT)
    run(tmp_path, [clip], BOUND)
    parts = tmp_path / "out" / "a" / ".book.parts" / "0-4"
    parts.mkdir(parents=True)
    (parts / "key").write_text("0")
    assert not computed(run(tmp_path, [clip], BOUND))
    assert left(tmp_path) == [".book.json", "book.txt"]
    assert book(tmp_path) == whole
