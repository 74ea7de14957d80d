"""Files of results that a person has changed."""

import json

import pytest

from pipeline.hand_edits import describe_files, find_hand_edits, put_back, set_aside


@pytest.fixture
def results(tmp_path):
    """Return a folder of results with the record of its sink."""
    (tmp_path / "masks").mkdir()
    for name in ("0.png", "1.png"):
        (tmp_path / "masks" / name).write_text(f"made {name}")
    record = {"looks": describe_files(tmp_path, ["masks"])}
    (tmp_path / "marker").write_text(json.dumps(record))
    return tmp_path


def edits(folder):
    return find_hand_edits(folder, folder / "marker")


def test_only_other_bytes_are_a_change(results):
    assert edits(results) == []
    file = results / "masks" / "1.png"
    file.write_text("made 1.png")  # saved again as it was
    assert edits(results) == []
    file.write_text("painted   ")
    assert edits(results) == ["masks/1.png"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"looks": 3}'])
def test_without_a_record_nothing_is_known_of_changes(results, text):
    (results / "marker").write_text(text)
    assert edits(results) == []


def test_changed_files_return_after_all_was_written_anew(results):
    (results / "masks" / "1.png").write_text("painted")
    set_aside(results, edits(results), results / "kept")
    for file in (results / "masks").iterdir():
        file.write_text("made anew")
    put_back(results, results / "kept")
    assert [p.read_text() for p in sorted((results / "masks").iterdir())] == [
        "made anew",
        "painted",
    ]
    assert not (results / "kept").exists()
