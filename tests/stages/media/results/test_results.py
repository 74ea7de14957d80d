"""What is written: the timeline's timestamps, every label, and the sound where it belongs."""

import logging
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from stages.media.footage.timeline import Timeline, probe
from stages.media.footage.video import read_frames
from stages.media.masks.palette import read_labels
from stages.media.results.registry import build_results
from stages.media.results.settings import ResultSettings
from tests.support.result_files import ALL, result_clip, result_frame, write_all


def timeline(pts, size=(20, 31), base=(1, 1000), **more):
    return Timeline(len(pts), tuple(pts), base, 40, 25.0, size, **more)


def write(folder, line, formats=ALL, source=None, largest=255, length=10**9):
    """Write label t in frame t, and `largest` in the corner of all."""

    def frames():
        labels, picture = np.zeros(line.size, np.uint16), np.full((*line.size, 3), 90, np.uint8)
        for t in range(line.frames):
            labels[:], labels[-1, -1] = t, largest
            yield labels, picture

    clip = result_clip(line, source, {k: str(k) for k in (1, largest)})
    write_all(folder, clip, frames(), ResultSettings(formats=formats), length=length)
    return folder


def earliest(path):
    """Return in seconds the time of every picture, and of the first sound."""
    times = {"video": [], "audio": []}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size and packet.pts is not None:
                times[packet.stream.type].append(packet.pts * packet.stream.time_base)
    return sorted(times["video"]), min(times["audio"], default=None)


@pytest.mark.parametrize("length", [1, 4, 6])
@pytest.mark.parametrize("name", ["masks.mkv", "overlay.mp4"])
def test_uneven_timestamps_are_kept(tmp_path, name, length):
    pts = (0, 33, 67, 167, 168, 900)
    write(tmp_path, timeline(pts), length=length)
    assert earliest(tmp_path / name)[0] == [Fraction(t, 1000) for t in pts]
    with av.open(str(tmp_path / name)) as container:
        assert container.duration == pytest.approx(940_000, abs=1000)  # the last one stays 40 ms


def test_a_mask_video_starts_when_its_source_does(tmp_path):
    write(tmp_path, timeline((1480, 1520), origin=1400))
    assert earliest(tmp_path / "masks.mkv")[0] == [Fraction(148, 100), Fraction(152, 100)]
    assert earliest(tmp_path / "overlay.mp4")[0] == [Fraction(8, 100), Fraction(12, 100)]


def test_timestamps_before_zero_are_moved_to_zero(tmp_path):
    write(tmp_path, timeline((-80, -40, 20), origin=-80), ("ffv1",))
    assert earliest(tmp_path / "masks.mkv")[0] == [0, Fraction(4, 100), Fraction(10, 100)]


@pytest.mark.parametrize("length", [3, 10])
@pytest.mark.parametrize(("largest", "pixels"), [(255, "gray"), (65535, "gray16le")])
def test_no_label_is_lost_in_the_mask_video(tmp_path, largest, pixels, length):
    line = timeline(range(0, 400, 40))
    write(tmp_path, line, ("ffv1",), largest=largest, length=length)
    with av.open(str(tmp_path / "masks.mkv")) as container:
        for t, frame in enumerate(container.decode(video=0)):
            grey = frame.to_ndarray()
            assert frame.format.name == pixels
            assert grey[-1, -1] == largest
            assert (grey.ravel()[:-1] == t).all()
        assert t == 9


@pytest.mark.parametrize("length", [1, 2, 3])
def test_png_numbers_count_source_frames(tmp_path, length):
    write(tmp_path, timeline((0, 40, 80)), ("png",), length=length)
    files = sorted((tmp_path / "masks").iterdir())
    assert [file.name for file in files] == ["00000.png", "00001.png", "00002.png"]
    with Image.open(files[2]) as picture:
        assert picture.mode == "P"
        assert np.asarray(picture)[0, 0] == 2


@pytest.mark.parametrize(
    "size", [(33, 1), (1, 33), (1, 1), (3, 5), (2, 900), (481, 1), (1081, 1919)]
)
def test_pictures_of_any_size_can_be_written(tmp_path, size):
    write(tmp_path, timeline((0, 40), size))
    with av.open(str(tmp_path / "masks.mkv")) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width) == size
    with av.open(str(tmp_path / "overlay.mp4")) as container:  # H.264 wants even sides
        stream = container.streams.video[0]
        assert (stream.height, stream.width) == (size[0] + size[0] % 2, size[1] + size[1] % 2)


def test_the_preview_can_play_before_it_is_loaded(tmp_path):
    content = (write(tmp_path, timeline((0, 40))) / "overlay.mp4").read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")


def test_the_same_frames_give_the_same_bytes(tmp_path):
    line = timeline((0, 40, 80))
    names = ("masks.mkv", "overlay.mp4")
    once = [(write(tmp_path, line) / name).read_bytes() for name in names]
    again = [(write(tmp_path, line) / name).read_bytes() for name in names]
    assert once == again


def test_the_preview_keeps_the_shape_of_pixels(tmp_path):
    write(tmp_path, timeline((0, 40), aspect=(4, 3)), ("overlay",))
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_parts_show_the_same_pictures_as_the_whole(tmp_path):
    line, noise = timeline(range(0, 400, 40), (48, 64)), np.random.default_rng(0)
    pictures = noise.integers(0, 255, (10, 48, 64, 3), np.uint8)
    labels = noise.integers(0, 9, (10, 48, 64), np.uint8)
    shown = []
    for length in (4, 10):
        folder = tmp_path / str(length)
        folder.mkdir()
        settings = ResultSettings(formats=("overlay",))
        write_all(
            folder, result_clip(line), zip(labels, pictures, strict=True), settings, length=length
        )
        with av.open(str(folder / "overlay.mp4")) as container:
            shown.append([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    apart = np.abs(np.asarray(shown[0], int) - np.asarray(shown[1], int))
    assert apart.mean() < 3  # H.264 begins anew with each part


def test_an_error_leaves_nothing_and_keeps_what_was_there(tmp_path):
    (tmp_path / "masks.mkv").write_bytes(b"of an earlier run")
    (writer,) = build_results(result_clip(timeline((0, 40))), ResultSettings(formats=("ffv1",)))
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "masks.mkv").write_bytes(b"not a video")
    with pytest.raises(av.FFmpegError):
        writer.join([tmp_path / "part"], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks.mkv", "part"]
    assert (tmp_path / "masks.mkv").read_bytes() == b"of an earlier run"


@pytest.mark.parametrize("links", [True, False])
def test_what_was_joined_can_be_joined_again(tmp_path, monkeypatch, links):
    """As after a join that was broken off once the masks were there."""

    def no_links(*paths):
        raise PermissionError("this file system has none")

    if not links:
        monkeypatch.setattr("stages.media.results.result.os.link", no_links)
    clip = result_clip(timeline((0, 40), (8, 8)))
    (result_writer,) = build_results(clip, ResultSettings(formats=("png",)))
    for first in (0, 1):
        (tmp_path / f"part-{first}").mkdir()
        labels, picture = np.full((8, 8), 1 + first, np.uint8), np.zeros((8, 8, 3), np.uint8)
        with result_writer.part(tmp_path / f"part-{first}") as writer:
            writer.write(result_frame(clip, first, labels, picture))
    parts = [tmp_path / "part-0", tmp_path / "part-1"]
    for _ in range(2):
        result_writer.join(parts, tmp_path)
        actual = [read_labels(path).max() for path in sorted((tmp_path / "masks").iterdir())]
        assert actual == [1, 2]


def test_what_an_interrupted_run_left_is_cleared_away(tmp_path):
    (tmp_path / ".draft-masks").mkdir()
    (tmp_path / ".draft-masks" / "00007.png").touch()
    write(tmp_path, timeline((0,)), ("png",))
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["00000.png"]


def sounding(path, codec, line, first_sound_s=0):
    """Write grey pictures at the times of `line` and a second of tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        video.codec_context.time_base = Fraction(1, 25)
        audio = container.add_stream(codec, rate=48000)
        for pts in line:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")
            frame.pts, frame.time_base = pts, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        tone = (np.sin(np.arange(48000) / 20) * 9000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate, frame.time_base = 48000, Fraction(1, 48000)
        frame.pts = first_sound_s * 48000
        resampler = av.AudioResampler(audio.format.name, "mono", 48000, audio.frame_size or None)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(audio.encode(part))
        container.mux(audio.encode(None))
    return path


@pytest.mark.parametrize(("codec", "kept"), [("aac", "aac"), ("pcm_s16le", "aac")])
def test_sound_that_players_do_not_take_is_recoded(tmp_path, codec, kept):
    source = sounding(tmp_path / "source.mkv", codec, range(25))
    line = probe(source)
    assert line.audio == codec
    write(tmp_path, line, ("overlay",), source)
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        (sound,) = container.streams.audio
        assert sound.codec_context.name == kept
        loud = np.concatenate([f.to_ndarray().ravel() for f in container.decode(sound)])
    assert np.abs(loud).max() > 0.1


@pytest.mark.parametrize(("picture", "sound"), [(10, 0), (0, 1), (50, 2)])
def test_picture_and_sound_stay_together(tmp_path, picture, sound):
    source = sounding(tmp_path / "source.mkv", "aac", range(picture, picture + 25), sound)
    write(tmp_path, probe(source), ("overlay",), source)
    (before, *_), sound_before = earliest(source)
    (after, *_), sound_after = earliest(tmp_path / "overlay.mp4")
    assert float((before - sound_before) - (after - sound_after)) == pytest.approx(0, abs=0.002)


def test_sound_that_cannot_be_read_costs_only_the_sound(tmp_path, caplog):
    source = tmp_path / "broken.mkv"
    source.write_bytes(b"was a video when it was probed")
    with caplog.at_level(logging.WARNING):
        write(tmp_path, timeline((0, 40), audio="aac"), ("overlay",), source)
    assert "broken.mkv: written without sound" in caplog.text
    assert len(earliest(tmp_path / "overlay.mp4")[0]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.mkv", "overlay.mp4"]


@pytest.mark.parametrize("length", [40, 10**9])
@pytest.mark.parametrize("name", ["kitten-vfr-audio.mp4", "pancake-audio.mkv"])
def test_a_real_preview_keeps_times_and_sound(data, tmp_path, name, length):
    source = data / "videos" / name
    line = probe(source)
    labels = np.zeros(line.size, np.uint16)
    frames = ((labels, picture) for picture in read_frames(source, line))
    settings = ResultSettings(formats=("overlay",))
    write_all(tmp_path, result_clip(line, source), frames, settings, length=length)
    (times, sound), (stored, heard) = earliest(tmp_path / "overlay.mp4"), earliest(source)
    assert times == stored
    assert float(sound) == pytest.approx(float(heard), abs=0.002)
