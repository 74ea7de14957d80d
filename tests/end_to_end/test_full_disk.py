"""A disk that is really full, at one point of the run after the other."""

import subprocess

import pytest

from tests.end_to_end.test_command import give, masks
from tests.support.small_library import write_clip


@pytest.fixture
def disk(tmp_path):
    """Give a small disk of its own, and what makes it larger."""
    where = tmp_path / "disk"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(where)]
    tried = subprocess.run(mount, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {tried.stderr.strip()}")

    def enlarge(size):
        subprocess.run(["mount", "-o", f"remount,size={size}", str(where)], check=True)

    yield where, enlarge
    subprocess.run(["umount", "-l", str(where)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_said_and_the_same_command_goes_on(tmp_path, disk):
    where, enlarge = disk
    write_clip(tmp_path, "a", 9)
    arguments = [tmp_path / "footage", "--masks", tmp_path / "masks", "--executor", "inline"]
    assert give(*arguments, "--out", tmp_path / "quiet").returncode == 0
    full = 0
    for size in ("200k", "400k", "1m", "3m", "100m"):
        enlarge(size)
        done = give(*arguments, "--out", where / "out", "--store", tmp_path / "store")
        if done.returncode == 0:
            break
        assert "error: " in done.stderr
        assert "no room left on the disk" in done.stderr
        full += 1
    assert full >= 3
    assert (masks(where / "out" / "a") == masks(tmp_path / "quiet" / "a")).all()
    for name in ("masks.mkv", "overlay.mp4"):
        first_bytes = (where / "out" / "a" / name).read_bytes()
        assert first_bytes == (tmp_path / "quiet" / "a" / name).read_bytes()


@pytest.mark.slow
def test_a_store_on_a_full_disk_is_said_and_the_same_command_goes_on(tmp_path, disk):
    where, enlarge = disk
    write_clip(tmp_path, "a", 9)
    arguments = [tmp_path / "footage", "--masks", tmp_path / "masks", "--executor", "inline"]
    arguments += ["--out", tmp_path / "out", "--store", where / "store"]
    full = 0
    for size in ("100k", "200k", "500k", "100m"):
        enlarge(size)
        done = give(*arguments)
        full += done.returncode == 1
    assert full >= 2
    assert done.returncode == 0, done.stderr
    assert len(masks(tmp_path / "out" / "a")) == 9
