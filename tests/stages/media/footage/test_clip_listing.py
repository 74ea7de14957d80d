"""Which clips a directory holds, whatever strangers put into it."""

import contextlib
import os
import socket
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from pipeline.errors import ConfigError, InputError
from stages.media.footage.clip_listing import find_clips, summary
from stages.media.masks.pairing import find_masks
from steadymask.cli.clip_pairing import check_out, pair_masks


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
    assert "levels of symbolic links" in library.refused["self.mp4"]


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
    try:
        assert len(find_clips(footage).clips) == 2
    finally:
        # Python's own rmtree, with which pytest clears its folders, fails at such a depth.
        subprocess.run(["rm", "-rf", str(footage / "d")], check=True)


def test_no_clip_is_lost_where_names_meet(footage):
    for name in ("x.mp4.mkv", "x.mp4", "x.mov", "Y.mp4", "y.mp4"):
        (footage / name).write_bytes(b"x")
    clips = find_clips(footage).clips
    assert len(set(clips.values())) == len(clips) == 6


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
    clips = find_clips(footage).clips
    assert set(clips) == {"good", *(set(names) - {"..a"})}  # hidden
    for name in clips:
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
    clips, failures, _ = pair_masks(footage, tmp_path / "masks")
    assert [clip.name for clip in clips] == ["good"]
    assert set(failures) == {"video.mp4"}


def test_a_library_of_nothing_but_links_says_why(tmp_path, outside):
    (tmp_path / "footage").mkdir()
    (tmp_path / "footage" / "video.mp4").symlink_to(outside / "diary.mp4")
    with pytest.raises(ConfigError, match=r"no clip can be taken: .*--follow-links"):
        pair_masks(tmp_path / "footage", None)


def picture(path, *, camera=False, size=(8, 6)):
    image = Image.new("RGB", size)
    exif = image.getexif()
    if camera:
        exif[0x10F] = "Maker"
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, exif=exif)


def test_a_poster_beside_a_video_hides_nothing(footage):
    (footage / "day").mkdir()
    (footage / "day" / "two.mp4").write_bytes(b"x")
    picture(footage / "day" / "poster.jpg")
    picture(footage / "cover.jpg")
    library = find_clips(footage)
    assert set(library.clips) == {"good", "day/two"}
    assert "no frames" in library.passed_over["day/poster.jpg"]
    assert "cover.jpg" in library.passed_over


def test_photos_among_videos_are_no_frames_but_rendered_frames_are(footage):
    for k in range(6):
        picture(footage / "dcim" / f"IMG_{k:04}.JPG", camera=True)
        picture(footage / "render" / f"{k:04}.png")
    for folder in ("dcim", "render"):
        (footage / folder / "take.mov").write_bytes(b"x")
    library = find_clips(footage)
    assert set(library.clips) == {"good", "dcim/take", "render", "render/take"}
    assert len(library.passed_over) == 6


def test_a_picture_beside_folders_of_frames_is_no_clip(tmp_path):
    picture(tmp_path / "poster.jpg")
    folder_of_frames(tmp_path / "one", "0.png", "1.png")
    library = find_clips(tmp_path)
    assert set(library.clips) == {"one"}
    assert list(library.passed_over) == ["poster.jpg"]
    (tmp_path / "alone" / "empty").mkdir(parents=True)
    picture(tmp_path / "alone" / "0.png")
    assert set(find_clips(tmp_path).clips) == {"one", "alone"}


def test_several_sequences_in_a_folder_are_several_clips(tmp_path):
    names = [f"shot{s}.{k:04}.png" for s in "AB" for k in range(3)]
    folder_of_frames(tmp_path / "day", *names, "note.txt")
    library = find_clips(tmp_path)
    assert library.clips == {
        "day/shotA": tmp_path / "day" / "shotA.#.png",
        "day/shotB": tmp_path / "day" / "shotB.#.png",
    }
    assert set(find_clips(tmp_path / "day").clips) == {"shotA", "shotB"}
    assert set(find_clips(tmp_path / "day" / "shotB.####.png").clips) == {"shotB"}
    with pytest.raises(ConfigError, match="no picture fits"):
        find_clips(tmp_path / "day" / "shotC.####.png")


def test_results_and_masks_are_never_footage(footage):
    for name in ("out/good/masks", "store", "masks/good", "old/good/masks"):
        folder_of_frames(footage / name, "0.png")
    (footage / "old" / "report").mkdir()
    (footage / "old" / "run.json").write_text("{}")
    library = find_clips(footage, never=[footage / "out", footage / "store", footage / "masks"])
    assert set(library.clips) == {"good"}
    assert set(library.passed_over) == {"out", "store", "masks", "old"}
    clips, _, passed_over = pair_masks(footage, footage / "masks", never=[footage / "out"])
    assert [clip.name for clip in clips] == ["good"]
    assert "masks" in passed_over


def test_the_layout_of_vspw_is_known(tmp_path):
    for clip in ("a", "b"):
        folder_of_frames(tmp_path / clip / "origin", "0.jpg", "1.jpg")
        folder_of_frames(tmp_path / clip / "mask", "0.png", "1.png")
    library = find_clips(tmp_path)
    assert library.clips == {name: tmp_path / name / "origin" for name in ("a", "b")}


def test_what_is_passed_over_is_named_with_the_reason(footage):
    (footage / "notes.txt").write_text("x")
    (footage / "sound.wav").write_text("x")
    library = find_clips(footage)
    assert library.passed_over == {
        "notes.txt": ".txt is no video or picture",
        "sound.wav": ".wav is no video or picture",
    }
    assert summary({f"{k}.txt": "no" for k in range(9)}) == [
        "0.txt, 1.txt, 2.txt, … (9 in all): no"
    ]


def test_results_may_not_lie_in_the_footage_folder_itself(footage):
    with pytest.raises(ConfigError, match="expected another folder than FOOTAGE"):
        check_out(footage, footage)
    check_out(footage / "out", footage)
