"""Files and folders are there whole or not at all."""

import pytest

from pipeline.whole_files import creating, draft_path, replacing, write_whole


def test_an_error_leaves_what_was_there_and_no_draft(tmp_path):
    target = tmp_path / "a.json"
    write_whole(target, "first")

    def write_half():
        with replacing(target) as draft:
            draft.write_text("half")
            assert target.read_text() == "first"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert target.read_text() == "first"


def test_a_folder_replaces_a_folder_and_what_a_killed_process_left(tmp_path):
    target = tmp_path / "labels"
    for path in (target, draft_path(target)):
        path.mkdir()
        (path / "old").touch()
    with replacing(target) as draft:
        draft.mkdir()
        (draft / "new").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["labels"]
    assert [path.name for path in target.iterdir()] == ["new"]


def test_what_is_created_never_replaces_a_folder_that_holds_something(tmp_path):
    target = tmp_path / "set"
    (target / "users").mkdir(parents=True)
    with pytest.raises(OSError, match="not empty"), creating(target) as draft:
        draft.mkdir()
    assert [path.name for path in target.iterdir()] == ["users"]
    assert not draft_path(target).exists()


def test_a_draft_has_the_ending_of_its_target(tmp_path):
    assert draft_path(tmp_path / "a.npz").suffix == ".npz"
    assert draft_path(tmp_path / "a.npz").parent == tmp_path
