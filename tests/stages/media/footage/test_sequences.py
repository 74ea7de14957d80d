"""Which pictures of a folder are frames, which are strays, and which are clips of their own."""

import pytest

from stages.media.footage.sequences import frame_files, group_pictures, is_gapless, sequence_name


def sequences(*names):
    grouping = group_pictures(names)
    assert not grouping.problem
    return grouping.sequences, grouping.strays


def test_numbered_names_are_one_sequence_in_natural_order():
    names = ["f10.png", "f9.png", "f100.png"]
    assert sequences(*names) == ({"": ["f9.png", "f10.png", "f100.png"]}, [])


def test_a_picture_of_another_name_is_a_stray():
    names = [f"{k:05}.png" for k in range(5)]
    assert sequences("preview.png", *names) == ({"": names}, ["preview.png"])


def test_names_without_numbers_are_one_sequence():
    assert sequences("a.png", "b.png", "c.png") == ({"": ["a.png", "b.png", "c.png"]}, [])


def test_several_shots_in_a_folder_are_several_sequences():
    a, b = ([f"shot{s}.{k:04}.exr" for k in range(3)] for s in "AB")
    assert sequences(*a, *b) == ({"shotA.#.exr": a, "shotB.#.exr": b}, [])
    assert sequence_name("shotA.#.exr") == "shotA"


def test_the_number_that_counts_need_not_be_the_last():
    names = [f"{k:04}_cam2.png" for k in range(4)]
    assert sequences(*names) == ({"": names}, [])


def test_names_that_differ_in_digits_alone_are_one_sequence():
    names = [f"{a}_{b}.png" for a in range(3) for b in range(3)]
    assert sequences(*names) == ({"": names}, [])


def test_frames_of_several_kinds_are_one_sequence_unless_one_number_occurs_twice():
    assert sequences("1.jpg", "2.png", "3.jpg", "4.png")[0] == {
        "": ["1.jpg", "2.png", "3.jpg", "4.png"]
    }
    problem = group_pictures(["1.jpg", "2.jpg", "1.png", "2.png"]).problem
    assert "would be the same frame: move one kind away" in problem


def test_gaps_are_noticed():
    assert is_gapless(["a1_007.png", "a1_008.png", "a1_009.png"])
    assert not is_gapless(["a1_007.png", "a1_009.png"])


@pytest.mark.parametrize("pattern", ["shot.####.png", "shot.%04d.png", "shot.#.png"])
def test_a_pattern_stands_for_the_files_that_fit(tmp_path, pattern):
    for name in ("shot.9.PNG", "shot.10.png", "shot.x.png", "other.1.png"):
        (tmp_path / name).touch()
    assert [file.name for file in frame_files(tmp_path / pattern)] == ["shot.9.PNG", "shot.10.png"]
