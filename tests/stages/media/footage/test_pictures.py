"""Pictures of all kinds: their size before they are decoded, their pixels, which way is up."""

import subprocess

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import InputError
from stages.media.footage.ffmpeg import ffmpeg_path
from stages.media.footage.pictures import SIDEWAYS, decode, encode_srgb, read_header, turned
from stages.media.footage.timeline import content_digest, probe
from stages.media.footage.video import read_frames

RNG = np.random.default_rng(5)
PICTURE = cv2.resize(RNG.integers(0, 256, (6, 8, 3), np.uint8), (64, 48))


def by_ffmpeg(path, picture=PICTURE, pix_fmt="rgb24"):
    rows, columns = picture.shape[:2]
    subprocess.run(
        [
            *(ffmpeg_path(), "-v", "error", "-f", "rawvideo", "-pix_fmt", pix_fmt),
            *("-s", f"{columns}x{rows}", "-i", "-", "-frames:v", "1", str(path)),
        ],
        input=picture.tobytes(),
        check=True,
    )
    return path


def write(path):
    if path.suffix == ".dpx":
        return by_ffmpeg(path)
    if path.suffix == ".exr":
        coded = PICTURE[..., [1, 2, 0]].astype(np.float32) / 255
        linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
        planes = np.ascontiguousarray(linear.astype(np.float32).transpose(2, 0, 1))
        return by_ffmpeg_planes(path, planes)
    Image.fromarray(PICTURE).save(path, **({"lossless": True} if path.suffix == ".webp" else {}))
    return path


def by_ffmpeg_planes(path, planes):
    rows, columns = planes.shape[1:]
    command = [
        *(ffmpeg_path(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "gbrpf32le"),
        *("-s", f"{columns}x{rows}", "-i", "-", "-frames:v", "1", str(path)),
    ]
    subprocess.run(command, input=planes.tobytes(), check=True)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".webp", ".exr", ".dpx"])
def test_pictures_come_out_as_they_went_in(tmp_path, suffix):
    path = write(tmp_path / f"0{suffix}")
    with path.open("rb") as source:
        assert read_header(path, source).stored == PICTURE.shape[:2]
    np.testing.assert_array_equal(decode(path), PICTURE)


def test_linear_light_is_encoded_as_the_standard_says():
    light = np.array([0, 0.0031308, 0.214041, 1, 7, -1, np.nan], np.float32)
    assert encode_srgb(light).tolist() == [0, 10, 127, 255, 255, 0, 0]


@pytest.mark.parametrize("suffix", [".exr", ".dpx"])
def test_damaged_pictures_that_ffmpeg_decodes_are_holes(tmp_path, suffix):
    files = [write(tmp_path / f"{k}{suffix}") for k in range(3)]
    files[1].write_bytes(files[1].read_bytes()[:900])
    frames = read_frames(tmp_path, probe(tmp_path))
    assert len(list(frames)) == 3
    assert frames.holes == [1]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_pictures_are_shown_as_opencv_and_viewers_turn_them(tmp_path, suffix, orientation):
    picture = Image.fromarray(PICTURE)
    exif = picture.getexif()
    exif[0x112] = orientation
    path = tmp_path / f"0{suffix}"
    picture.save(path, exif=exif)
    np.testing.assert_array_equal(decode(path), cv2.imread(str(path), cv2.IMREAD_COLOR_RGB))
    raw = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    np.testing.assert_array_equal(decode(path, orientation="stored"), raw)
    shown = probe(tmp_path)
    assert shown.size == ((64, 48) if orientation in SIDEWAYS else (48, 64))
    assert bool(shown.notes) == (orientation != 1)
    assert probe(tmp_path, orientation="stored").size == (48, 64)


def test_turning_by_every_orientation_is_undone_by_its_opposite():
    back = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
    for number, opposite in back.items():
        np.testing.assert_array_equal(turned(turned(PICTURE, number), opposite), PICTURE)


def test_a_broken_exif_is_as_none(tmp_path):
    path = tmp_path / "0.png"
    Image.fromarray(PICTURE).save(path, exif=b"Exif\0\0MM\0*\0\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(decode(path), PICTURE)


def test_a_huge_claim_is_refused_before_anything_is_decoded(tmp_path):
    path = write(tmp_path / "0.exr")
    data = bytearray(path.read_bytes())
    at = data.index(b"displayWindow\0box2i\0") + len(b"displayWindow\0box2i\0") + 4
    data[at : at + 16] = np.array([0, 0, 99_999, 99_999], "<i4").tobytes()
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"0\.exr: expected at most 16384 pixels a side"):
        probe(tmp_path)


def test_a_pattern_has_a_digest_of_its_own_files(tmp_path):
    for name in ("a.1.png", "a.2.png", "b.1.png"):
        write(tmp_path / name)
    before = content_digest(tmp_path / "a.#.png")
    (tmp_path / "b.1.png").unlink()
    assert content_digest(tmp_path / "a.#.png") == before
    (tmp_path / "a.2.png").rename(tmp_path / "a.3.png")
    assert content_digest(tmp_path / "a.#.png") != before


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_a_picture_file_of_several_pictures_is_told(tmp_path, suffix):
    first, *others = [Image.fromarray(np.full((20, 30, 3), 60 * k, np.uint8)) for k in range(1, 4)]
    first.save(tmp_path / f"0{suffix}", save_all=True, append_images=others)
    (note,) = probe(tmp_path).notes
    assert note.startswith(f"0{suffix} holds 3 pictures")
