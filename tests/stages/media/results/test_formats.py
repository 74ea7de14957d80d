"""Every format, written in parts and read back by another library: pixels, times, alpha, names."""

from fractions import Fraction

import av
import cv2
import numpy as np
import OpenEXR
import pytest
import skimage.data
from PIL import Image

from pipeline.errors import InputError
from stages.media.footage.timeline import Timeline
from stages.media.masks.contract import FootageFacts
from stages.media.masks.open import open_masks
from stages.media.results.registry import build_results
from stages.media.results.result import WriteError, select_frames
from stages.media.results.settings import ResultSettings
from stages.ops.trimap import trimap
from tests.support.result_files import result_clip, write_all

SIZE = (49, 65)
PTS = (0, 33, 67, 167, 200)
CLASSES = {3: "person", 7: "a/b: c"}


def timeline(size=SIZE, **more):
    return Timeline(len(PTS), PTS, (1, 1000), 40, 25.0, size, **more)


def scenes(size=SIZE):
    """Return labels, picture and alpha of every frame: two soft discs over a photograph."""
    photograph = cv2.resize(skimage.data.astronaut(), size[::-1], interpolation=cv2.INTER_AREA)
    y, x = np.mgrid[: size[0], : size[1]]
    for t in range(len(PTS)):
        away = np.stack([np.hypot(x - c - t, y - 24) for c in (16, 44)], axis=-1)
        alpha = np.clip((12.5 - away) / 6, 0, 1).astype(np.float32)
        labels = np.where(alpha[..., 0] > 0.5, 3, np.where(alpha[..., 1] > 0.5, 7, 0))
        yield labels.astype(np.uint16), photograph, alpha


def written(folder, name, *, line=None, length=2, classes=CLASSES, **settings):
    line = line or timeline()
    clip = result_clip(line, classes=classes)
    return write_all(
        folder, clip, scenes(line.size), ResultSettings(formats=(name,), **settings), length=length
    )


def psnr(a, b):
    return 10 * np.log10(255**2 / max(((a.astype(float) - b) ** 2).mean(), 1e-9))


@pytest.mark.parametrize(
    ("name", "top", "kind"), [("matte", 255, np.uint8), ("matte16", 65535, np.uint16)]
)
def test_a_matte_is_the_alpha_of_all_classes_and_of_each_by_name(tmp_path, name, top, kind):
    written(tmp_path, name)
    for t, (_, _, alpha) in enumerate(scenes()):
        for folder, wanted in (
            ("", alpha.sum(axis=-1)), ("person", alpha[..., 0]), ("a_b_ c", alpha[..., 1]),
        ):  # fmt: skip
            grey = cv2.imread(str(tmp_path / name / folder / f"{t:05d}.png"), cv2.IMREAD_UNCHANGED)
            assert grey.dtype == kind
            assert np.abs(grey / top - wanted).max() <= 0.5001 / top + 1e-6


@pytest.mark.parametrize(("name", "suffix"), [("rgba", "png"), ("tiff", "tif")])
def test_a_cut_out_keeps_the_colours_and_has_the_alpha(tmp_path, name, suffix):
    written(tmp_path, name)
    for t, (_, picture, alpha) in enumerate(scenes()):
        with Image.open(tmp_path / name / f"{t:05d}.{suffix}") as stored:
            rgba = np.asarray(stored)
        np.testing.assert_array_equal(rgba[..., :3], picture)
        assert np.abs(rgba[..., 3] / 255 - alpha.sum(axis=-1)).max() <= 0.5001 / 255 + 1e-6


def test_exr_has_a_half_float_layer_for_each_class(tmp_path):
    written(tmp_path, "exr", line=timeline(aspect=(4, 3)))
    for t, (_, _, alpha) in enumerate(scenes()):
        with OpenEXR.File(str(tmp_path / "exr" / f"{t:05d}.exr"), separate_channels=True) as file:
            channels = {name: channel.pixels for name, channel in file.channels().items()}
            assert file.header()["pixelAspectRatio"] == pytest.approx(4 / 3)
        assert set(channels) == {"A", "person.A", "a_b_c.A"}
        assert channels["person.A"].dtype == np.float16
        assert np.abs(channels["person.A"] - alpha[..., 0]).max() < 1e-3


@pytest.mark.parametrize("size", [SIZE, (48, 64)])
def test_prores_has_the_picture_the_alpha_and_the_times(tmp_path, size):
    written(tmp_path, "prores", line=timeline(size))
    with av.open(str(tmp_path / "prores.mov")) as container:
        frames = list(container.decode(video=0))
        assert container.streams.video[0].codec_context.codec_tag == "ap4h"
    assert [f.pts * f.time_base for f in frames] == [Fraction(t, 1000) for t in PTS]
    for frame, (_, picture, alpha) in zip(frames, scenes(size), strict=True):
        rgba = frame.reformat(format="rgba", threads=1).to_ndarray()
        assert psnr(rgba[..., :3], picture) > 38  # a photograph shrunk to noise
        assert psnr(rgba[..., 3], 255 * alpha.sum(axis=-1)) > 55


def test_prores_of_any_width_is_the_same_bytes_each_time(tmp_path):
    videos = set()
    for _ in range(12):
        written(tmp_path, "prores")
        videos.add((tmp_path / "prores.mov").read_bytes())
        (tmp_path / "prores.mov").unlink()
    assert len(videos) == 1


def vp9_frames(path):
    """Decode WebM by libvpx, which reads the alpha; FFmpeg's own decoder does not."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = av.codec.CodecContext.create("libvpx-vp9", "r")
        return [frame for packet in container.demux(stream) for frame in decoder.decode(packet)]


def test_webm_has_the_picture_the_alpha_and_the_times(tmp_path):
    written(tmp_path, "webm")
    frames = vp9_frames(tmp_path / "webm.webm")
    assert [f.pts for f in frames] == list(PTS)
    for frame, (_, picture, alpha) in zip(frames, scenes(), strict=True):
        assert frame.format.name == "yuva420p"
        rgba = frame.reformat(format="rgba").to_ndarray()
        assert psnr(rgba[..., 3], 255 * alpha.sum(axis=-1)) > 40
        assert psnr(rgba[..., :3].mean(axis=-1), picture.mean(axis=-1)) > 30


def test_names_follow_the_template_and_the_numbers_of_the_source(tmp_path):
    names = tuple(f"shot.{1001 + t}.png" for t in range(len(PTS)))
    template = "plates/{clip}_{class}.{frame:04d}.png"
    written(tmp_path, "matte", line=timeline(names=names), templates={"matte": template})
    stored = sorted(path.name for path in (tmp_path / "plates").iterdir())
    assert stored[0] == "clip_a_b_ c.1001.png"
    assert len(stored) == 3 * len(PTS)
    assert stored[-1] == "clip_person.1005.png"


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ({"matte": "matte/{clip}.png"}, "would both be 'clip.png'"),
        ({"matte": "masks/{index}.png"}, "matte and png would both be 'masks'"),
        ({"prores": "{frame}.mov"}, "{frame} means nothing here"),
    ],
)
def test_names_that_collide_are_refused_before_anything_is_written(tmp_path, templates, message):
    settings = ResultSettings(formats=("matte", "png", "prores"), templates=templates)
    with pytest.raises(InputError, match=r"export\.templates") as refused:
        [result.name for result in build_results(result_clip(timeline()), settings)]
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "template",
    ["{frames}.png", "../{frame}.png", "/etc/{frame}", "{frame", "a/../../{frame}", ".a/{frame}"],
)
def test_templates_that_lead_elsewhere_are_refused(template):
    with pytest.raises(ValueError, match="template"):
        ResultSettings(templates={"png": template})


def test_classes_of_one_name_are_told_apart(tmp_path):
    written(tmp_path, "matte", classes={3: "dog", 7: "Dog"})
    assert {p.name for p in (tmp_path / "matte").iterdir() if p.is_dir()} == {"dog_3", "Dog_7"}


def test_an_encoder_that_is_missing_is_named_with_the_alternative(monkeypatch):
    monkeypatch.setattr("stages.media.results.alpha_video.ProRes.codec", "prores_of_tomorrow")
    with pytest.raises(InputError, match=r"prores_of_tomorrow.*choose rgba or webm"):
        build_results(result_clip(timeline()), ResultSettings(formats=("prores",)))


FOLDERS = ("png", "matte", "matte16", "rgba", "tiff", "exr", "yolo", "frames")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_frame_that_was_not_written_is_noticed(tmp_path, name):
    clip = result_clip(timeline(), classes=CLASSES)
    (result,) = build_results(clip, ResultSettings(formats=(name,)))
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / result.name).mkdir()
    with pytest.raises(WriteError, match="was not written"):
        result.join([tmp_path / "part"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


@pytest.mark.parametrize("name", ["ffv1", "overlay", "prores", "webm"])
def test_a_video_that_lacks_frames_is_noticed(tmp_path, name):
    written(tmp_path, name)
    (tmp_path / "part").mkdir()
    line = timeline()
    longer = Timeline(6, (*PTS, 240), (1, 1000), 40, 25.0, line.size)
    (result,) = build_results(result_clip(line, classes=CLASSES), ResultSettings(formats=(name,)))
    stored = tmp_path / result.name
    result.check(stored)
    (other,) = build_results(result_clip(longer, classes=CLASSES), ResultSettings(formats=(name,)))
    with pytest.raises(WriteError, match="expected 6 frames, got 5"):
        other.check(stored)


def test_a_cut_of_the_timeline_begins_with_its_first_frame():
    line = select_frames(timeline(), 2, 4)
    assert (line.frames, line.pts, line.origin, line.last_duration) == (2, (67, 167), 67, 33)


@pytest.mark.parametrize("length", [2, 5])
def test_the_matte_video_is_the_alpha_in_16_bits(tmp_path, length):
    written(tmp_path, "matte_video", length=length)
    with av.open(str(tmp_path / "matte.mkv")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "gray16le"
        pictures = [frame.to_ndarray() for frame in container.decode(video=0)]
    for picture, (_, _, alpha) in zip(pictures, scenes(), strict=True):
        wanted = np.minimum(alpha.sum(axis=-1), 1) * 65535
        np.testing.assert_allclose(picture, wanted, atol=1)


def test_trimaps_are_of_all_classes_and_of_each(tmp_path):
    written(tmp_path, "trimap")
    for t, (_, _, alpha) in enumerate(scenes()):
        for folder, wanted in (("", alpha.sum(axis=-1)), ("person", alpha[..., 0])):
            values = np.asarray(Image.open(tmp_path / "trimap" / folder / f"{t:05d}.png"))
            np.testing.assert_array_equal(values, trimap(np.minimum(wanted, 1)))


def test_masks_of_our_own_layers_and_mattes_are_read_back(tmp_path):
    """What is written is read by the readers of masks to the same values."""
    for name, path in (("exr", "exr"), ("matte_video", "matte.mkv")):
        folder = tmp_path / name
        folder.mkdir()
        written(folder, name)
        masks = open_masks(folder / path, FootageFacts("clip", len(PTS), SIZE))
        for soft, (_, _, alpha) in zip(masks, scenes(), strict=True):
            if name == "exr":
                order = [list(masks.legend.names.values()).index(k) for k in ("person", "a_b_c")]
                np.testing.assert_allclose(soft[order], np.moveaxis(alpha, -1, 0), atol=1e-3)
            else:
                np.testing.assert_allclose(soft[0], alpha.sum(axis=-1).clip(0, 1), atol=1e-4)
