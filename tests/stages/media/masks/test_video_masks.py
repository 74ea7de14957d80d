"""Masks in a video."""

import av
import numpy as np
import pytest

from pipeline.errors import InputError
from stages.media.masks.palette import palette
from tests.support.mask_samples import blurred, discs, labels, opened, read

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
    soft = np.stack([blurred(mask) for mask in discs()])
    path = video(tmp_path / "clip.mkv", soft)
    how = {"frames": len(soft), "size": soft.shape[1:]}
    assert opened(path, **how).legend.kind == "soft"
    np.testing.assert_allclose(read(path, **how)[:, 0], soft / 255, atol=1e-6)


def test_a_lossy_mask_video_is_cut_at_half_height_and_says_so(tmp_path):
    path = lossy(tmp_path / "clip.mp4", enlarged(255))
    actual = opened(path, size=BIG)
    assert any("cut at half height" in warning for warning in actual.warnings)
    assert actual.legend.classes == (1,)
    assert (np.stack(list(actual)) != (enlarged(255) > 0)).mean() < 0.01


def test_labels_in_a_lossy_video_are_refused_unless_they_are_vouched_for(tmp_path):
    path = lossy(tmp_path / "clip.mp4", enlarged(20, 40))
    with pytest.raises(InputError, match=r"clip\.mp4: expected black and white"):
        opened(path, size=BIG)
    assert opened(path, size=BIG, kind="labels").legend.kind == "labels"


def test_a_colour_coded_mask_video_has_classes_by_colour(tmp_path):
    path = video(tmp_path / "clip.mkv", palette()[labels(1, 2)], pixels="bgr0")
    np.testing.assert_array_equal(read(path), labels(1, 2))


def test_labels_over_255_in_a_video_come_back_exactly(tmp_path):
    path = video(tmp_path / "clip.mkv", labels(3, 300), pixels="gray16le")
    np.testing.assert_array_equal(read(path), labels(3, 300))


@pytest.mark.parametrize("missing", ["hold", "empty"])
def test_a_mask_video_may_end_a_little_early(tmp_path, missing):
    path = video(tmp_path / "clip.mkv", labels(1).astype(np.uint8)[:3])
    with pytest.raises(InputError, match=r"expected 4 frames .*, got 3: .*segment\.missing"):
        opened(path)
    masks = read(path, missing=missing)
    np.testing.assert_array_equal(masks[:3], labels(1)[:3])
    np.testing.assert_array_equal(masks[3], labels(1)[2] if missing == "hold" else 0 * masks[3])
    assert "ends 1 frames early" in opened(path, missing=missing).warnings[0]


def test_a_mask_video_may_be_a_little_longer(tmp_path):
    path = video(tmp_path / "clip.mkv", labels(1).astype(np.uint8))
    np.testing.assert_array_equal(read(path, frames=3, missing="hold"), labels(1)[:3])


def with_alpha(masks):
    """Return pictures whose colours say nothing of the masks, which are their alpha."""
    picture = np.random.default_rng(0).integers(0, 255, (*masks[0].shape, 3), np.uint8)
    return [np.dstack([picture, mask * np.uint8(255)]) for mask in masks]


@pytest.mark.parametrize(
    ("suffix", "codec", "pixels"),
    [
        (".mov", "png", "rgba"),
        (".mov", "prores_ks", "yuva444p10le"),
        (".webm", "libvpx-vp9", "yuva420p"),
        (".mov", "qtrle", "argb"),
    ],
)
def test_the_mask_of_a_video_with_alpha_is_its_alpha(tmp_path, suffix, codec, pixels):
    clip = discs(size=(64, 96))
    path = tmp_path / f"clip{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.height, stream.width, stream.pix_fmt = 64, 96, pixels
        if codec == "prores_ks":
            stream.options = {"profile": "4444", "alpha_bits": "16"}
        if codec == "libvpx-vp9":
            stream.options = {"crf": "10", "b": "0"}
            stream.metadata["alpha_mode"] = "1"
        for frame in with_alpha(clip):
            picture = av.VideoFrame.from_ndarray(frame, format="rgba").reformat(format=pixels)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    masks = opened(path, frames=len(clip), size=(64, 96))
    out = np.stack(list(masks))
    inside = (out[:, 0] > 0.5) if masks.legend.kind == "soft" else out > 0
    assert (inside != clip).mean() < 0.005


@pytest.mark.parametrize(
    ("codec", "pixels", "deep"),
    [("prores_ks", "yuv422p10le", False), ("libx265", "yuv420p10le", False),
     ("ffv1", "gray10le", True), ("ffv1", "gray16le", True)],
)  # fmt: skip
def test_mattes_of_10_bits_and_more_keep_their_shape(tmp_path, codec, pixels, deep):
    soft = np.stack([blurred(mask) for mask in discs(size=(64, 96))])
    frames = soft.astype(np.uint16) * 257 if deep else soft
    path = video(tmp_path / "clip.mov" if codec == "prores_ks" else tmp_path / "clip.mkv",
                 frames, codec, pixels)  # fmt: skip
    masks = opened(path, frames=len(soft), size=(64, 96))
    out = np.stack(list(masks))
    inside = (out[:, 0] > 0.5) if masks.legend.kind == "soft" else out > 0
    assert (inside != (soft > 127)).mean() < 0.01


def test_greys_of_limited_range_are_black_and_white(tmp_path):
    clip = np.where(discs(), 235, 16).astype(np.uint8)
    path = video(tmp_path / "clip.mkv", clip)
    how = {"frames": len(clip), "size": clip.shape[1:]}
    np.testing.assert_array_equal(read(path, **how), discs())


def test_areas_of_grey_in_a_lossy_video_are_asked_for(tmp_path):
    clip = enlarged(85, 170, 255)
    with pytest.raises(InputError, match=r"areas between black and white: set segment\.kind"):
        opened(lossy(tmp_path / "clip.mp4", clip), size=BIG)


def test_a_mask_video_of_another_length_or_size_is_refused(tmp_path):
    path = video(tmp_path / "clip.mkv", labels(1).astype(np.uint8))
    with pytest.raises(InputError, match="expected 5 frames like the footage, got 4"):
        opened(path, frames=5)
    with pytest.raises(InputError, match="expected 16x13 like the footage, got 16x12"):
        opened(path, size=(13, 16))
