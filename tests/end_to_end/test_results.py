"""Results of a run as a user gets them."""

import json

import av
import cv2
import numpy as np

from stages.media.masks.palette import read_labels, write_indexed_png
from tests.end_to_end.test_command import stabilise
from tests.support.small_library import write_clip


def test_redaction_covers_gaps_and_fails_on_those_it_cannot(tmp_path):
    truth = write_clip(tmp_path, "a", 24)
    for t in [*range(4, 8), *range(12, 20)]:
        path = tmp_path / "masks" / "a" / f"{t:05d}.png"
        write_indexed_png(path, np.where(truth[t] == 3, 0, truth[t]))
    settings = [
        "--set", "export.formats=[redacted]", "--set", "export.redaction.method=solid",
        "--set", "export.redaction.classes.class 7=none", "--set", "refine.method=none",
        "--set", "smooth.votes=0", "--set", "smooth.method=none", "--set", "report.enabled=false",
    ]  # fmt: skip
    done = stabilise(tmp_path, *settings, "--set", "cover.gap=5", "--fail-on-uncovered")
    assert done.returncode == 6, done.stdout + done.stderr
    assert "uncovered: a: class 3 in 8 frames between two with it: 12-19" in done.stdout
    report = json.loads((tmp_path / "out" / "a" / "coverage.json").read_text())
    assert report["classes"]["class 3"]["carried"] == [4, 5, 6, 7]
    done = stabilise(tmp_path, *settings, "--set", "cover.gap=8", "--fail-on-uncovered")
    assert done.returncode == 0, done.stdout + done.stderr
    with av.open(str(tmp_path / "out" / "a" / "redacted.mp4")) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for t, (picture, labels) in enumerate(zip(shown, truth, strict=True)):
        inside = cv2.erode((labels == 3).astype(np.uint8), np.ones((3, 3))) > 0
        assert (picture[inside].max(axis=-1) < 40).mean() > 0.9, t  # black


def test_chosen_classes_and_frames_alone_are_written(tmp_path):
    write_clip(tmp_path, "a", 12)
    done = stabilise(
        tmp_path, "--only", "disc", "--frames", "4-8", "--set", "export.names.3=disc",
        "--set", "export.formats=[png,ffv1,matte,exr,overlay]", "--set", "report.enabled=false",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    out, everything = tmp_path / "out" / "a", tmp_path / "all" / "a" / "masks"
    again = stabilise(tmp_path, "--set", "export.formats=[png]", out="all")
    assert again.returncode == 0, again.stdout + again.stderr
    files = sorted((out / "masks").iterdir())
    assert [file.name for file in files] == [f"{t:05d}.png" for t in range(5)]
    for t, file in enumerate(files):
        labels, whole = read_labels(file), read_labels(everything / f"{4 + t:05d}.png")
        np.testing.assert_array_equal(labels, np.where(whole == 3, 3, 0))
        white = cv2.imread(str(out / "matte" / "disc" / file.name), cv2.IMREAD_UNCHANGED) > 127
        assert (white == (labels == 3)).mean() > 0.995
    with av.open(str(out / "masks.mkv")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5


def test_results_larger_than_the_working_size_have_soft_edges(tmp_path):
    write_clip(tmp_path, "a", 5, size=(120, 160))
    done = stabilise(
        tmp_path, "--set", "ingest.short_side=60", "--set", "export.formats=[png,matte16]",
        "--set", "report.enabled=false",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    grey = cv2.imread(str(tmp_path / "out" / "a" / "matte16" / "00002.png"), cv2.IMREAD_UNCHANGED)
    assert grey.shape == (120, 160)
    assert grey.dtype == np.uint16
    assert ((grey > 0) & (grey < 65535)).sum() > 50


def test_what_cannot_be_written_is_said_before_anything_runs(tmp_path):
    write_clip(tmp_path, "a", 2)
    for setting, message in (
        ("export.formats=[prorse]", "did you mean 'prores'?"),
        ("export.templates.exr=exr/{frames}.exr", "no field {frames}"),
        ("export.frames=9..4", "expected e.g. 100-200"),
    ):
        done = stabilise(tmp_path, "--set", setting)
        assert done.returncode == 2, done.stdout
        assert message in done.stderr
    done = stabilise(tmp_path, "--frames", "100-200")
    assert done.returncode == 1
    assert "expected some of 0 to 1" in done.stdout
