"""Headers that lie and files that unpack to far more than they are: refused before they are."""

import os
import resource
import struct
import time

import cv2
import numpy as np
import pytest

from pipeline.errors import InputError
from stages.ingest import Ingest
from stages.media.footage.limits import Limits
from stages.media.footage.safe_open import open_regular
from stages.media.footage.timeline import content_digest, probe
from stages.media.footage.video import read_frames, read_picture
from tests.support.hostile_files import (
    huge_gif,
    huge_y4m,
    long_frames,
    many_frames,
    npy_header,
    npz_bomb,
    png,
    text_bomb,
    video,
)
from tests.support.mask_samples import FRAMES, SIZE, folder_of, grey, labels, opened

MOST_BYTES = 300 * 2**20  # that this process and its children may grow by


@pytest.fixture(autouse=True)
def frugal():
    """Fail a test that takes much memory or time."""
    began, before = time.monotonic(), _peak()
    yield
    assert time.monotonic() - began < 60
    assert _peak() - before < MOST_BYTES


def _peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def refused(path, message, **limits):
    with pytest.raises(InputError, match=message) as caught:
        probe(path, limits=Limits(**limits))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (huge_y4m(), "Picture size 100000x100000 is invalid"),
        (
            huge_y4m(9000, 9000),
            "at most 67108864 pixels a frame, got 9000x9000: .* raise pixels in",
        ),
        (huge_y4m(10, 20000), "at most 16384 pixels a side, got 20000x10"),
        (huge_y4m(0, 0), "not a readable video"),
        (huge_gif(), "at least 1x1, got 0x0: .* one that no decoder takes"),
        (huge_gif(9000), "at least 1x1|at most 67108864 pixels"),
    ],
)
def test_frames_of_absurd_size_are_refused(tmp_path, content, message):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    refused(path, message)


def test_a_billion_frames_are_not_counted(tmp_path):
    path = video(tmp_path / "clip.mov", "rawvideo")
    path.write_bytes(many_frames(path.read_bytes()))
    refused(path, "expected frames, found none")


def test_more_frames_than_the_limit_are_refused(tmp_path):
    path = video(tmp_path / "clip.mov")
    refused(path, "at most 5 frames, got more: if you trust it, raise frames in ingest", frames=5)
    assert probe(path, limits=Limits(frames=6)).frames == 6


def test_frames_that_last_for_years_are_refused(tmp_path):
    path = video(tmp_path / "clip.mov", "rawvideo")
    path.write_bytes(long_frames(path.read_bytes()))
    refused(path, r"at most 172800 s, got 1\.\d+e\+10 s: .* raise duration_s in ingest.limits")


def test_what_a_clip_is_when_decoded_is_bounded(tmp_path):
    path = video(tmp_path / "clip.mov")
    refused(path, "at most 55295 bytes when decoded, got 55296", decoded_bytes=6 * 48 * 64 * 3 - 1)


def test_a_file_with_holes_is_not_read_for_days(tmp_path):
    path = tmp_path / "clip.mp4"
    path.touch()
    os.truncate(path, 2**41)
    with pytest.raises(
        InputError, match=r"clip\.mp4: expected at most 1099511627776 bytes, got 2199"
    ):
        content_digest(path)


def test_limits_are_settings_that_change_no_key():
    assert Ingest(limits={"frames": 7}).limits.frames == 7
    assert "limits" in Ingest.outside_key


@pytest.mark.parametrize("damage", [png(100_000, 100_000, 4), png(15_000, 15_000, 4)])
def test_a_picture_that_claims_to_be_huge_is_not_unpacked(tmp_path, damage):
    (tmp_path / "0.png").write_bytes(damage)
    with pytest.raises(InputError, match=r"0\.png: (expected at most|more pixels than)"):
        probe(tmp_path)
    with pytest.raises(InputError, match=r"0\.png: (expected at most|more pixels than)"):
        read_picture(tmp_path / "0.png")


def test_a_picture_that_grew_after_the_probe_is_a_hole(tmp_path):
    for t in range(3):
        cv2.imwrite(str(tmp_path / f"{t}.png"), np.full((48, 64, 3), t, np.uint8))
    frames = read_frames(tmp_path, probe(tmp_path))
    (tmp_path / "1.png").write_bytes(png(8000, 8000))
    assert [int(frame[0, 0, 0]) for frame in frames] == [0, 0, 2]
    assert frames.holes == [1]


def test_pictures_of_other_formats_are_not_decoded_whatever_they_are_called(tmp_path):
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 12\n%%EndComments\nshowpage\n"
    (tmp_path / "0.png").write_bytes(script)
    with pytest.raises(InputError, match="none of its 1 frames can be read"):
        probe(tmp_path)
    with pytest.raises(InputError, match=r"0\.png: expected a whole picture \(JPEG, PNG"):
        read_picture(tmp_path / "0.png")


def masks_with(tmp_path, name, content):
    folder = folder_of(tmp_path, labels(1), grey, name="{}.png")
    (folder / "2.png").unlink()
    (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("2.png", png(100_000, 100_000, 4), "exceeds limit"),
        ("2.png", png(6000, 6000), "expected 16x12 like the footage, got 6000x6000"),
        ("2.png", png(*SIZE, extra=text_bomb()), "not a readable PNG"),
        ("2.npz", npz_bomb((2**14, 2**14, 2)), "expected at most 783360 bytes, got uint8"),
        ("2.npz", npz_bomb((2**40,), stored=100), "expected at most 783360 bytes, got"),
        ("2.npy", npy_header((2**40, 12, 16)), "not a plain array"),
        ("2.npy", npy_header((12, 16), "|O"), "not a plain array .*object"),
    ],
)
def test_masks_that_would_unpack_to_more_than_a_mask_are_refused(tmp_path, name, content, message):
    folder = masks_with(tmp_path, name, content)
    with pytest.raises(InputError, match=rf"{name}: .*{message}"):
        opened(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npz_bomb((FRAMES, 10**9, *SIZE), stored=100), "at most 255 channels, got 1000000000"),
        (npz_bomb((FRAMES, 2**30), stored=100), "expected labels"),
        (npz_bomb((FRAMES, *SIZE), "<U999", stored=100), "expected labels"),
        (npz_bomb((FRAMES, *SIZE), "|O", stored=100), "objects"),
        (npz_bomb((FRAMES, *SIZE), stored=10), "not a plain array"),
    ],
)
def test_packed_clips_that_lie_are_refused(tmp_path, content, message):
    path = tmp_path / "clip.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"clip\.npz: .*{message}"):
        opened(path)


def test_a_postscript_file_called_png_starts_no_program(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 12\n%%EndComments\nshowpage\n"
    folder = masks_with(tmp_path, "2.png", script)
    with pytest.raises(InputError, match=r"2\.png: not a readable PNG"):
        opened(folder)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_what_is_no_file_makes_nobody_wait(tmp_path, kind):
    import socket

    path = tmp_path / "0.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.close()
    with pytest.raises((InputError, OSError)):
        open_regular(path)
    for read in (lambda: probe(tmp_path), lambda: read_picture(path), lambda: opened(tmp_path)):
        with pytest.raises(InputError, match=str(tmp_path)):
            read()
    for suffix in (".mp4", ".npy", ".npz", ".json"):
        other = path.with_suffix(suffix)
        other.symlink_to(path)
        with pytest.raises(InputError, match=rf"0\{suffix}"):
            opened(other)


def test_a_deep_json_is_refused(tmp_path):
    path = tmp_path / "clip.json"
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"clip\.json: expected COCO"):
        opened(path)
    path.write_text('{"videos": [{}], "annotations": ' + "[" * 100_000)
    with pytest.raises(InputError, match=r"clip\.json: expected COCO"):
        opened(path)


def test_a_claim_of_npy_beyond_its_file_is_refused(tmp_path):
    path = tmp_path / "clip.npy"
    path.write_bytes(npy_header((FRAMES, *SIZE)) + struct.pack("B", 1))
    with pytest.raises(InputError, match=r"clip\.npy: not a plain array"):
        opened(path)
