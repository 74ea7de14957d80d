import json
import os
import socket
import subprocess
import sys
import time

import pytest

from pipeline.events import ClipFailed, ClipFinished, TaskDone, TasksCounted, TaskStarted
from pipeline.lock import at_work, locked
from pipeline.plan import Node
from steadymask.cli.main import main
from steadymask.cli.run_record import Record
from steadymask.cli.status import seconds_left, state_of
from tests.support.small_library import write_clip


def record_of(out, clips=2):
    out.mkdir(exist_ok=True)
    return Record(out, {}, ["flow", "smooth"], clips)


def begun(out):
    """A run of two clips: one done, of the other one of four nodes done and one at work."""
    record = record_of(out)
    record.record_event(TasksCounted("a", 1, 16, {"flow": 8, "smooth": 0}))
    record.record_event(TaskStarted("a", Node("a", "flow", 0, 8)))
    record.record_event(TaskDone("a", Node("a", "flow", 0, 8), seconds=2.0))
    record.record_event(ClipFinished("a"))
    record.record_event(TasksCounted("b", 4, 16, {"flow": 16, "smooth": 16}))
    record.record_event(TaskStarted("b", Node("b", "flow", 0, 8)))
    record.record_event(TaskDone("b", Node("b", "flow", 0, 8), seconds=1.0))
    record.record_event(TaskStarted("b", Node("b", "smooth", 0, 8)))
    record.save("running")
    return out


def status(out, *more):
    return main(["status", str(out), *more])


def test_a_run_at_work_says_what_it_does_and_how_far_it_is(tmp_path, capsys):
    out = begun(tmp_path / "out")
    with locked(out):
        assert status(out, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["state"] == "running"
    assert (content["finished"], content["failed"], content["clips"]) == (1, 0, 2)
    assert 0.3 < content["share"] < 0.8
    assert list(content["running"]) == ["b: smooth, frames 0-7"]
    assert content["stages"]["flow"] == {"computed": 2, "hits": 0, "seconds": 3.0}


def test_a_run_that_is_silent_is_not_said_to_be_nearly_done(tmp_path, capsys, monkeypatch):
    out = begun(tmp_path / "out")
    with locked(out):
        status(out)
        assert "left at the speed so far" in capsys.readouterr().out
        now = time.time() + 3600
        monkeypatch.setattr(time, "time", lambda: now)
        assert status(out) == 0
    told = capsys.readouterr().out
    assert "nothing new for 1 h 0 min" in told
    assert "left at the speed" not in told


def test_a_run_whose_process_is_gone_was_interrupted(tmp_path, capsys):
    out = begun(tmp_path / "out")
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    holder = {"pid": gone.pid, "host": socket.gethostname(), "since": "then"}
    (out / ".lock").write_text(json.dumps(holder))
    assert not at_work(out)
    assert status(out) == 1
    printed = capsys.readouterr().out
    assert "interrupted: 1 of 2 clips done" in printed
    assert "the same command goes on from here" in printed
    assert "now:" not in printed


def test_a_run_on_another_machine_is_at_work_as_long_as_its_lock_is_touched(tmp_path, capsys):
    out = begun(tmp_path)
    (out / ".lock").write_text(json.dumps({"pid": os.getpid(), "host": "elsewhere"}))
    assert at_work(out)
    assert status(out) == 0
    long_ago = time.time() - 300
    os.utime(out / ".lock", (long_ago, long_ago))
    assert not at_work(out)
    assert status(out) == 1
    assert "no sign of its command for" in capsys.readouterr().out


def test_a_lock_beats_and_is_empty_when_it_is_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.lock.BEAT_S", 0.05)
    with locked(tmp_path):
        os.utime(tmp_path / ".lock", (0, 0))
        deadline = time.monotonic() + 10
        while (tmp_path / ".lock").stat().st_mtime < 1:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert (tmp_path / ".lock").read_text() == ""


def test_what_is_no_lock_is_not_at_work(tmp_path):
    (tmp_path / ".lock").write_text("not JSON")
    assert not at_work(tmp_path)


def test_failures_are_told_with_their_reason_and_a_clip_by_itself(tmp_path, capsys):
    out = begun(tmp_path / "out")
    record = record_of(out, 1)
    record.record_event(ClipFailed("c", text="smooth: out of memory"))
    record.save("done")
    assert status(out) == 1
    assert "failed: c: smooth: out of memory" in capsys.readouterr().out
    assert status(out, "--clip", "c") == 1
    assert "done: 0 of 1 clip done, 1 failed" in capsys.readouterr().out
    assert status(out, "--clip", "x") == 2
    assert "--clip 'x': not begun; there are c" in capsys.readouterr().err


def test_time_left_passes_while_nothing_is_heard():
    assert seconds_left({"seconds_left": 70.0, "updated": 100.0}, now=110.0) == 60
    assert seconds_left({"seconds_left": 5.0, "updated": 100.0}, now=110.0) == 0
    assert seconds_left({"seconds_left": None, "updated": 100.0}, now=110.0) is None


def test_a_real_run_leaves_a_whole_record(tmp_path, capsys):
    write_clip(tmp_path, "a", 6)
    arguments = ["--masks", str(tmp_path / "masks"), "--out", str(tmp_path / "out")]
    assert main([str(tmp_path / "footage"), *arguments, "--executor", "inline"]) == 0
    capsys.readouterr()
    assert status(tmp_path / "out", "--clip", "a") == 0
    printed = capsys.readouterr().out
    assert "done: 1 of 1 clip done, 0 failed" in printed
    assert "smooth" in printed
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["progress"]["share"] == 1
    assert state_of(run, at_work=False, now=time.time())["running"] == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "expected the record of a run, found none"),
        ("{", "not the record of a run"),
        ("{}", "written by an older version"),
    ],
)
def test_where_there_is_no_run_it_says_so(tmp_path, capsys, text, message):
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    assert status(tmp_path) == 2
    assert message in capsys.readouterr().err
