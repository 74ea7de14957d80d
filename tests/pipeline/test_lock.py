import os

import pytest

from pipeline.errors import ConfigError
from pipeline.lock import locked


def test_a_second_run_in_the_same_folder_is_told_who_is_there(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(ConfigError, match=f"another run is at work here .pid {os.getpid()}"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"), locked(tmp_path / "file" / "out"):
        pass
