"""That networks learn what a set shows, measured on frames which no training saw."""

import csv

import numpy as np
import pytest

from stages.metrics.semantic import true_class_scores
from steadymask.cli.main import main
from steadymask.training.video.clip_samples import LabelSetFrames
from tests.support.video_samples import write_label_set

SMALL = ("--samples", "48", "--batch", "4", "--side", "64", "--patience", "99")


def held_out_overlaps(folder):
    with (folder / "losses.csv").open(newline="") as file:
        return [float(row["held_out_mIoU"]) for row in csv.DictReader(file)]


def overlap_of_background(root):
    """Return the mIoU of a network that calls every held-out pixel background."""
    frames = LabelSetFrames(root)
    sums = np.zeros((3, 3), np.int64)
    for frame in frames.held_out:
        counts = np.bincount(frames.labels(frame, frames.picture(frame).shape[:2]).ravel())
        sums[0, 0] += counts[0]
        sums[1] += counts
        sums[2, 0] += counts.sum()
    return true_class_scores(sums)["mIoU"]


@pytest.mark.parametrize(
    ("model", "more"), [("per_frame", []), ("tcb", ["--dilations", "1,2"])], ids=["frame", "tcb"]
)
def test_a_network_learns_its_classes(tmp_path, model, more):
    root = write_label_set(tmp_path / "set")
    command = ["train", model, str(root), "--out", str(tmp_path / "out"), "--epochs", "8"]
    assert main([*command, *SMALL, *more]) == 0
    assert overlap_of_background(root) < 0.35
    assert max(held_out_overlaps(tmp_path / "out")) > 0.6
