"""Tasks for labelling tools: frames that want a look go out, corrected ones come back."""

import json
import shutil

import cv2
import numpy as np
import pytest

from stages.media.masks.palette import read_labels, write_indexed_png
from steadymask.cli.main import main
from steadymask.cli.review import chosen_frames
from tests.support.small_library import SIZE, scene

FRAMES = 8
BAD = (3, 4)


def write_library(root, *, video=False):
    """Write a clip with two objects, one of which is missing in two frames; masks count from 1."""
    (root / "masks/shot").mkdir(parents=True)
    frames = []
    for t in range(FRAMES):
        frame, labels = scene(t)
        labels[(labels == 3) & (t in BAD)] = 0
        write_indexed_png(root / "masks/shot" / f"{t + 1:05d}.png", labels)
        frames.append(frame)
    if video:
        (root / "footage").mkdir()
        write_video(root / "footage/shot.avi", frames)
        return
    (root / "footage/shot").mkdir(parents=True)
    for t, frame in enumerate(frames):
        cv2.imwrite(str(root / f"footage/shot/plate.{1001 + t}.png"), frame[..., ::-1])


def write_video(path, frames):
    fourcc = cv2.VideoWriter_fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), fourcc, 24, SIZE[::-1])
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()


def stabilise(root, out, *options):
    command = [str(root / "footage"), "--out", str(root / out), "--executor", "inline"]
    command += ["--set", "report.enabled=false", "--set", "ingest.cuts=[]"]
    return main([*command, "--workers", "1", *map(str, options)])


@pytest.fixture(params=["frames", "video"])
def root(request, tmp_path):
    """A library and the results of a run, with every frame in the list of frames to look at."""
    write_library(tmp_path, video=request.param == "video")
    masks = ("--masks", tmp_path / "masks")
    assert stabilise(tmp_path, "out", *masks, "--set", "review.least_risk=0") == 0
    return tmp_path


def review(root, *options):
    command = ["review", str(root / "out"), "--footage", str(root / "footage")]
    return main([*command, "--to", str(root / "tasks"), "--risk", "0", *options])


def as_cvat_exports(task):
    return task / "annotations.xml"


def as_label_studio_exports(task):
    """Return the tasks with every prediction accepted, as the tool exports them."""
    tasks = json.loads((task / "tasks.json").read_text())
    for entry in tasks:
        entry["annotations"] = entry.pop("predictions")
    (task / "export.json").write_text(json.dumps(tasks))
    return task / "export.json"


def as_coco_exports(task):
    """Return COCO with categories numbered anew in the order of names, as CVAT exports it."""
    content = json.loads((task / "instances.json").read_text())
    order = sorted(content["categories"], key=lambda entry: entry["name"], reverse=True)
    numbers = {entry["id"]: k for k, entry in enumerate(order, start=1)}
    for entry in content["categories"]:
        entry["id"] = numbers[entry["id"]]
    for entry in content["annotations"]:
        entry["category_id"] = numbers[entry["category_id"]]
    (task / "export.json").write_text(json.dumps(content))
    return task / "export.json"


@pytest.mark.parametrize(
    ("tool", "export"),
    [
        ("cvat", as_cvat_exports),
        ("label_studio", as_label_studio_exports),
        ("coco", as_coco_exports),
    ],
)
def test_what_comes_back_are_key_frames_of_the_same_pixels(root, tool, export):
    assert review(root, "--tool", tool, "--every", "3") == 0
    exported = export(root / "tasks/shot")
    (root / "keys").mkdir()
    shutil.copy(exported, root / "keys" / f"shot{exported.suffix}")
    shutil.copytree(root / "out/shot/masks", root / "before")

    masks = ("--masks", root / "masks", "--keyframes", root / "keys")
    assert stabilise(root, "again", *masks) == 0
    wanted = chosen_frames(json.loads((root / "out/shot/review.json").read_text())["rows"], 3)
    assert 2 <= len(wanted) < FRAMES
    for t in wanted:
        now = read_labels(root / f"again/shot/masks/{t:05d}.png")
        np.testing.assert_array_equal(now, read_labels(root / f"before/{t:05d}.png"), f"frame {t}")
    notes = json.loads((root / "again/shot/metrics.json").read_text())["notes"]
    assert not [note for note in notes if "classes" in note]


def test_pictures_are_those_of_the_frames(root):
    assert review(root, "--every", "1") == 0
    pictures = sorted((root / "tasks/shot/images").iterdir())
    assert len(pictures) == FRAMES
    for t, path in enumerate(pictures):
        shown = cv2.imread(str(path))[..., ::-1].astype(int)
        assert np.abs(shown - scene(t)[0]).mean() < 12, path.name


def test_a_long_stretch_has_its_riskiest_frame_and_others_at_a_distance():
    rows = [
        {"frames": [10, 40], "frame": 25, "object": 1, "risk": 0.9, "reason": "half of it missing"},
        {"frames": [25, 26], "frame": 25, "object": 2, "risk": 0.6, "reason": "nobody vouches"},
    ]
    frames = chosen_frames(rows, 12)
    assert list(frames) == [13, 25, 37]
    assert frames[25] == [
        "object 1: half of it missing (0.90)", "object 2: nobody vouches (0.60)",
    ]  # fmt: skip


def test_where_no_frame_is_risky_nothing_is_written(root, capsys):
    command = ["review", str(root / "out"), "--footage", str(root / "footage")]
    assert main([*command, "--to", str(root / "tasks"), "--risk", "1"]) == 0
    assert "no frame has a risk of 1 or more" in capsys.readouterr().out
    assert not (root / "tasks").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--risk", "2"], "expected a probability"), (["--every", "0"], "expected at least 1")],
)
def test_it_refuses_what_cannot_be_meant(tmp_path, capsys, options, words):
    command = ["review", str(tmp_path), "--footage", str(tmp_path), "--to", str(tmp_path / "t")]
    assert main([*command, *options]) == 2
    assert words in capsys.readouterr().err


def test_other_footage_than_that_of_the_run_is_refused(root, capsys):
    other = root / "footage"
    shutil.rmtree(other)
    (other / "shot").mkdir(parents=True)
    for t in range(3):
        cv2.imwrite(str(other / f"shot/{t:03d}.png"), scene(t)[0])
    assert review(root) == 1
    assert "expected the masks of all 3 frames, found 8" in capsys.readouterr().err
