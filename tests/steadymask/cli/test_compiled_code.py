"""Where compiled code is kept, and when it is compiled anew."""

import os
import subprocess
import sys

import pytest

from steadymask.cli import compiled_code


@pytest.fixture
def nothing_writable(tmp_path, monkeypatch):
    monkeypatch.delenv(compiled_code.VARIABLE, raising=False)
    monkeypatch.setattr(compiled_code, "is_writable", lambda folder: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_it_is_a_folder_of_this_users_own(nothing_writable, tmp_path, monkeypatch):
    compiled_code.place_compiled_code()
    folder = tmp_path / f"steadymask-numba-{os.getuid()}-{compiled_code.digest_kernels()}"
    assert os.environ[compiled_code.VARIABLE] == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.delenv(compiled_code.VARIABLE)


def test_a_folder_that_others_may_write_to_is_not_used(nothing_writable, tmp_path, monkeypatch):
    trap = tmp_path / f"steadymask-numba-{os.getuid()}-{compiled_code.digest_kernels()}"
    trap.mkdir()
    trap.chmod(0o777)
    compiled_code.place_compiled_code()
    assert os.environ[compiled_code.VARIABLE] != str(trap)
    monkeypatch.delenv(compiled_code.VARIABLE)


def test_where_the_package_can_be_written_nothing_is_set(monkeypatch):
    monkeypatch.delenv(compiled_code.VARIABLE, raising=False)
    compiled_code.place_compiled_code()
    assert compiled_code.VARIABLE not in os.environ


def test_in_the_cache_of_the_user_each_version_has_its_own(tmp_path, monkeypatch):
    monkeypatch.delenv(compiled_code.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compiled_code, "is_writable", lambda folder: folder == tmp_path)
    compiled_code.place_compiled_code()
    expected = tmp_path / "steadymask" / f"kernels-{compiled_code.digest_kernels()}"
    assert os.environ[compiled_code.VARIABLE] == str(expected)
    monkeypatch.delenv(compiled_code.VARIABLE)


CALLER = """
from numba import njit
from callee import step

@njit(cache=True)
def walk(n):
    return n + step()
"""
CALLEE = """
from numba import njit

@njit(cache=True)
def step():
    return {}
"""


def test_a_kernel_is_compiled_anew_when_one_that_it_calls_has_changed(tmp_path, monkeypatch):
    monkeypatch.delenv(compiled_code.VARIABLE, raising=False)
    monkeypatch.setattr(compiled_code, "KERNELS", (tmp_path, tmp_path / "more"))
    (tmp_path / "caller.py").write_text(CALLER)
    for value in (1, 2, 2):
        (tmp_path / "callee.py").write_text(CALLEE.format(value))
        compiled_code.place_compiled_code()
        command = [sys.executable, "-c", "from caller import walk; print(walk(10))"]
        shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert shown.stdout == f"{10 + value}\n"
    kept = {path.stat().st_mtime_ns for path in tmp_path.glob("__pycache__/*.nbc")}
    compiled_code.place_compiled_code()
    assert kept == {path.stat().st_mtime_ns for path in tmp_path.glob("__pycache__/*.nbc")} != set()
