"""The command that gathers pseudo-labels."""

import json

import numpy as np
import pytest

from cli.main import main
from stages.io.palette import read_labels
from tests.stages.io.test_label_sets import labels_of, leave


@pytest.fixture
def out(tmp_path):
    leave(tmp_path / "out", "a", (0, 1))
    leave(tmp_path / "out", "dim", (0,), trusted=0)
    (tmp_path / "out" / "run.json").write_text(json.dumps({"clips": {"a": {}, "dim": {}}}))
    return tmp_path / "out"


def test_it_writes_a_set_and_says_what_it_left_out(out, tmp_path, capsys):
    command = ["labels", str(out), "--to", str(tmp_path / "set"), "--layout", "davis"]
    assert main([*command, "--val", "0"]) == 0
    said = capsys.readouterr().out
    assert "clips: 1; frames: 2 in train, 0 in val" in said
    assert "dim: left out: no pixel is trusted" in said
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
