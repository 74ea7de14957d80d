import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.media.masks.palette import read_labels, write_indexed_png
from stages.metrics.accuracy import jaccard
from steadymask.cli.main import main
from steadymask.training.students import build_student, load_student, save_student
from tests.support.small_library import write_clip

ROOT = Path(__file__).resolve().parents[3]
TINY = "tests.support.tiny_student:network"
SHORT = ["--samples", "4", "--batch", "2", "--side", "48", "--executor", "inline"]
EVERY = [
    "temporal",
    "temporal_divergence",
    "single_frame",
    "pair_wise",
    "multi_frame",
    "boundary",
    "global",
    "transform",
]


@pytest.fixture
def library(tmp_path):
    for name in ("a", "b"):
        write_clip(tmp_path, name, 8)
    return tmp_path


def command(library, *more, student=TINY):
    folders = [str(library / "footage"), "--masks", str(library / "masks")]
    out = ["--out", str(library / "out"), "--student", student]
    return ["distill", *folders, *out, *SHORT, *more]


def rows(library):
    with (library / "out/distill/losses.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_circle_closes(library, capsys):
    """A student learns the disc and the bar, and is the segmenter of the next run."""
    more = ["--epochs", "8", "--samples", "24", "--batch", "4", "--rate", "2e-2"]
    assert main(command(library, *more)) == 0
    onnx = library / "out/distill/student.onnx"
    assert capsys.readouterr().out.endswith(f"trained: {onnx}\nuse it: --segmenter {onnx}\n")
    losses = [float(row["held_out_total"]) for row in rows(library)]
    assert min(losses) < losses[0] / 2
    again = [str(library / "footage"), "--segmenter", str(onnx), "--out", str(library / "again")]
    assert main([*again, "--executor", "inline"]) == 0
    actual = [read_labels(p) for p in sorted((library / "again/a/masks").glob("*.png"))]
    wanted = [read_labels(p) for p in sorted((library / "masks/a").glob("*.png"))]
    assert {int(label) for labels in actual for label in np.unique(labels)} <= {0, 3, 7}
    overlap = np.mean([jaccard(f == 7, w == 7) for f, w in zip(actual, wanted, strict=True)])
    assert overlap > 0.5


def test_every_term_is_trained_with_and_logged(library):
    losses = [part for name in EVERY for part in ("--loss", name)]
    assert main(command(library, "--epochs", "2", *losses)) == 0
    for row in rows(library):
        assert all(np.isfinite(float(row[f"train_{name}"])) for name in ["labels", *EVERY])
        total = float(row["train_labels"])
        weights = {"boundary": 1, "global": 5e-5, "lovasz": 1, "consistency": 1}
        total += sum(weights.get(name, 0.1) * float(row[f"train_{name}"]) for name in EVERY)
        assert float(row["train_total"]) == pytest.approx(total, abs=1e-4)


def test_the_epoch_with_the_best_labels_is_written_not_the_stillest(library):
    """With a term so strong that nearly empty masks have the least total."""
    more = ["--epochs", "6", "--samples", "24", "--batch", "4", "--rate", "2e-2"]
    assert main(command(library, *more, "--patience", "6", "--loss", "boundary=20")) == 0
    table = rows(library)
    best = max(table, key=lambda row: float(row["held_out_mIoU"]))
    checkpoint = torch.load(library / "out/distill/best.ckpt", weights_only=True)
    assert checkpoint["epoch"] == int(best["epoch"])
    assert all(0 <= float(row["held_out_mIoU"]) <= 1 for row in table)


def test_frames_farther_apart_than_the_flow_are_drawn_too(library):
    assert main(command(library, "--epochs", "1", "--loss", "temporal", "--reach", "7")) == 0
    near = rows(library)[0]
    assert main(command(library, "--epochs", "1", "--loss", "temporal", "--reach", "1")) == 0
    assert rows(library)[0]["train_temporal"] != near["train_temporal"]


def test_a_weight_of_ones_own_is_taken(library):
    assert main(command(library, "--epochs", "1", "--loss", "temporal=3")) == 0
    (row,) = rows(library)
    total = float(row["train_labels"]) + 3 * float(row["train_temporal"])
    assert float(row["train_total"]) == pytest.approx(total, abs=1e-5)


def test_a_teacher_of_the_same_classes_teaches(library, tmp_path, capsys):
    torch.manual_seed(3)
    teacher = tmp_path / "teacher.safetensors"
    save_student(teacher, build_student(TINY, (3, 7)))
    taught = ["--epochs", "1", "--loss", "pair_wise", "--loss", "multi_frame"]
    assert main(command(library, *taught)) == 0
    alone = rows(library)[0]
    assert main(command(library, *taught, "--teacher", str(teacher))) == 0
    assert rows(library)[0]["train_pair_wise"] != alone["train_pair_wise"]
    assert "starting afresh" in capsys.readouterr().out


def test_killed_it_goes_on_after_the_last_epoch(library):
    call = [sys.executable, str(ROOT / "run_pipeline.py"), *command(library, "--epochs", "500")]
    call += ["--loss", "multi_frame", "--patience", "500"]
    first = subprocess.Popen(call, stdout=subprocess.DEVNULL, cwd=ROOT)
    last = library / "out/distill/last.ckpt"
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


def test_a_student_is_trained_further(library, tmp_path):
    start = tmp_path / "start.safetensors"
    torch.manual_seed(4)
    save_student(start, build_student(TINY, (3, 7)))
    more = ["--epochs", "1", "--rate", "1e-9", "--weights", str(start)]
    assert main(command(library, *more)) == 0
    before, after = (
        load_student(path) for path in (start, library / "out/distill/student.safetensors")
    )
    torch.testing.assert_close(before.network[0].weight, after.network[0].weight)


def test_a_student_of_other_classes_is_refused(library, tmp_path, capsys):
    start = tmp_path / "start.safetensors"
    save_student(start, build_student(TINY, (3,)))
    assert main(command(library, "--weights", str(start))) == 1
    assert "expected a student of the classes (3, 7)" in capsys.readouterr().err


def test_a_network_with_another_number_of_classes_is_refused(library, capsys):
    wrong = "tests.support.tiny_student:one_class_too_many"
    assert main(command(library, student=wrong)) == 2
    assert "expected scores (B, 3, H, W)" in capsys.readouterr().err


def write_truth(library, clip, frame, labels):
    folder = library / "truth" / clip
    folder.mkdir(parents=True, exist_ok=True)
    write_indexed_png(folder / f"{frame:05d}.png", labels)


def test_true_labels_count_more_and_their_void_is_ignored(library, capsys):
    for clip in ("a", "b"):
        for frame in range(8):
            write_truth(library, clip, frame, np.full((64, 96), 255))
        labels = np.zeros((64, 96), np.uint16)
        labels[10:30, 10:40] = 7
        labels[40:, :] = 255
        write_truth(library, clip, 3, labels)
    truth = ["--labels", "none", "--truth", str(library / "truth")]
    assert main(command(library, "--epochs", "1", *truth)) == 0
    output = capsys.readouterr().out
    assert "1 frame to train on, 1 held out" in output
    assert "class 3 never occurs in what is trained on" in output
    assert "class 7 never" not in output


def test_a_clip_without_a_trusted_pixel_is_left_out_and_said(library, capsys):
    write_clip(library, "c", 8)
    truth = ["--truth", str(library / "truth")]
    for frame in range(8):
        write_truth(library, "a", frame, np.full((64, 96), 255))
    assert main(command(library, "--epochs", "1", *truth)) == 0
    output = capsys.readouterr().out
    assert "a: left out: no pixel of it is trusted" in output
    assert "7 frames to train on, 7 held out" in output


def test_nothing_to_trust_at_all_is_an_error(library, capsys):
    truth = ["--labels", "none", "--truth", str(library / "truth")]
    (library / "truth").mkdir()
    assert main(command(library, *truth)) == 1
    output = capsys.readouterr().err
    assert "no pixel is trusted in any of the clips to train on: expected label pictures" in output


def test_unsure_pixels_are_ignored(library, capsys):
    assert main(command(library, "--epochs", "1", "--sure", "1")) == 0
    assert main(command(library, "--epochs", "1", "--labels", "raw", "--sure", "0.9")) == 0
    assert "starting afresh" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("labels", "message"),
    [(9, "expected labels [0, 3, 7, 255], got 9"), (3, "expected the name or number of one")],
)
def test_truth_that_cannot_belong_to_the_library_is_refused(library, capsys, labels, message):
    frame = 2 if labels == 9 else 99
    write_truth(library, "a", frame, np.full((64, 96), labels))
    assert main(command(library, "--truth", str(library / "truth"))) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--loss", "warp"], "--loss 'warp': expected one of temporal"),
        (["--loss", "temporal=much"], "expected a number after ="),
        (["--sure", "60"], "expected a probability"),
        (["--batch", "0"], "--batch 0: expected a number above 0"),
        (["--band", "4"], "--band 4: expected an odd number"),
        (["--margin", "2"], "--margin 2: expected a probability"),
        (["--teacher", "t.safetensors"], "expected --loss multi_frame, pair_wise"),
        (["--labels", "none"], "expected label pictures with --truth"),
        (["--truth", "absent"], "no such folder"),
        (["--to", "student.pt"], "expected a file.onnx"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(library, capsys, more, message):
    assert main(command(library, *more)) == 2
    assert message in capsys.readouterr().err


def test_a_loss_that_is_not_a_number_stops_the_training(library, tmp_path, capsys):
    start = tmp_path / "start.safetensors"
    broken = build_student(TINY, (3, 7))
    with torch.no_grad():
        broken.network[-1].bias.fill_(np.nan)
    save_student(start, broken)
    assert main(command(library, "--weights", str(start))) == 1
    assert "distill: expected finite losses" in capsys.readouterr().err


@pytest.mark.slow
def test_several_processes_train_one_student(library):
    """As on several GPUs: each runs the command again, one alone holds the folder and writes."""
    script = library / "two.py"
    script.write_text(
        "import functools, sys, lightning\n"
        "lightning.Trainer = functools.partial(\n"
        "    lightning.Trainer, accelerator='cpu', devices=2, strategy='ddp'\n"
        ")\n"
        "from steadymask.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    call = [sys.executable, str(script), *command(library, "--epochs", "1")]
    paths = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(call, capture_output=True, text=True, cwd=ROOT, env=os.environ | paths)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("distill: epoch 0") == 1
    assert done.stdout.count("trained:") == 1
    assert (library / "out/distill/student.onnx").exists()
