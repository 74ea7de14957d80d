"""Videos whose frames last differently long, several streams, and streams without a container."""

import subprocess

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import InputError
from pipeline.stage import Clip
from stages.import_masks import MaskClasses
from stages.ingest import Probe
from stages.media.footage.clip_listing import find_clips
from stages.media.footage.extraction import extracted_count, extraction_note
from stages.media.footage.ffmpeg import ffmpeg_path
from stages.media.footage.timeline import probe
from stages.media.footage.video import read_frames
from tests.stages.media.footage.test_video import write_video


def pictures_of(video, folder):
    """Take pictures out of a video as people do."""
    folder.mkdir()
    subprocess.run([ffmpeg_path(), "-v", "error", "-i", video, folder / "%05d.png"], check=True)
    return len(list(folder.iterdir()))


@pytest.mark.parametrize("steps", [[1, 1, 3, 1, 2, 1, 1, 4, 1], [2, 1, 1, 1, 1, 1, 6, 1, 1]])
def test_the_count_that_plain_ffmpeg_writes_is_foretold(tmp_path, steps):
    pts = np.cumsum([0, *steps]).tolist()
    video = write_video(tmp_path / "clip.mkv", len(pts), pts=pts)
    count = extracted_count(probe(video))
    assert count is not None
    assert abs(count - pictures_of(video, tmp_path / "frames")) <= 1


def test_a_constant_rate_has_nothing_to_say(tmp_path):
    assert extraction_note(probe(write_video(tmp_path / "clip.mp4", 10))) == ""


def test_masks_of_extracted_frames_are_refused_with_the_reason(tmp_path):
    pts = np.cumsum([0, 1, 1, 3, 1, 2, 1, 1, 4, 1]).tolist()
    video = write_video(tmp_path / "clip.mkv", len(pts), pts=pts)
    count = pictures_of(video, tmp_path / "clip")
    for path in (tmp_path / "clip").iterdir():
        Image.new("L", (64, 48)).save(path)
    clip = Clip("clip", {"footage": video, "masks": tmp_path / "clip"})
    facts = Probe().run(clip, {}, (0, -1), print)
    with pytest.raises(InputError, match=rf"got {count}.*last differently long: it has 10, and"):
        MaskClasses().run(clip, facts, (0, -1), print)


def test_of_several_video_streams_the_one_that_is_read_is_named(tmp_path):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=24) for _ in range(2)]
        for k, stream in enumerate(streams):
            stream.width, stream.height, stream.pix_fmt = 64 + 32 * k, 48, "yuv420p"
        for stream in streams:
            for _ in range(3):
                grey = np.full((stream.height, stream.width, 3), 90, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
            container.mux(stream.encode(None))
    line = probe(path)
    assert line.size == (48, 64)
    assert line.notes == (
        "2 video streams in it (64x48 h264, 96x48 h264): number 1 is read, no other",
    )


@pytest.mark.parametrize("suffix", [".h264", ".264"])
def test_a_stream_without_a_container_is_a_clip(tmp_path, suffix):
    video = write_video(tmp_path / "clip.mp4", 7)
    raw = tmp_path / "raw" / f"clip{suffix}"
    raw.parent.mkdir()
    command = [ffmpeg_path(), "-v", "error", "-i", video, "-c", "copy", "-f", "h264", raw]
    subprocess.run(command, check=True)
    assert set(find_clips(raw.parent).clips) == {"clip"}
    line = probe(raw)
    assert line.frames == 7
    assert len(list(read_frames(raw, line))) == 7


def test_a_gif_is_a_clip(tmp_path):
    images = [Image.new("RGB", (32, 24), (40 * t, 0, 0)) for t in range(5)]
    images[0].save(tmp_path / "clip.gif", save_all=True, append_images=images[1:], duration=40)
    assert set(find_clips(tmp_path).clips) == {"clip"}
    assert probe(tmp_path / "clip.gif").frames == 5
