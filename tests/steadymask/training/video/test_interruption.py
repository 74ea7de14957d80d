"""What a training does that is told to stop: as a user starts it, in a process of its own."""

import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import torch

from tests.support.terminal_session import listen_to_signals
from tests.support.video_samples import write_label_set

ROOT = Path(__file__).resolve().parents[4]
LIMIT_S = 120


@contextmanager
def training(label_set, out):
    """Start a training that takes longer than any test."""
    command = [sys.executable, str(ROOT / "run_pipeline.py"), "train", "per_frame"]
    command += [str(label_set), "--out", str(out), "--epochs", "5000", "--patience", "5000"]
    command += ["--samples", "4", "--batch", "2", "--side", "32"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1,
        preexec_fn=listen_to_signals,
    ) as child:  # fmt: skip
        timer = threading.Timer(LIMIT_S, child.kill)
        timer.start()
        try:
            yield child
        finally:
            timer.cancel()
            child.kill()


def wait_for_epoch(child):
    """Read what it says up to the end of an epoch."""
    lines = []
    for line in child.stdout:
        lines.append(line)
        if line.startswith("train: epoch "):
            return lines
    raise AssertionError("".join(lines))


def test_told_to_stop_it_keeps_its_epochs_and_says_so(tmp_path):
    label_set, out = write_label_set(tmp_path / "set", clips=("a",)), tmp_path / "out"
    with training(label_set, out) as child:
        wait_for_epoch(child)
        wait_for_epoch(child)  # only now the first one's checkpoint is sure to be written
        child.send_signal(signal.SIGINT)
        shown = child.communicate()[0]
    assert child.returncode == 130
    assert "interrupted: what is done stays, the same command goes on from here" in shown
    assert "Traceback" not in shown
    assert torch.load(out / "last.ckpt", weights_only=True)["epoch"] >= 0
    assert not (out / "per_frame.safetensors").exists()
    with training(label_set, out) as child:
        shown = "".join(wait_for_epoch(child))
    assert f"train: going on from {out / 'last.ckpt'}" in shown
    assert "epoch 0:" not in shown
