import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.models.decoders.load import build_decoder, load_decoder, save_decoder
from steadymask.cli.main import main
from tests.support.small_library import write_clip

ROOT = Path(__file__).resolve().parents[3]
SHORT = ["--samples", "4", "--batch", "2", "--side", "32", "--executor", "inline"]


@pytest.fixture
def library(tmp_path):
    for name in ("a", "b"):
        write_clip(tmp_path, name, 10)
    return tmp_path


@pytest.fixture
def start(tmp_path):
    """A decoder so small that an epoch takes no time."""
    torch.manual_seed(0)
    path = tmp_path / "start.safetensors"
    save_decoder(path, build_decoder("aligned", window=5, widths=(8, 8)))
    return path


def command(library, *more, masks="masks"):
    folders = [str(library / "footage"), "--masks", str(library / masks)]
    return ["fit", *folders, "--out", str(library / "out"), *SHORT, *more]


def rows(library):
    with (library / "out/fit/aligned/losses.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_fitting_lowers_the_loss_and_what_it_writes_loads(library, start, capsys):
    more = ["--weights", str(start), "--epochs", "5", "--rate", "3e-3", "--samples", "16"]
    assert main(command(library, *more)) == 0
    losses = [float(row["held_out_total"]) for row in rows(library)]
    assert min(losses[1:]) < losses[0]
    path = library / "out/fit/aligned.safetensors"
    assert f"--set refine.weights={path}" in capsys.readouterr().out
    fitted, before = load_decoder("aligned", str(path)), load_decoder("aligned", str(start))
    assert (fitted.stem.weight != before.stem.weight).any()
    assert (library / "out/fit/aligned/losses.png").stat().st_size > 1000


def test_after_a_run_nothing_is_computed_again(library, start, capsys):
    folders = [str(library / "footage"), "--masks", str(library / "masks")]
    voted = ["--set", "refine.method=vote"]  # what a decoder is trained on
    assert main([*folders, "--out", str(library / "out"), "--executor", "inline", *voted]) == 0
    capsys.readouterr()
    assert main(command(library, "--weights", str(start), "--epochs", "1")) == 0
    assert "fit: 0 tasks computed" in capsys.readouterr().out


def test_killed_it_goes_on_after_the_last_epoch(library, start):
    more = ["--weights", str(start), "--epochs", "500"]
    call = [sys.executable, str(ROOT / "run_pipeline.py"), *command(library, *more)]
    first = subprocess.Popen(call, stdout=subprocess.DEVNULL, cwd=ROOT)
    last = library / "out/fit/aligned/last.ckpt"
    try:
        limit = time.monotonic() + 120
        while not (last.exists() and len(rows(library)) > 1) and time.monotonic() < limit:
            time.sleep(0.2)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    done = len(rows(library))
    second = subprocess.Popen(call, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        text = ""
        while "epoch" not in text:
            text += second.stdout.readline()
    finally:
        second.send_signal(signal.SIGKILL)
        second.wait()
        second.stdout.close()
    assert "going on from" in text
    epoch = int(text.partition("epoch ")[2].partition(":")[0])
    assert epoch >= done - 1


def test_other_settings_start_afresh_and_say_so(library, start, capsys):
    assert main(command(library, "--weights", str(start), "--epochs", "2")) == 0
    assert main(command(library, "--weights", str(start), "--epochs", "1")) == 0
    assert "starting afresh" in capsys.readouterr().out
    assert [row["epoch"] for row in rows(library)] == ["0"]


def test_a_library_too_short_is_refused(tmp_path, start, capsys):
    write_clip(tmp_path, "a", 6)
    assert main(command(tmp_path, "--weights", str(start))) == 1
    assert "too short to fit" in capsys.readouterr().err


def test_a_clip_that_fails_is_left_out(library, start, capsys):
    (library / "footage/c.mp4").write_bytes(b"")
    (library / "masks/c").mkdir()
    assert main(command(library, "--weights", str(start), "--epochs", "1")) == 0
    assert "c: left out" in capsys.readouterr().out


def test_weights_of_another_variant_are_refused(library, start, capsys):
    assert main(command(library, "--method", "deeplab", "--weights", str(start))) == 1
    assert "expected a deeplab decoder" in capsys.readouterr().err


def test_a_loss_that_is_not_a_number_stops_the_fit(library, start, capsys):
    broken = build_decoder("aligned", window=5, widths=(8, 8))
    with torch.no_grad():
        broken.head.bias.fill_(np.nan)
    save_decoder(start, broken)
    load_decoder.cache_clear()
    assert main(command(library, "--weights", str(start))) == 1
    assert "finite" in capsys.readouterr().err


@pytest.mark.slow
def test_the_papers_decoder_is_fitted_too(library, tmp_path):
    start = tmp_path / "deeplab.safetensors"
    save_decoder(start, build_decoder("deeplab", window=3, classes=3, encoder_weights="random"))
    more = ["--method", "deeplab", "--weights", str(start), "--epochs", "1", "--samples", "2"]
    assert main(command(library, *more)) == 0
    assert load_decoder("deeplab", str(library / "out/fit/deeplab.safetensors")).classes == 3
