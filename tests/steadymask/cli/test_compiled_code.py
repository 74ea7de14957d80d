"""Where compiled code is kept when neither the package nor the home can be written."""

import os

import pytest

from steadymask.cli import compiled_code


@pytest.fixture
def nothing_writable(tmp_path, monkeypatch):
    monkeypatch.delenv(compiled_code.VARIABLE, raising=False)
    monkeypatch.setattr(compiled_code, "writable", lambda folder: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_it_is_a_folder_of_this_users_own(nothing_writable, tmp_path, monkeypatch):
    compiled_code.place_compiled_code()
    folder = tmp_path / f"steadymask-numba-{os.getuid()}"
    assert os.environ[compiled_code.VARIABLE] == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.delenv(compiled_code.VARIABLE)


def test_a_folder_that_others_may_write_to_is_not_used(nothing_writable, tmp_path, monkeypatch):
    trap = tmp_path / f"steadymask-numba-{os.getuid()}"
    trap.mkdir()
    trap.chmod(0o777)
    compiled_code.place_compiled_code()
    assert os.environ[compiled_code.VARIABLE] != str(trap)
    monkeypatch.delenv(compiled_code.VARIABLE)


def test_where_the_package_can_be_written_nothing_is_set(monkeypatch):
    monkeypatch.delenv(compiled_code.VARIABLE, raising=False)
    compiled_code.place_compiled_code()
    assert compiled_code.VARIABLE not in os.environ
