"""What containers do to frames: start late, lose timestamps, begin in the middle, break."""

import stat
import subprocess
import sys
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from pipeline.errors import InputError
from stages.media.footage import ffmpeg, ffmpeg_commands, video
from stages.media.footage.timeline import Timeline, probe
from stages.media.footage.video import read_frames

BITS, SIDE = 6, 16


def numbered(t):
    """Return a picture that says its number t in black and white columns."""
    bits = [(t >> bit & 1) * 255 for bit in range(BITS)]
    return np.repeat(np.repeat(np.uint8([bits]), SIDE, 1), 48, 0)[..., None].repeat(3, -1)


def number(picture):
    centres = picture[24, SIDE // 2 :: SIDE, 0] > 127
    return int(sum(int(bit) << k for k, bit in enumerate(centres)))


def numbers(path):
    frames = read_frames(path, probe(path))
    return [number(frame) for frame in frames], frames.holes


def run(*arguments):
    command = [ffmpeg.ffmpeg_path(), "-nostdin", "-loglevel", "error", "-y"]
    subprocess.run([*command, *map(str, arguments)], check=True, capture_output=True)


def make(path, codec="libx264", frames=60, first=0, **options):
    """Write numbered frames, 25 a second, with B-frames, a keyframe every 15."""
    with av.open(str(path), "w") as container:
        options = {"g": "15", "bf": "2", "preset": "fast", "sc_threshold": "0", **options}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = BITS * SIDE, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        for t in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered(t), format="rgb24")
            frame.pts, frame.time_base = t + first, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make(tmp_path_factory.mktemp("clip") / "whole.mp4")


def stored(path):
    """Return position, size and timestamp of every packet."""
    with av.open(str(path)) as container:
        return [(p.pos, p.size, p.pts) for p in container.demux(video=0) if p.size]


def spoil(path, packets):
    """Overwrite the given packets with noise."""
    content, noise = bytearray(path.read_bytes()), np.random.default_rng(0)
    for position, size, _ in packets:
        content[position : position + size] = noise.bytes(size)
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi", "h264"])
def test_every_container_gives_all_frames_in_order(whole, tmp_path, suffix):
    # AVI has no display times and a raw stream has none at all
    path = tmp_path / f"clip.{suffix}"
    run("-i", whole, "-c", "copy", path)
    assert numbers(path) == (list(range(60)), [])


def test_a_late_start_is_kept(tmp_path):
    timeline = probe(make(tmp_path / "late.mkv", first=10))
    assert timeline.pts[0] * Fraction(*timeline.time_base) == Fraction(10, 25)


def test_frames_that_an_edit_list_hides_are_not_counted(whole, tmp_path):
    path = tmp_path / "edited.mp4"
    run("-ss", 0.88, "-i", whole, "-c", "copy", path)
    assert numbers(path) == (list(range(22, 60)), [])


def test_pictures_before_the_first_keyframe_are_no_frames(whole, tmp_path):
    path, stream = tmp_path / "tuned-in.ts", tmp_path / "whole.ts"
    run("-i", whole, "-c", "copy", stream)
    packets = stored(stream)
    path.write_bytes(stream.read_bytes()[packets[4][0] :])  # tuned in within the first group
    actual, holes = numbers(path)
    assert (actual, holes) == (list(range(15, 60)), [])


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_overwritten_frames_are_holes_and_shift_nothing(whole, tmp_path, suffix):
    path = tmp_path / f"clip.{suffix}"
    run("-i", whole, "-c", "copy", path)
    spoil(path, stored(path)[16:21])
    timeline = probe(path)
    frames = read_frames(path, timeline)
    actual = [number(frame) for frame in frames]
    assert len(actual) == timeline.frames
    if suffix == "mp4":  # its index lies elsewhere, so the count survives
        assert timeline.frames == 60
        assert frames.holes
        assert set(frames.holes) <= set(range(15, 30))
        assert actual[30:] == list(range(30, 60))
    assert actual[:15] == list(range(15))


def test_a_spoilt_beginning_is_filled_by_the_first_picture_there_is(whole, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(whole.read_bytes())
    early = [packet for packet in stored(path) if packet[2] < stored(whole)[0][2] + 15 * 512]
    spoil(path, early)
    actual, holes = numbers(path)
    assert (len(actual), holes) == (60, list(range(15)))
    assert actual == [15] * 15 + list(range(15, 60))


def test_a_video_of_which_nothing_decodes_is_an_error(whole, tmp_path):
    path = tmp_path / "noise.mp4"
    path.write_bytes(whole.read_bytes())
    spoil(path, stored(path))
    with pytest.raises(InputError, match=r"noise\.mp4"):
        numbers(path)


def test_a_cover_picture_is_no_video(tmp_path):
    path, picture = tmp_path / "song.m4a", make(tmp_path / "one.mp4", frames=1)
    run(
        *("-f", "lavfi", "-i", "sine=d=0.2", "-i", picture, "-map", "0:a", "-map", "1:v"),
        *("-c:v", "mjpeg", "-disposition:v:0", "attached_pic", path),
    )
    with pytest.raises(InputError, match=r"song\.m4a: .* no video stream"):
        probe(path)


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.mp4: no such file"):
        probe(tmp_path / "gone.mp4")


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile 'secret.mp4'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    ],
)
def test_the_decoder_opens_no_playlist_either(whole, tmp_path, text):
    (tmp_path / "secret.mp4").write_bytes(whole.read_bytes())
    path = tmp_path / "disguised.mp4"
    path.write_text(text)
    with pytest.raises(InputError, match=r"disguised\.mp4"):
        list(read_frames(path, probe(whole)))  # past the probe, which refuses it too


def test_a_decoder_that_stands_still_is_given_up(whole, tmp_path, monkeypatch):
    stuck = tmp_path / "ffmpeg"
    stuck.write_text("#!/bin/sh\nexec sleep 60\n")
    stuck.chmod(stuck.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(ffmpeg_commands, "ffmpeg_path", lambda: str(stuck))
    monkeypatch.setattr(video, "STALLED_S", 0.2)
    with pytest.raises(InputError, match=r"whole\.mp4: the decoder stood still"):
        next(iter(read_frames(whole, probe(whole))))


def test_a_decoder_that_gives_a_byte_now_and_then_is_given_up_too(whole, tmp_path, monkeypatch):
    slow = tmp_path / "ffmpeg"
    slow.write_text("#!/bin/sh\nwhile printf x; do sleep 0.05; done\n")
    slow.chmod(slow.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(ffmpeg_commands, "ffmpeg_path", lambda: str(slow))
    monkeypatch.setattr(video, "STALLED_S", 0.4)
    with pytest.raises(InputError, match=r"whole\.mp4: the decoder stood still"):
        next(iter(read_frames(whole, probe(whole))))


def test_a_decoder_that_does_not_say_which_frame_it_gives_is_given_up(whole, tmp_path, monkeypatch):
    mute = tmp_path / "ffmpeg"
    mute.write_text("#!/bin/sh\nexec cat /dev/zero\n")
    mute.chmod(mute.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(ffmpeg_commands, "ffmpeg_path", lambda: str(mute))
    monkeypatch.setattr(video, "STALLED_S", 0.5)
    with pytest.raises(InputError, match=r"whole\.mp4: the decoder gave a frame without saying"):
        next(iter(read_frames(whole, probe(whole))))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds another process")
def test_a_child_has_no_more_memory_than_it_was_given(tmp_path):
    (tmp_path / "empty").touch()
    greedy = [sys.executable, "-c", "x = bytearray(2**29); print('had it')"]
    for most, expected in ((2**28, b""), (2**31, b"had it\n")):
        with (tmp_path / "empty").open("rb") as source:
            status, out, _ = ffmpeg.run(greedy, source, limit_s=60, memory_bytes=most)
        assert (out, status == 0) == (expected, bool(expected))


def test_a_moment_that_is_shown_twice_shifts_nothing(tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    lines = [
        f"printf '[Parsed_showinfo_2 @ 0] n: {k} pts: {pts} \\n' >&2\n"
        f"printf '\\{level:03o}%.0s' 1 2 3"
        for k, (pts, level) in enumerate([(0, 65), (40, 66), (40, 67), (120, 68)])
    ]
    program.write_text("\n".join(["#!/bin/bash", *lines, ""]))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(ffmpeg_commands, "ffmpeg_path", lambda: str(program))
    (tmp_path / "clip.mp4").touch()
    frames = read_frames(
        tmp_path / "clip.mp4", Timeline(4, (0, 40, 80, 120), (1, 1000), 40, 25, (1, 1))
    )
    assert [int(frame[0, 0, 0]) for frame in frames] == [65, 66, 66, 68]
    assert frames.holes == [2]


def test_leaving_early_ends_the_decoder(whole, monkeypatch):
    timeline, program, children = probe(whole), ffmpeg.ffmpeg_path(), []
    popen = subprocess.Popen

    def remembered(*arguments, **options):
        children.append(popen(*arguments, **options))
        return children[-1]

    monkeypatch.setattr(ffmpeg.subprocess, "Popen", remembered)
    frames = iter(read_frames(whole, timeline))
    next(frames)
    frames.close()
    (child,) = children
    assert child.args[0] == program
    assert child.poll() is not None


def test_a_cut_off_jpeg_is_a_hole(tmp_path):
    for t in range(3):
        cv2.imwrite(str(tmp_path / f"{t}.jpg"), numbered(t))
    middle = tmp_path / "1.jpg"
    middle.write_bytes(middle.read_bytes()[:-40])
    assert numbers(tmp_path) == ([0, 0, 2], [1])


@pytest.mark.parametrize(
    ("version_text", "taken"), [("4.4.2-0ubuntu0.22.04.1", False), ("7.1.1", True)]
)
def test_an_ffmpeg_too_old_for_our_options_is_passed_over(
    tmp_path, monkeypatch, version_text, taken
):
    system = tmp_path / "ffmpeg"
    system.write_text(f"#!/bin/sh\necho ffmpeg version {version_text} Copyright\n")
    system.chmod(system.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    ffmpeg.ffmpeg_path.cache_clear()
    try:
        assert (ffmpeg.ffmpeg_path() == str(system)) is taken
    finally:
        ffmpeg.ffmpeg_path.cache_clear()


def test_pixels_that_are_not_square_are_recorded(whole, tmp_path):
    path = tmp_path / "wide.mp4"
    run("-i", whole, "-vf", "setsar=4/3", "-c:v", "libx264", path)
    timeline = probe(path)
    assert timeline.aspect == (4, 3)
    assert Timeline.from_json(timeline.to_json()) == timeline


@pytest.mark.parametrize("content", [b"\x7fELF of another machine", b"#!/bin/sh\nexec sleep 60\n"])
def test_a_system_s_ffmpeg_that_does_not_run_is_passed_over(tmp_path, monkeypatch, content):
    program = tmp_path / "ffmpeg"
    program.write_bytes(content)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(ffmpeg, "ANSWER_S", 0.2)
    ffmpeg.ffmpeg_path.cache_clear()
    try:
        assert ffmpeg.ffmpeg_path() != str(program)
    finally:
        ffmpeg.ffmpeg_path.cache_clear()
