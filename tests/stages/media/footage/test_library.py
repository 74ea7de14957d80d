"""Which clips a directory holds, whatever strangers put into it."""

import contextlib
import os
import socket
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, InputError
from stages.media.footage.library import find_clips
from stages.media.masks.open import find_masks
from steadymask.cli.library import pair_masks


@pytest.fixture
def footage(tmp_path):
    folder = tmp_path / "footage"
    folder.mkdir()
    (folder / "good.mp4").write_bytes(b"x")
    return folder


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "private"
    (folder / "frames").mkdir(parents=True)
    (folder / "diary.mp4").write_bytes(b"x")
    (folder / "frames" / "0.png").write_bytes(b"x")
    return folder


def folder_of_frames(path, *names):
    path.mkdir(parents=True)
    for name in names or ("0.png",):
        (path / name).write_bytes(b"x")
    return path


def test_links_out_of_the_library_are_refused_and_said_so(footage, outside):
    (footage / "video.mp4").symlink_to(outside / "diary.mp4")
    (footage / "frames").symlink_to(outside / "frames")
    (footage / "folder").symlink_to(outside)
    clip = folder_of_frames(footage / "mixed", "0.png")
    (clip / "1.png").symlink_to(outside / "frames" / "0.png")
    library = find_clips(footage)
    assert set(library.clips) == {"good"}
    assert set(library.refused) == {"video.mp4", "frames", "folder", "mixed"}
    for why in library.refused.values():
        assert f"is a link to {outside}" in why
        assert "give --follow-links" in why


def test_links_out_are_followed_on_demand(footage, outside):
    (footage / "video.mp4").symlink_to(outside / "diary.mp4")
    (footage / "folder").symlink_to(outside)
    library = find_clips(footage, follow_links=True)
    assert set(library.clips) == {"good", "video", "folder/diary", "folder/frames"}
    assert library.refused == {}


def test_links_that_stay_inside_and_one_that_the_user_named_are_followed(footage, tmp_path):
    (footage / "again.mp4").symlink_to("good.mp4")
    (tmp_path / "named").symlink_to(footage)
    assert set(find_clips(tmp_path / "named").clips) == {"good", "again"}
    assert find_clips(tmp_path / "named").refused == {}


def test_the_only_clip_may_not_hold_frames_of_elsewhere_either(tmp_path, outside):
    clip = folder_of_frames(tmp_path / "clip", "0.png")
    (clip / "1.png").symlink_to(outside / "frames" / "0.png")
    assert find_clips(clip).clips == {}
    assert set(find_clips(clip, follow_links=True).clips) == {"clip"}


@pytest.mark.parametrize("follow", [False, True])
def test_links_in_circles_end(footage, follow):
    for a in range(6):
        (footage / f"d{a}").mkdir()
        (footage / f"d{a}" / "clip.mp4").write_bytes(b"x")
        for b in range(6):
            (footage / f"d{a}" / f"to{b}").symlink_to(footage / f"d{b}")
    (footage / "self").symlink_to("self")
    (footage / "self.mp4").symlink_to("self.mp4")
    library = find_clips(footage, follow_links=follow)
    assert set(library.clips) == {"good", *(f"d{a}/clip" for a in range(6))}
    assert "link to nothing" in library.refused["self.mp4"]


def test_what_is_no_file_is_refused_by_name(footage):
    os.mkfifo(footage / "pipe.mp4")
    (footage / "zero.mkv").symlink_to("/dev/zero")
    (footage / "gone.mov").symlink_to("nowhere.mov")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(footage / "socket.avi"))
    library = find_clips(footage, follow_links=True)
    assert set(library.clips) == {"good"}
    assert set(library.refused) == {"pipe.mp4", "zero.mkv", "gone.mov", "socket.avi"}
    assert all("expected a file, got a pipe" in why for why in library.refused.values())


def test_folders_nested_deeper_than_a_path_can_say_cost_only_themselves(footage):
    with contextlib.chdir(footage):
        for _ in range(30):
            Path("d" * 200).mkdir()
            os.chdir("d" * 200)
    library = find_clips(footage)
    assert set(library.clips) == {"good"}
    assert ["File name too long" in why for why in library.refused.values()] == [True]


def test_a_thousand_folders_in_one_another_are_searched(footage):
    with contextlib.chdir(footage):
        for _ in range(1000):
            Path("d").mkdir()
            os.chdir("d")
        Path("clip.mp4").write_bytes(b"x")
    assert len(find_clips(footage).clips) == 2


def test_no_clip_is_lost_where_names_meet(footage):
    for name in ("x.mp4.mkv", "x.mp4", "x.mov", "Y.mp4", "y.mp4"):
        (footage / name).write_bytes(b"x")
    found = find_clips(footage).clips
    assert len(set(found.values())) == len(found) == 6


@pytest.mark.parametrize(
    ("clip", "nested", "where"),
    [
        ("a.mp4", "a/masks", "among those of the clip 'a'"),
        ("a.mp4", "a/report/deep", "among those of the clip 'a'"),
        ("a.mp4", "a/masks.mkv", "among those of the clip 'a'"),
        ("a.mp4", "run.json", "where the run keeps its own record"),
        ("a.mp4", "metrics.json/b", "where the run keeps its own record"),
        ("a.mp4", "report/index.html", "among the pages of the report"),
    ],
)
def test_a_clip_whose_results_would_lie_among_others_is_refused(footage, clip, nested, where):
    (footage / clip).write_bytes(b"x")
    folder_of_frames(footage / nested)
    library = find_clips(footage)
    assert set(library.clips) == {"good", "a"}
    assert f"its results would lie {where}: rename it" in library.refused[nested]


def test_odd_names_are_only_names(footage):
    names = [
        "CON", "NUL", "aux.", "a\nb", "\x1b[2J", "-rf", "~", "$(id)", "%d", "x" * 251, "..a", " ",
        "http:", "\udcff",
    ]  # fmt: skip
    for name in names:
        (footage / f"{name}.mp4").write_bytes(b"x")
    found = find_clips(footage).clips
    assert set(found) == {"good", *(set(names) - {"..a"})}  # hidden
    for name in found:
        assert (footage / name).resolve().parent == footage.resolve()


def test_masks_behind_links_are_refused_unless_followed(tmp_path, outside):
    masks = tmp_path / "masks"
    folder_of_frames(masks / "mixed", "0.png")
    (masks / "mixed" / "1.png").symlink_to(outside / "frames" / "0.png")
    (masks / "whole").symlink_to(outside / "frames")
    (masks / "file.npy").symlink_to(outside / "diary.mp4")
    for name in ("mixed", "whole", "file"):
        with pytest.raises(InputError, match=r"is a link to .*private.* give --follow-links"):
            find_masks(masks, name)
        assert find_masks(masks, name, follow_links=True) is not None


def test_what_is_refused_is_reported_and_costs_the_others_nothing(footage, outside, tmp_path):
    (footage / "video.mp4").symlink_to(outside / "diary.mp4")
    folder_of_frames(tmp_path / "masks" / "good")
    clips, failures = pair_masks(footage, tmp_path / "masks")
    assert [clip.name for clip in clips] == ["good"]
    assert set(failures) == {"video.mp4"}


def test_a_library_of_nothing_but_links_says_why(tmp_path, outside):
    (tmp_path / "footage").mkdir()
    (tmp_path / "footage" / "video.mp4").symlink_to(outside / "diary.mp4")
    with pytest.raises(ConfigError, match=r"no clip can be taken: .*--follow-links"):
        pair_masks(tmp_path / "footage", None)
