"""Timelines and frames of real and of broken footage."""

import re
import subprocess
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest

from pipeline.errors import InputError
from stages.media.footage import timeline as timeline_module
from stages.media.footage import video as video_module
from stages.media.footage.ffmpeg import ffmpeg_path
from stages.media.footage.timeline import Timeline, content_digest, probe, working_size
from stages.media.footage.video import read_frames


def write_video(path, frames, pts=None, codec="libx264", rate=24, **options):
    """Write grey-level frames; frame t has the value 10 t, so that it can be told apart."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"g": "8", **options})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for t in range(frames):
            picture = np.full((48, 64, 3), 10 * t % 250, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if pts is not None:
                frame.pts = pts[t]
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def levels(path, **how):
    frames = read_frames(path, probe(path), **how)
    return [int(frame.mean().round()) for frame in frames], frames.holes


def write_folder(folder, count, size=(20, 30), start=0):
    folder.mkdir()
    for t in range(count):
        cv2.imwrite(str(folder / f"{start + t}.png"), np.full((*size, 3), 10 * t, np.uint8))
    return folder


REAL = [
    ("apple-odd.mp4", (720, 1296), 0),
    ("bikes-cuts.mp4", (272, 640), 0),
    ("cat-portrait.mp4", (480, 368), 0),
    ("kitten-vfr-audio.mp4", (320, 568), 0),
    ("pancake-audio.mkv", (240, 426), 0),
    ("rot90.mov", (568, 320), -90),
    ("rot270.mov", (568, 320), 90),
]


@pytest.mark.parametrize(("name", "size", "rotation"), REAL)
def test_a_real_video_gives_as_many_frames_as_its_source_says(data, name, size, rotation):
    path = data / "videos" / name
    source_text = (data / "videos" / "SOURCE.txt").read_text().partition(f"\n{name}\n")[2]
    count = int(re.search(r"(\d+) frames decoded", source_text)[1])
    timeline = probe(path)
    assert (timeline.frames, timeline.size, timeline.rotation) == (count, size, rotation)
    frames = read_frames(path, timeline, size=working_size(size, 120))
    assert sum(1 for _ in frames) == count
    assert frames.holes == []


def test_rotated_footage_is_upright(data):
    path = data / "videos" / "rot90.mov"
    upright = next(iter(read_frames(path, probe(path))))
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    turned = np.rot90(stored, -1)
    assert upright.shape == turned.shape
    assert np.abs(upright.astype(int) - turned).mean() < 3


def test_a_variable_frame_rate_is_kept(data):
    timeline = probe(data / "videos" / "kitten-vfr-audio.mp4")
    steps = np.diff(timeline.pts)
    assert len(set(steps)) > 1
    assert (steps > 0).all()
    assert timeline.audio


def test_frames_come_in_display_order(tmp_path):
    path = write_video(tmp_path / "b.mp4", 20, bf="3")
    actual, holes = levels(path)
    assert holes == []
    assert np.abs(np.subtract(actual, [10 * t for t in range(20)])).max() <= 2


def test_a_timeline_survives_json(tmp_path):
    timeline = probe(write_video(tmp_path / "a.mp4", 5))
    assert Timeline.from_json(timeline.to_json()) == timeline


@pytest.mark.parametrize("name", ["zero.mp4", "text.mp4", "cut.mp4"])
def test_a_file_that_is_no_video_is_named(tmp_path, name):
    path = tmp_path / name
    if name == "cut.mp4":  # the index lies at the end, so nothing is left
        path.write_bytes(write_video(tmp_path / "whole.mp4", 20).read_bytes()[:2000])
    else:
        path.write_text("" if name == "zero.mp4" else "not a video\n" * 100)
    with pytest.raises(InputError, match=name):
        probe(path)


def test_a_file_with_sound_only_is_named(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    with pytest.raises(InputError, match=r"song\.mp4: not a readable video: no video stream"):
        probe(path)


def test_a_truncated_stream_gives_what_is_left(tmp_path):
    whole = write_video(tmp_path / "whole.mkv", 40, codec="mpeg4")
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    actual, _ = levels(path)
    assert 5 < len(actual) < 40
    assert np.abs(np.subtract(actual[:5], [0, 10, 20, 30, 40])).max() <= 4


def test_damage_in_the_middle_shifts_no_frame(tmp_path):
    path = write_video(tmp_path / "a.mkv", 24, codec="mpeg4")
    offsets = []
    with av.open(str(path)) as container:
        offsets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    harmed = bytearray(path.read_bytes())
    for position, size in offsets[9:12]:
        harmed[position + 20 : position + size] = bytes(size - 20)  # not the block's head
    path.write_bytes(harmed)
    actual, holes = levels(path)
    assert len(actual) == 24
    assert set(holes) <= set(range(8, 16))
    assert np.abs(np.subtract(actual[16:], [10 * t for t in range(16, 24)])).max() <= 4


def test_a_playlist_cannot_reach_other_files(tmp_path):
    secret = write_video(tmp_path / "secret.mp4", 5)
    for name, text in {
        "concat.mp4": f"ffconcat version 1.0\nfile {secret.name}\n",
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret.name}\n",
    }.items():
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(InputError, match=name):
            probe(path)


def test_names_of_any_script_and_length_work(tmp_path):
    path = write_video(tmp_path / f"видео 猫 {'x' * 180}.mp4", 3)
    assert len(levels(path)[0]) == 3
    dash = write_video(tmp_path / "-i.mp4", 3)
    assert len(levels(dash)[0]) == 3


def test_a_folder_of_frames_is_read_in_natural_order(tmp_path):
    actual, holes = levels(write_folder(tmp_path / "clip", 12, start=3))
    assert actual == [10 * t for t in range(12)]
    assert holes == []


def test_an_unreadable_frame_is_a_hole_filled_by_the_one_before(tmp_path):
    folder = write_folder(tmp_path / "clip", 6)
    (folder / "2.png").write_bytes(b"broken")
    (folder / "5.png").write_bytes((folder / "5.png").read_bytes()[:60])
    assert levels(folder) == ([0, 10, 10, 30, 40, 40], [2, 5])


def test_a_hole_at_the_start_is_filled_by_the_first_frame_there_is(tmp_path):
    folder = write_folder(tmp_path / "clip", 3)
    (folder / "0.png").write_bytes(b"broken")
    assert levels(folder) == ([10, 10, 20], [0])


def test_frames_of_mixed_sizes_are_refused_by_name(tmp_path):
    folder = write_folder(tmp_path / "clip", 4)
    cv2.imwrite(str(folder / "2.png"), np.zeros((10, 30, 3), np.uint8))
    with pytest.raises(InputError, match=r"2\.png: expected 30x20 .*, got 30x10"):
        probe(folder)


def test_a_folder_without_a_readable_frame_is_refused(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    with pytest.raises(InputError, match="found none"):
        probe(folder)
    (folder / "0.png").write_bytes(b"broken")
    with pytest.raises(InputError, match="none of its 1 frames can be read"):
        probe(folder)


def test_a_picture_one_pixel_wide_is_a_picture(tmp_path):
    folder = write_folder(tmp_path / "clip", 2, size=(9, 1))
    assert next(iter(read_frames(folder, probe(folder)))).shape == (9, 1, 3)


@pytest.mark.parametrize(
    ("size", "expected"), [((720, 1280), (480, 853)), ((480, 854), (480, 854)), ((9, 1), (9, 1))]
)
def test_the_working_size_is_never_larger_than_the_source(size, expected):
    assert working_size(size, 480) == expected


def test_the_digest_of_a_folder_knows_names_and_bytes(tmp_path):
    folder = write_folder(tmp_path / "clip", 3)
    before = content_digest(folder)
    (folder / "2.png").rename(folder / "3.png")
    renamed = content_digest(folder)
    (folder / "3.png").write_bytes(b"other")
    assert len({before, renamed, content_digest(folder)}) == 3


def parted(path, monkeypatch, length, **how):
    """Return the frames of all parts, their holes, and the first frame decoded for each part."""
    monkeypatch.setattr(timeline_module, "PART", length)
    line, first = probe(path), []
    real = video_module._decoded

    def watched(*arguments, **options):
        for k, (pts, picture) in enumerate(real(*arguments, **options)):
            if k == 0:
                first.append(pts)
            yield pts, picture

    monkeypatch.setattr(video_module, "_decoded", watched)
    levels_seen, holes = [], []
    for part in pairwise((*line.parts, line.frames)):
        frames = read_frames(path, line, frames=part, **how)
        levels_seen += [frame.tobytes() for frame in frames]
        holes += frames.holes
    return line, levels_seen, holes, [line.pts.index(pts) for pts in first if pts in line.pts]


@pytest.mark.parametrize("bframes", ["0", "3"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts", "avi"])
def test_parts_of_a_video_give_what_the_whole_gives(tmp_path, monkeypatch, suffix, bframes):
    path = write_video(tmp_path / f"a.{suffix}", 48, bf=bframes)
    whole = read_frames(path, probe(path))
    wanted = [frame.tobytes() for frame in whole]
    line, frames_read, holes, _ = parted(path, monkeypatch, 10)
    assert frames_read == wanted
    assert holes == whole.holes
    if line.timed:
        assert len(line.parts) > 2


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_decoding_a_part_begins_near_it(tmp_path, monkeypatch, suffix):
    path = write_video(tmp_path / f"a.{suffix}", 48)
    line, _, _, first = parted(path, monkeypatch, 10)
    assert len(first) == len(line.parts)  # none began once more
    assert all(0 <= start - t <= 16 for start, t in zip(line.parts, first, strict=True))


def test_parts_of_a_real_video_give_what_the_whole_gives(data, monkeypatch):
    path = data / "videos" / "kitten-vfr-audio.mp4"
    whole = [frame.tobytes() for frame in read_frames(path, probe(path), size=(60, 106))]
    line, frames_read, _, _ = parted(path, monkeypatch, 20, size=(60, 106))
    assert len(line.parts) > 1
    assert frames_read == whole


@pytest.mark.parametrize("broken", [[], [7], [0, 1, 2], [8, 9], [8, 9, 10, 11, 12, 13, 14, 15]])
def test_parts_of_a_folder_have_the_holes_of_the_whole(tmp_path, monkeypatch, broken):
    folder = write_folder(tmp_path / "a", 24)
    for t in broken:
        (folder / f"{t}.png").write_bytes(b"broken")
    whole = read_frames(folder, probe(folder))
    wanted = [frame.tobytes() for frame in whole]
    _, frames_read, holes, _ = parted(folder, monkeypatch, 8)
    assert frames_read == wanted
    assert holes == whole.holes == broken


def test_parts_of_a_damaged_video_are_whole_and_the_same_each_time(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mkv", 48)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 60] = bytes(60)
    path.write_bytes(data)
    line, frames_read, holes, _ = parted(path, monkeypatch, 10)
    assert len(frames_read) == line.frames
    assert (frames_read, holes) == parted(path, monkeypatch, 10)[1:3]


def test_footage_that_is_shown_otherwise_than_it_is_stored_is_told(tmp_path):
    plain = write_video(tmp_path / "plain.mp4", 3)
    assert probe(plain).notes == ()
    turned = tmp_path / "turned.mp4"
    command = [ffmpeg_path(), "-v", "error", "-display_rotation", "180", "-i", str(plain)]
    subprocess.run([*command, "-c", "copy", str(turned)], check=True)
    (note,) = probe(turned).notes
    assert "turned by 180 degrees" in note
    combed = write_video(tmp_path / "combed.mkv", 3, x264opts="tff=1:interlaced=1")
    (note,) = probe(combed).notes
    assert note.startswith("it is interlaced")
