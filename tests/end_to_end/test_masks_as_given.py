"""What a user is told of masks, and what is kept of theirs: by the command, as it is typed."""

import json

import numpy as np
from PIL import Image

from stages.media.masks.palette import read_labels
from tests.end_to_end.test_command import give, stabilise
from tests.support.mask_samples import rle
from tests.support.small_library import SIZE, scene, write_clip

FRAMES = 6


def test_masks_painted_over_by_hand_are_kept_said_and_offered(tmp_path):
    write_clip(tmp_path, "a", FRAMES)
    assert stabilise(tmp_path).returncode == 0
    painted = tmp_path / "out" / "a" / "masks" / "00004.png"
    own = np.full(SIZE, 7, np.uint8)
    Image.fromarray(own).save(painted)

    again = stabilise(tmp_path)
    assert "kept: a: 1 mask changed by hand (00004.png)" in again.stdout
    np.testing.assert_array_equal(read_labels(painted), own)

    # Other settings: all is written anew, but for what a person has painted.
    before = read_labels(tmp_path / "out" / "a" / "masks" / "00003.png")
    other = stabilise(tmp_path, "--set", "segment.union=true")
    assert other.returncode == 0, other.stderr
    np.testing.assert_array_equal(read_labels(painted), own)
    assert (read_labels(tmp_path / "out" / "a" / "masks" / "00003.png") != before).any()

    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["changed_by_hand"] == {"a": ["00004.png"]}
    offered = tmp_path / "out" / "corrections"
    np.testing.assert_array_equal(read_labels(offered / "a" / "source-frame-00004.png"), own)
    assert f"--keyframes {offered}" in other.stdout


def coco_of(frames):
    content = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": 0, "name": "disc"}, {"id": 4, "name": "bar"}]
    for t in range(frames):
        labels = scene(t)[1]
        content["images"].append(
            {"id": t, "file_name": f"a/{t:05}.png", "height": SIZE[0], "width": SIZE[1]}
        )
        for category, value in ((0, 3), (4, 7)):
            shape = rle(labels == value)
            content["annotations"].append(
                {"image_id": t, "category_id": category, "segmentation": shape}
            )
    return content


def test_names_of_categories_are_kept_to_the_end_and_the_reading_is_told(tmp_path):
    write_clip(tmp_path, "a", FRAMES)
    (tmp_path / "set.json").write_text(json.dumps(coco_of(FRAMES)))
    how = [tmp_path / "footage", "--masks", tmp_path / "set.json", "--out", tmp_path / "out"]
    reading = (
        "6 annotated frames, COCO, COCO panoptic (with its pictures) or YouTube-VIS JSON, "
        "0 = background, 2 classes: disc, bar; "
        "all 6 frames"
    )
    plan = give(*how, "--plan")
    assert f"masks of a: {reading}" in plan.stdout
    assert "masks of a: category_id 0 is a class: label = category_id + 1" in plan.stdout

    done = give(*how, "--executor", "inline")
    assert done.returncode == 0, done.stderr
    clip = json.loads((tmp_path / "out" / "run.json").read_text())["clips"]["a"]
    assert clip["masks_read_as"] == reading
    assert clip["class_names"] == {"1": "disc", "5": "bar"}
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())["clips"]["a"]
    assert metrics["class_names"] == {"1": "disc", "5": "bar"}

    page = json.loads((tmp_path / "out" / "a" / "report" / "clip.json").read_text())
    assert [entry["name"] for entry in page["classes"]] == ["disc", "bar"]

    # Results serve as masks of the next run, names included.
    next_run = ["--out", tmp_path / "next", "--plan"]
    plan = give(tmp_path / "footage", "--masks", tmp_path / "out", *next_run)
    assert "2 classes: disc, bar" in plan.stdout


def test_a_reading_that_is_open_stops_the_clip_with_the_choice(tmp_path):
    write_clip(tmp_path, "a", FRAMES)
    for t in (0, 1, 5):
        (tmp_path / "masks" / "a" / f"{t:05}.png").unlink()
    for path in sorted((tmp_path / "masks" / "a").iterdir()):
        path.rename(path.with_name(f"m{int(path.stem):04}.png"))
    video = tmp_path / "footage" / "a"
    for path in sorted(video.iterdir(), reverse=True):
        path.rename(path.with_name(f"x{chr(97 + int(path.stem))}.png"))
    done = stabilise(tmp_path, "--set", "segment.missing=empty")
    assert done.returncode == 1
    assert (
        "3 masks numbered 2 to 4 for 6 frames may be frames 2 to 4 (segment.first=0" in done.stdout
    )
