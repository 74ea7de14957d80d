"""The command that gathers pseudo-labels."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stages.media.label_sets.set_layouts import Voc
from stages.media.masks.palette import read_labels
from steadymask.cli.main import main
from tests.stages.media.label_sets.test_label_sets import labels_of, leave

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def out(tmp_path):
    leave(tmp_path / "out", "a", (0, 1))
    leave(tmp_path / "out", "dim", (0,), trusted=0)
    (tmp_path / "out" / "run.json").write_text(json.dumps({"clips": {"a": {}, "dim": {}}}))
    return tmp_path / "out"


def test_it_writes_a_set_and_says_what_it_left_out(out, tmp_path, capsys):
    command = ["labels", str(out), "--to", str(tmp_path / "set"), "--layout", "davis"]
    assert main([*command, "--val", "0"]) == 0
    output = capsys.readouterr().out
    assert "clips: 1; frames: 2 in train, 0 in val" in output
    assert "dim: left out: no pixel is trusted" in output
    for t in (0, 1):
        path = tmp_path / "set" / "Annotations" / "480p" / "a" / f"{t:05d}.png"
        np.testing.assert_array_equal(read_labels(path), labels_of("a", t))


def test_it_writes_over_nothing(out, tmp_path, capsys):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine").touch()
    assert main(["labels", str(out), "--to", str(tmp_path / "set")]) == 2
    assert "expected a new or empty folder" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["mine"]


def test_clips_that_fall_into_one_split_are_warned_of(out, tmp_path, capsys):
    assert main(["labels", str(out), "--to", str(tmp_path / "set"), "--val", "0.01"]) == 0
    assert "warning: no clip falls into val" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["--val", "1.5"], ["--shard", "0"]])
def test_it_refuses_what_cannot_be_meant(out, tmp_path, capsys, wrong):
    assert main(["labels", str(out), "--to", str(tmp_path / "set"), *wrong]) == 2
    assert wrong[0] in capsys.readouterr().err


def test_it_wants_a_run(tmp_path, capsys):
    assert main(["labels", str(tmp_path / "none"), "--to", str(tmp_path / "set")]) == 2
    assert "run.json: expected the record of a run" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_clips_that_failed_or_may_follow_are_told_of(out, tmp_path, capsys):
    record = {"state": "running", "clips": {"a": {}}, "failures": {"bad": "not a video"}}
    (out / "run.json").write_text(json.dumps(record))
    assert main(["labels", str(out), "--to", str(tmp_path / "set"), "--val", "0"]) == 0
    output = capsys.readouterr().out
    assert "bad: left out: it failed: not a video" in output
    assert "warning: the run is not done" in output
    left_out = json.loads((tmp_path / "set" / "manifest.json").read_text())["left_out"]
    assert left_out == {"bad": "it failed: not a video"}


def test_a_place_that_cannot_be_written_is_named(out, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["labels", str(out), "--to", str(tmp_path / "file" / "set")]) == 1
    assert "file/set: cannot be written" in capsys.readouterr().err


def test_a_disk_that_fills_up_leaves_nothing(out, tmp_path, monkeypatch, capsys):
    def full(self, sample):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Voc, "add", full)
    assert main(["labels", str(out), "--to", str(tmp_path / "set")]) == 1
    assert "set: no room left" in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if "set" in path.name]


@pytest.mark.parametrize("linked", [False, True])
def test_an_empty_folder_will_do_here_or_behind_a_link(out, tmp_path, monkeypatch, linked):
    (tmp_path / "set").mkdir()
    target = tmp_path / "set"
    if linked:
        target = tmp_path / "link"
        target.symlink_to(tmp_path / "set")
    monkeypatch.chdir(target)
    assert main(["labels", str(out), "--to", str(target) if linked else ".", "--val", "0"]) == 0
    assert (tmp_path / "set" / "manifest.json").exists()


def test_what_a_killed_command_left_is_cleared_away(out, tmp_path):
    arguments = ["labels", str(out), "--to", str(tmp_path / "set"), "--val", "0"]
    killed = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from stages.media.label_sets.set_layouts import Voc
add, count = Voc.add, []
def dies(self, sample):
    add(self, sample)
    os.kill(os.getpid(), 9)
Voc.add = dies
from steadymask.cli.main import main
main({arguments!r})
"""
    assert subprocess.run([sys.executable, "-c", killed]).returncode == -9
    assert not (tmp_path / "set").exists()
    assert (tmp_path / ".draft-set").exists()
    assert main(arguments) == 0
    assert not (tmp_path / ".draft-set").exists()
    assert len(list((tmp_path / "set").rglob("SegmentationClass/*.png"))) == 2


def test_of_many_clips_only_the_first_are_told_of(out, tmp_path, capsys):
    failures = {f"bad{k:03d}": "not a video" for k in range(100)}
    record = {"clips": {"a": {}}, "failures": failures}
    (out / "run.json").write_text(json.dumps(record))
    assert main(["labels", str(out), "--to", str(tmp_path / "set"), "--val", "0"]) == 0
    output = capsys.readouterr().out.splitlines()
    assert len(output) < 50
    assert "and 60 more such lines: see left_out and warnings in manifest.json" in output
    assert len(json.loads((tmp_path / "set" / "manifest.json").read_text())["left_out"]) == 100
