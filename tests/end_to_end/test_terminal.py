"""The command at a person's terminal: typed into an interactive shell with job control."""

import sys
from pathlib import Path

import pytest

from tests.support.small_library import write_clip
from tests.support.terminal_session import TerminalSession

ROOT = Path(__file__).resolve().parents[2]
COMMAND = f"{sys.executable} {ROOT / 'run_pipeline.py'}"
LIMIT_S = 300


@pytest.mark.parametrize("executor", ["ray", "inline"])
def test_a_run_that_is_typed_at_a_terminal_ends(tmp_path, executor):
    write_clip(tmp_path, "a", 12)
    with TerminalSession(tmp_path) as terminal:
        status, shown = terminal.run(
            f"{COMMAND} footage --masks masks --out out --executor {executor} --workers 2", LIMIT_S
        )
    assert status == 0, shown
    assert "1 clips done, 0 failed" in shown
    assert len(list((tmp_path / "out/a/masks").iterdir())) == 12


def test_the_demo_that_is_typed_at_a_terminal_ends(tmp_path):
    with TerminalSession(tmp_path) as terminal:
        status, shown = terminal.run(f"{COMMAND} --demo --out out/demo --workers 2", LIMIT_S)
    assert status == 0, shown
    assert "masks out against the truth" in shown
