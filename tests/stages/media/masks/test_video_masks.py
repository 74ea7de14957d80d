"""Masks in a video."""

import av
import numpy as np
import pytest

from pipeline.errors import InputError
from stages.media.masks.palette import palette
from tests.support.mask_samples import labels, opened, read

BIG = (96, 128)


def video(path, frames, codec="ffv1", pixels="gray", **options):
    """Write grey frames (H, W) or colours (H, W, 3)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        deep = "gray16le" if frames[0].dtype == np.uint16 else "gray"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24" if frame.ndim == 3 else deep)
            container.mux(stream.encode(picture.reformat(format=pixels)))
        container.mux(stream.encode(None))
    return path


def enlarged(*values):
    """Return label maps large enough for a lossy codec."""
    return labels(*values).astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)


def lossy(path, frames):
    return video(path, frames, "libx264", "yuv420p", crf="40")


def test_labels_in_a_lossless_video_come_back_exactly(tmp_path):
    clip = labels(1, 7, 63).astype(np.uint8)
    path = video(tmp_path / "clip.mkv", clip)
    assert opened(path).legend.classes == (1, 7, 63)
    np.testing.assert_array_equal(read(path), clip)


def test_a_lossless_video_may_hold_soft_masks(tmp_path):
    path = video(tmp_path / "clip.mkv", labels(100, 200).astype(np.uint8))
    assert opened(path).legend.kind == "soft"
    np.testing.assert_allclose(read(path)[:, 0], labels(100, 200) / 255, atol=1e-6)


def test_a_lossy_mask_video_is_cut_at_half_height_and_says_so(tmp_path):
    path = lossy(tmp_path / "clip.mp4", enlarged(255))
    found = opened(path, size=BIG)
    assert any("cut at half height" in warning for warning in found.warnings)
    assert found.legend.classes == (1,)
    assert (np.stack(list(found)) != (enlarged(255) > 0)).mean() < 0.01


def test_labels_in_a_lossy_video_are_refused_unless_they_are_vouched_for(tmp_path):
    path = lossy(tmp_path / "clip.mp4", enlarged(20, 40))
    with pytest.raises(InputError, match=r"clip\.mp4: expected black and white .*\(h264\)"):
        opened(path, size=BIG)
    assert opened(path, size=BIG, kind="labels").legend.kind == "labels"


def test_a_colour_coded_mask_video_is_refused(tmp_path):
    path = video(tmp_path / "clip.mkv", palette()[labels(1, 2)], pixels="bgr0")
    with pytest.raises(InputError, match=r"clip\.mkv: expected a grey video, got colours"):
        opened(path)


def test_a_video_of_more_than_8_bits_is_refused(tmp_path):
    path = video(tmp_path / "clip.mkv", labels(300), pixels="gray16le")
    with pytest.raises(InputError, match=r"clip\.mkv: expected 8 bits a value, got gray16le"):
        opened(path)


def test_a_mask_video_of_another_length_or_size_is_refused(tmp_path):
    path = video(tmp_path / "clip.mkv", labels(1).astype(np.uint8))
    with pytest.raises(InputError, match="expected 5 frames like the footage, got 4"):
        opened(path, frames=5)
    with pytest.raises(InputError, match="expected 16x13 like the footage, got 16x12"):
        opened(path, size=(13, 16))
