"""What videos keep of their source: every sound stream, timecode, colour tags, a cut's sound."""

from fractions import Fraction
from itertools import islice

import av
import numpy as np
import pytest

from stages.media.footage.tags import source_tags
from stages.media.footage.timeline import probe
from stages.media.footage.video import read_frames
from stages.media.results.result import ResultClip, select_frames
from stages.media.results.settings import ResultSettings
from tests.support.result_files import write_all

RATE, FRAMES = 25, 30


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A QuickTime file with three sounds (AAC, ALAC, PCM), a timecode and HLG colours."""
    path = tmp_path_factory.mktemp("kept") / "source.mov"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.metadata["timecode"] = "01:00:00:00"
        context = video.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 9, 18, 9
        sounds = [container.add_stream(name, rate=48000) for name in ("aac", "alac", "pcm_s16le")]
        for t in range(FRAMES):
            picture = np.full((48, 64, 3), (40 + 3 * t, 90, 200), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = t, Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for k, sound in enumerate(sounds):
            tone = np.sin(np.arange(48000 * FRAMES // RATE) / (10 + 5 * k)) * 9000
            frame = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
            resampler = av.AudioResampler(
                sound.format.name, sound.layout.name, 48000, sound.frame_size or None
            )
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(sound.encode(part))
            container.mux(sound.encode(None))
    return path


def written(folder, source, name, start=0, stop=FRAMES):
    line = select_frames(probe(source), start, stop)
    clip = ResultClip("clip", source, line, {1: "all"}, start)
    pictures = islice(read_frames(source, probe(source)), start, stop)
    frames = ((np.ones(line.size, np.uint16), picture) for picture in pictures)
    write_all(folder, clip, frames, ResultSettings(formats=(name,)), length=12)
    (path,) = folder.iterdir()
    return path


def test_the_tags_of_a_source_are_known(source):
    tags = source_tags(source)
    assert (tags.primaries, tags.transfer, tags.matrix) == (9, 18, 9)
    assert tags.timecode == "01:00:00:00"
    assert tags.sounds == ("aac", "alac", "pcm_s16le")


@pytest.mark.parametrize(
    ("name", "codecs", "timecode"),
    [
        ("overlay", ["aac", "alac", "aac"], "01:00:00:00"),
        ("prores", ["aac", "alac", "pcm_s16le"], "01:00:00:00"),
        ("webm", ["opus", "opus", "opus"], None),
    ],
)
def test_every_sound_the_timecode_and_the_colours_are_kept(
    tmp_path, source, name, codecs, timecode
):
    with av.open(str(written(tmp_path, source, name))) as container:
        video = container.streams.video[0]
        assert [sound.codec_context.name for sound in container.streams.audio] == codecs
        assert video.metadata.get("timecode") == timecode
        context = video.codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace) == (9, 18, 9)


@pytest.mark.parametrize("name", ["overlay", "prores", "webm"])
def test_a_cut_has_the_sound_of_its_frames_alone(tmp_path, source, name):
    with av.open(str(written(tmp_path, source, name, 10, 20))) as container:
        video = container.streams.video[0]
        times = [p.pts * p.time_base for p in container.demux(video) if p.pts is not None]
        assert float(min(times)) == pytest.approx(0, abs=0.002)
        assert len(times) == 10
        assert container.duration / 1e6 == pytest.approx(0.4, abs=0.1)
        assert "timecode" not in video.metadata
