"""Workers that are really stopped for want of memory, by Ray's own watch."""

import pytest

from tests.end_to_end.test_command import give, masks
from tests.support.small_library import write_clip


@pytest.mark.slow
def test_workers_stopped_for_want_of_memory_are_said_and_retried(tmp_path, monkeypatch):
    write_clip(tmp_path, "a", 9)
    arguments = [tmp_path / "footage", "--masks", tmp_path / "masks", "--out", tmp_path / "out"]
    with monkeypatch.context() as short:
        short.setenv("RAY_memory_usage_threshold", "0.01")  # of the machine's: it is always over
        short.setenv("RAY_memory_monitor_refresh_ms", "50")
        # A stage with resources of its own waits for Ray; others may be done before it is there.
        on_ray = ("--set", "engine.resources.refine.memory_bytes=100000000")
        done = give(*arguments, "--executor", "ray", "--workers", 1, *on_ray)
    assert done.returncode == 1
    assert "want of memory: use a smaller chunk or fewer workers" in done.stdout
    assert not (tmp_path / "out" / "a" / "masks").exists()
    done = give(*arguments, "--executor", "inline")
    assert done.returncode == 1
    assert "--retry-failed" in done.stdout
    assert "(see )" not in done.stdout
    done = give(*arguments, "--executor", "inline", "--retry-failed")
    assert done.returncode == 0, done.stderr
    assert len(masks(tmp_path / "out" / "a")) == 9
