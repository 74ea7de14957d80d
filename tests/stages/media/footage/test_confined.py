"""Nothing but the file itself is read: no other file, no network, whatever the file says."""

import contextlib
import socket
import subprocess

import numpy as np
import pytest

from pipeline.errors import InputError
from stages.media.footage import sound
from stages.media.footage.ffmpeg import ffmpeg_path
from stages.media.footage.timeline import probe
from stages.media.footage.video import read_frames
from stages.media.results.settings import ResultSettings
from tests.support.hostile_files import PLAYLISTS, playlist, video, with_reference
from tests.support.result_files import result_clip, write_all

OVERLAY = ResultSettings(formats=("overlay",))
SECRET = 200  # grey level of the pictures that must not appear


@pytest.fixture
def listener():
    """A real server that must not be called; what calls it is in `called`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def called(server):
    try:
        connection, _ = server.accept()
    except BlockingIOError:
        return False
    connection.close()
    return True


@pytest.fixture
def secret(tmp_path):
    return video(tmp_path / "secret.mp4", level=SECRET)


@pytest.fixture
def clip(tmp_path):
    return video(tmp_path / "clip.mov", level=30)


def targets(kind, listener, secret):
    port = listener.getsockname()[1]
    urls = [
        f"http://127.0.0.1:{port}/x.ts",
        f"tcp://127.0.0.1:{port}",
        str(secret),
        secret.name,
        f"file:{secret}",
        f"subfile,,start,0,end,0,,:{secret}",
        f"concat:{secret}|{secret}",
        "data:video/mp4;base64,AAAA",
    ]
    return [playlist(kind, url, port) for url in urls]


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_the_probe_follows_no_reference(tmp_path, listener, secret, kind):
    for k, text in enumerate(targets(kind, listener, secret)[:3]):
        path = tmp_path / f"{k}.mp4"
        path.write_bytes(text)
        with pytest.raises(InputError, match=rf"{k}\.mp4: not a readable video"):
            probe(path)
    assert not called(listener)


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_the_decoder_follows_no_reference(tmp_path, listener, secret, clip, kind):
    timeline = probe(clip)
    for k, text in enumerate(targets(kind, listener, secret)):
        path = tmp_path / f"{k}.mp4"
        path.write_bytes(text)
        with pytest.raises(InputError, match=rf"{k}\.mp4: cannot be decoded"):
            list(read_frames(path, timeline))  # past the probe
    assert not called(listener)


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_the_sound_follows_no_reference(tmp_path, listener, secret, caplog, kind):
    source = video(tmp_path / "loud.mkv", sound=True)
    timeline = probe(source)
    assert timeline.audio
    for k, text in enumerate(targets(kind, listener, secret)[:3]):
        path = tmp_path / f"{k}.mp4"
        path.write_bytes(text)
        frames = ((np.zeros((48, 64), np.uint16), p) for p in read_frames(source, timeline))
        write_all(tmp_path, result_clip(timeline, path), frames, OVERLAY)
        assert probe(tmp_path / "overlay.mp4").audio == ""
    assert not called(listener)
    assert "written without sound" in caplog.text


def test_without_our_options_the_same_playlist_does_call(tmp_path, listener):
    """Shows that the tests above can fail."""
    path = tmp_path / "list.m3u8"
    path.write_bytes(playlist("m3u8", f"http://127.0.0.1:{listener.getsockname()[1]}/x.ts"))
    command = [ffmpeg_path(), "-nostdin", "-protocol_whitelist", "file,http,tcp", "-i", str(path)]
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run([*command, "-f", "null", "-"], capture_output=True, timeout=5, check=False)
    assert called(listener)


@pytest.mark.parametrize("name", ["secret.mp4", "/etc/passwd"])
def test_a_quicktime_reference_to_another_file_is_not_followed(tmp_path, secret, clip, name):
    path = tmp_path / "reference.mov"
    path.write_bytes(with_reference(clip.read_bytes(), tmp_path / name))
    try:
        actual = np.stack(list(read_frames(path, probe(path))))
    except InputError:
        return
    assert abs(actual.astype(int) - SECRET).min() > 100


def test_what_the_name_says_is_not_read_either(tmp_path, listener, monkeypatch, clip):
    monkeypatch.chdir(tmp_path)
    port = listener.getsockname()[1]
    for name in (
        f"tcp:127.0.0.1:{port}",
        f"concat:{clip.name}",
        "data:x",
        "a\nfile 'b'",
        "-i",
        "%d",
    ):
        path = tmp_path / f"{name}.mov"
        path.write_bytes(clip.read_bytes())
        assert len(list(read_frames(path.relative_to(tmp_path), probe(path)))) == 6
    assert not called(listener)


def test_a_folder_called_like_a_protocol_is_written_to_the_disk(tmp_path, listener, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = video(tmp_path / "loud.mkv", sound=True)
    timeline = probe(source)
    folder = (tmp_path / f"tcp:127.0.0.1:{listener.getsockname()[1]}").relative_to(tmp_path)
    folder.mkdir()
    frames = ((np.zeros((48, 64), np.uint16), p) for p in read_frames(source, timeline))
    write_all(folder, result_clip(timeline, source), frames, OVERLAY)
    assert probe(folder / "overlay.mp4").audio == "aac"
    assert not called(listener)


def test_sound_that_an_index_repeats_does_not_fill_the_disk(tmp_path, monkeypatch):
    source = tmp_path / "loud.mkv"
    subprocess.run(
        [
            *(ffmpeg_path(), "-v", "error", "-f", "lavfi", "-i", "color=s=64x48:d=60:r=1"),
            *("-f", "lavfi", "-i", "anoisesrc=d=60", "-c:a", "aac", str(source)),
        ],
        check=True,
    )
    timeline, audio = probe(source), []
    for most in (None, 200_000):
        if most:
            monkeypatch.setattr(sound, "most_bytes", lambda *_, most=most: most)
        frames = ((np.zeros((48, 64), np.uint16), p) for p in read_frames(source, timeline))
        write_all(tmp_path, result_clip(timeline, source), frames, OVERLAY)
        audio.append(probe(tmp_path / "overlay.mp4").audio)
    assert audio == ["aac", ""]
    assert (tmp_path / "overlay.mp4").stat().st_size < 200_000
    assert {path.name for path in tmp_path.iterdir()} == {"loud.mkv", "overlay.mp4"}
