"""Masks and key frames that are odd or wrong, by the command: said, kept, and nothing invented."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from stages.media.masks.palette import read_labels, write_indexed_png
from steadymask.cli.main import main
from tests.support.small_library import SIZE, scene, write_clip

FRAMES = 8


def true_masks(root, frames=FRAMES):
    """Write a clip whose masks are the truth; return them."""
    write_clip(root, "a", frames)
    return rewrite(root, [scene(t)[1] for t in range(frames)])


def rewrite(root, masks):
    for path, labels in zip(sorted((root / "masks/a").iterdir()), masks, strict=True):
        write_indexed_png(path, labels)
    return np.stack(masks)


def key_frames(root, masks):
    (root / "keys/a").mkdir(parents=True)
    for frame, labels in masks.items():
        write_indexed_png(root / f"keys/a/{frame:05d}.png", labels)
    return "--keyframes", str(root / "keys")


def stabilise(root, *options, masks=True):
    command = [str(root / "footage"), "--out", str(root / "out"), "--executor", "inline"]
    command += ["--masks", str(root / "masks")] if masks else []
    command += ["--workers", "1", "--set", "report.enabled=false"]
    if "ingest.cuts" not in "".join(options):
        command += ["--set", "ingest.cuts=[]"]
    return main([*command, *options])


def results(root):
    return np.stack([read_labels(path) for path in sorted((root / "out/a/masks").iterdir())])


def review(root):
    return json.loads((root / "out/a/review.json").read_text())


def failure(root):
    return json.loads((root / "out/run.json").read_text())["failures"]["a"]


@pytest.mark.parametrize(
    ("frames", "shape", "words"),
    [
        ((3,), (40, 40), "key frames: .*40x40"),
        ((40, 41), SIZE, "key frames: .*frame"),
    ],
)
def test_key_frames_that_fit_no_frame_stop_the_clip_and_are_named(tmp_path, frames, shape, words):
    true_masks(tmp_path)
    keys = key_frames(tmp_path, {t: np.ones(shape, np.uint8) for t in frames})
    assert stabilise(tmp_path, *keys) == 1

    assert re.search(words, failure(tmp_path))
    assert "keys/a" in failure(tmp_path)


def test_an_object_that_no_mask_has_is_added_and_said(tmp_path):
    truth = true_masks(tmp_path)
    own = np.where(truth[4] == 3, 9, truth[4])
    assert stabilise(tmp_path, *key_frames(tmp_path, {4: own})) == 0
    np.testing.assert_array_equal(results(tmp_path)[4], own)
    notes = json.loads((tmp_path / "out/a/metrics.json").read_text())["notes"]
    assert any("key frames have classes 9, which no mask has" in note for note in notes)


def test_an_empty_key_frame_says_that_there_is_nothing_in_that_frame(tmp_path):
    truth = true_masks(tmp_path)
    assert stabilise(tmp_path, *key_frames(tmp_path, {4: np.zeros(SIZE, np.uint8)})) == 0
    out = results(tmp_path)
    assert not out[4].any()
    np.testing.assert_array_equal(out[[0, 7]], truth[[0, 7]])


def test_empty_key_frames_alone_leave_every_frame_empty_and_are_said(tmp_path):
    true_masks(tmp_path)
    keys = key_frames(tmp_path, {2: np.zeros(SIZE, np.uint8), 5: np.zeros(SIZE, np.uint8)})
    assert stabilise(tmp_path, *keys, masks=False) == 0
    assert not results(tmp_path).any()
    notes = json.loads((tmp_path / "out/a/metrics.json").read_text())
    assert any("no foreground" in str(part) for part in (notes["notes"], notes["warnings"]))


def test_key_frames_that_contradict_each_other_are_both_kept_and_said(tmp_path):
    truth = true_masks(tmp_path)
    other = np.where(truth[4] == 3, 0, truth[4])
    other[:20, 70:90] = 3
    assert stabilise(tmp_path, *key_frames(tmp_path, {3: truth[3], 4: other})) == 0
    out = results(tmp_path)
    np.testing.assert_array_equal(out[3], truth[3])
    np.testing.assert_array_equal(out[4], other)
    rows = [row for row in review(tmp_path)["rows"] if "contradict" in row["reason"]]
    assert [(row["frames"], row["object"], row["risk"]) for row in rows] == [([3, 5], 3, 1.0)]
    assert rows[0]["reason"] == "key frames 3 and 4 contradict each other"
    assert "contradict each other" in (tmp_path / "out/review.csv").read_text()


def test_where_every_frame_is_wrong_it_is_said_and_nothing_is_invented(tmp_path):
    rng = np.random.default_rng(3)
    write_clip(tmp_path, "a", FRAMES)
    wrong = []
    for _ in range(FRAMES):
        labels = np.zeros(SIZE, np.uint8)
        top, left = rng.integers(0, 40), rng.integers(0, 70)
        labels[top : top + 20, left : left + 20] = 3
        wrong.append(labels)
    wrong = rewrite(tmp_path, wrong)
    assert stabilise(tmp_path) == 0
    out = results(tmp_path)
    assert not (out.astype(bool) & ~wrong.any(axis=0)).any()  # nowhere but where some mask was
    assert np.mean(review(tmp_path)["risk"]["3"]) > 0.8
    assert review(tmp_path)["rows"]


@pytest.mark.parametrize("frames", [1, 2])
def test_one_and_two_frames_come_out_as_they_went_in(tmp_path, frames):
    truth = true_masks(tmp_path, frames)
    assert stabilise(tmp_path) == 0
    np.testing.assert_array_equal(results(tmp_path), truth)


@pytest.mark.parametrize(("size", "frames"), [((1, 1), 3), ((4, 4), 1), ((3, 64), 5), ((64, 3), 5)])
def test_pictures_of_a_few_pixels_come_out_with_their_report(tmp_path, size, frames):
    rng = np.random.default_rng(0)
    mask = np.zeros(size, np.uint8)
    mask[: size[0] // 2 + 1, : size[1] // 2 + 1] = 255
    for kind in ("footage", "masks"):
        (tmp_path / kind / "a").mkdir(parents=True)
    for t in range(frames):
        picture = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / f"footage/a/{t:05d}.png")
        Image.fromarray(mask).save(tmp_path / f"masks/a/{t:05d}.png")
    command = [str(tmp_path / "footage"), "--masks", str(tmp_path / "masks"), "--workers", "1"]
    assert main([*command, "--out", str(tmp_path / "out"), "--executor", "inline"]) == 0
    np.testing.assert_array_equal(results(tmp_path), np.stack([mask > 0] * frames))
    assert (tmp_path / "out/a/report/clip.json").is_file()


def test_a_cut_after_every_frame_leaves_every_mask_as_it_is(tmp_path):
    truth = true_masks(tmp_path)
    truth[3][truth[3] == 3] = 0  # missing: no other frame of the shot could say so
    rewrite(tmp_path, list(truth))
    cuts = list(range(1, FRAMES))
    assert stabilise(tmp_path, "--set", f"ingest.cuts={cuts}") == 0
    np.testing.assert_array_equal(results(tmp_path), truth)
