"""A library of strangers, as the command sees it."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.end_to_end.test_command import ROOT, give, masks, stabilise
from tests.support.hostile_files import video
from tests.support.small_library import write_clip

NAMES = [
    "CON",
    "NUL.txt",
    "-rf",
    "$(touch sprung)",
    "a\nfailed: b",
    "\x1b]0;owned\x07\x1b[2J",
    "<img src=x onerror=alert(1)>",
    "{{ 7*7 }}",
    "[red]",
    "txt.\u202e4pm",
    "n" * 255,
    "name",
    "NAME",
    "tcp:127.0.0.1:9",
]


@pytest.mark.slow
def test_damaged_and_crafted_inputs_cost_nobody_else_anything():
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/endurance/hostile.py"), "--count", "24"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| all | 24 |" in done.stdout
    assert "3 of 3 good clips as in a run of their own" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_odd_names_are_only_names(tmp_path, executor):
    names = [*NAMES, os.fsdecode(b"caf\xe9")]
    write_clip(tmp_path, "plain", 2)
    for name in names:
        for part in ("footage", "masks"):
            shutil.copytree(tmp_path / part / "plain", tmp_path / part / name)
    os.mkfifo(tmp_path / "footage" / "\x1b[2Jpipe.mp4")
    (tmp_path / "footage" / "private.mp4").symlink_to("/etc/hostname")
    done = stabilise(tmp_path, executor=executor)
    assert done.returncode == 1, done.stderr
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert set(run["failures"]) == {"\x1b[2Jpipe.mp4", "private.mp4"}
    for name in names:
        assert len(masks(tmp_path / "out" / name)) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"footage", "masks", "out"}
    for output in (done.stdout, done.stderr):
        assert "\x1b]0" not in output
        assert "\x1b[2J" not in output
        assert "\nfailed: b" not in output
    page = (tmp_path / "out" / "report" / "index.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert page.count("{{ 7*7 }}") > 0
    assert "\x1b" not in page
    assert give("status", tmp_path / "out").stdout.count("\x1b") == 0


def test_modules_that_lie_in_the_footage_are_not_run(tmp_path):
    write_clip(tmp_path, "a", 2)
    trap = f"open({str(tmp_path / 'sprung')!r}, 'w').close()\n"
    for name in ("cv2", "numpy", "cupy", "pandas", "IPython", "brotli", "sitecustomize", "yaml"):
        (tmp_path / f"{name}.py").write_text(trap)
    done = give("footage", "--masks", "masks", "--out", "out", "--executor", "ray", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "sprung").exists()


def test_a_users_own_function_is_found_where_the_command_is_given(tmp_path):
    video(tmp_path / "a.mp4")
    (tmp_path / "mine.py").write_text("def bright(frame):\n    return frame[..., 0] > 127\n")
    done = give(
        "a.mp4", "--segmenter", "mine:bright", "--set", "segment.classes=[1]", "--out", "out",
        "--executor", "ray", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(masks(tmp_path / "out" / "a")) == 6
