import pytest

from stages.media.footage.clip_listing import VIDEOS
from stages.media.masks.clip_names import common_parts, same_clip, video_prefix


@pytest.mark.parametrize("ending", sorted(VIDEOS))
def test_every_ending_of_a_video_is_no_part_of_its_name(ending):
    assert same_clip(f"footage/shot1{ending.upper()}", "shot1")


@pytest.mark.parametrize("ending", sorted(VIDEOS - {".264", ".265"}))
def test_names_of_a_flat_set_lose_the_ending_of_their_video(ending):
    assert video_prefix(f"shot1_{ending[1:]}-0007_jpg.rf.5ad3.jpg") == "shot1"


def test_a_number_at_the_end_of_a_name_is_no_ending():
    assert video_prefix("shot_264_0007.jpg") == "shot_264"


def test_a_point_in_a_name_is_part_of_it():
    assert not same_clip("shot1.final", "shot1")
    assert common_parts("a/shot1.v2", "a/shot1.v2.mov") == 2


def test_names_without_an_ending_keep_what_stands_before_the_number():
    assert video_prefix("shot_left-0007.png") == "shot_left"
    assert video_prefix("00007.png") == ""
