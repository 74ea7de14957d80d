"""Where masks lie: folders an object, results of a run, archives, arrays by key, data sets."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import InputError
from stages.media.masks.open import mask_digest
from stages.media.masks.pairing import find_masks, unused_masks
from tests.support.mask_samples import discs, folder_of, opened, rle

CLIP = discs()
HOW = {"frames": len(CLIP), "size": CLIP.shape[1:]}


def black_and_white(path, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


def write_clip(folder, masks=CLIP):
    for t, mask in enumerate(masks):
        black_and_white(folder / f"{t:05}.png", mask)
    return folder


def labels_of(path, **how):
    return np.stack(list(opened(path, **HOW, **how)))


@pytest.mark.parametrize(("names", "labels"), [(("001", "003"), (1, 3)), (("0", "1"), (1, 2))])
def test_a_folder_an_object_gives_its_number(tmp_path, names, labels):
    for name, masks in zip(names, (CLIP, np.roll(CLIP, 20, axis=1)), strict=True):
        write_clip(tmp_path / "clip" / name, masks)
    out = labels_of(tmp_path / "clip")
    assert opened(tmp_path / "clip", **HOW).legend.classes == labels
    np.testing.assert_array_equal(out == labels[1], np.roll(CLIP, 20, axis=1))


def test_objects_that_are_not_there_in_some_frames_are_no_missing_masks(tmp_path):
    write_clip(tmp_path / "clip" / "cat")
    write_clip(tmp_path / "clip" / "dog", CLIP[:2])
    masks = opened(tmp_path / "clip", **HOW)
    assert masks.legend.names == {1: "cat", 2: "dog"}
    assert [2 in frame for frame in masks] == [True, True, False, False, False, False]
    known = json.loads(json.dumps(masks.known))
    again = opened(tmp_path / "clip", known=known, **HOW)
    np.testing.assert_array_equal(np.stack(list(again)), np.stack(list(masks)))


def test_the_digest_of_masks_counts_folders_in_folders(tmp_path):
    write_clip(tmp_path / "clip" / "1")
    before = mask_digest(tmp_path / "clip")
    black_and_white(tmp_path / "clip" / "1" / "00002.png", CLIP[0])
    assert mask_digest(tmp_path / "clip") != before


@pytest.mark.parametrize("keys", ["{}", "{:05}", "frame_{:06}"])
def test_a_npz_may_hold_an_array_a_frame(tmp_path, keys):
    np.savez(tmp_path / "clip.npz", **{keys.format(t): mask for t, mask in enumerate(CLIP)})
    np.testing.assert_array_equal(labels_of(tmp_path / "clip.npz") > 0, CLIP)


def test_a_npz_may_hold_other_things_than_masks(tmp_path):
    np.savez(tmp_path / "clip.npz", masks=CLIP, scores=np.ones(len(CLIP)), ids=np.arange(3))
    np.testing.assert_array_equal(labels_of(tmp_path / "clip.npz") > 0, CLIP)


@pytest.mark.parametrize("order", ["TNHW", "NTHW", "THWN"])
def test_a_bool_array_of_objects_has_a_label_an_object(tmp_path, order):
    stack = np.stack([CLIP, np.roll(CLIP, 24, axis=1)])
    path = tmp_path / "clip.npy"
    np.save(path, stack.transpose({"TNHW": (1, 0, 2, 3), "NTHW": (0, 1, 2, 3), "THWN": (1, 2, 3, 0)}[order]))  # fmt: skip  # noqa: E501
    out = labels_of(path)
    np.testing.assert_array_equal(out == 2, stack[1])
    np.testing.assert_array_equal(out == 1, stack[0] & ~stack[1])


def test_classes_that_fill_the_picture_begin_with_the_background(tmp_path):
    np.save(tmp_path / "clip.npy", np.stack([~CLIP, CLIP], axis=1))
    np.testing.assert_array_equal(labels_of(tmp_path / "clip.npy"), CLIP)


def test_as_many_objects_as_frames_is_asked_for(tmp_path):
    np.save(tmp_path / "clip.npy", np.stack([CLIP] * len(CLIP)))
    with pytest.raises(InputError, match=r"clip\.npy: .* may be 6 frames of 6 objects"):
        opened(tmp_path / "clip.npy", **HOW)


def test_results_of_an_earlier_run_are_masks(tmp_path):
    write_clip(tmp_path / "out" / "clip" / "masks")
    for name in ("masks.mkv", "metrics.json", "overlay.mp4"):
        (tmp_path / "out" / "clip" / name).write_bytes(b"{}")
    (tmp_path / "out" / "report").mkdir()
    (tmp_path / "out" / "run.json").write_text("{}")
    mask_files = find_masks(tmp_path / "out", "clip")
    assert mask_files == tmp_path / "out" / "clip" / "masks"
    assert unused_masks(tmp_path / "out", [mask_files]) == []


def test_an_archive_is_read_as_the_folder_that_it_holds(tmp_path):
    folder = write_clip(tmp_path / "clip")
    packed = shutil.make_archive(str(tmp_path / "out" / "masks"), "zip", folder)
    np.testing.assert_array_equal(labels_of(tmp_path / "out" / "masks.zip") > 0, CLIP)
    assert packed.endswith("masks.zip")


def test_an_archive_of_several_clips_has_the_one_asked_for(tmp_path):
    root = tmp_path / "set"
    write_clip(root / "a")
    write_clip(root / "b", ~CLIP)
    shutil.make_archive(str(tmp_path / "masks" / "all"), "zip", root)
    path = find_masks(tmp_path / "masks", "b")
    assert path == tmp_path / "masks" / "all.zip"
    np.testing.assert_array_equal(labels_of(path, clip="b") > 0, ~CLIP)
    with pytest.raises(InputError, match=r"all\.zip: 2 folders of pictures, .*segment\.video"):
        opened(path, **HOW)


def test_a_damaged_archive_is_named(tmp_path):
    (tmp_path / "clip.zip").write_bytes(b"PK\3\4 no archive")
    with pytest.raises(InputError, match=r"clip\.zip: not a readable archive"):
        opened(tmp_path / "clip.zip", **HOW)
    with zipfile.ZipFile(tmp_path / "clip.zip", "w") as archive:
        archive.writestr("readme.txt", "")
    with pytest.raises(InputError, match="expected pictures in the archive, got none"):
        opened(tmp_path / "clip.zip", **HOW)


@pytest.mark.parametrize(
    ("clip", "where"),
    [
        ("a/origin", "a/mask"),
        ("JPEGImages/480p/bear", "Annotations/480p/bear"),
        ("images/bear", "masks/bear"),
        ("bear", "bear/masks"),
        ("bear", "bear_masks.npz"),
    ],
)
def test_layouts_of_data_sets_are_known(tmp_path, clip, where):
    (tmp_path / clip).mkdir(parents=True)
    if where.endswith(".npz"):
        (tmp_path / clip).rmdir()
        np.savez(tmp_path / where, CLIP)
    else:
        write_clip(tmp_path / where)
    assert find_masks(tmp_path, clip) == tmp_path / where


def coco_set(*clips):
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "x"}]}
    for clip in clips:
        for t, mask in enumerate(CLIP if clip == "b" else ~CLIP):
            number = len(content["images"])
            image = {"id": number, "file_name": f"{clip}/{t}.jpg", "height": 48, "width": 64}
            content["images"].append(image)
            content["annotations"].append(
                {"image_id": number, "category_id": 1, "segmentation": rle(mask)}
            )
    return content


def test_one_file_may_hold_the_masks_of_many_clips(tmp_path):
    (tmp_path / "instances.json").write_text(json.dumps(coco_set("a", "b")))
    path = find_masks(tmp_path, "b")
    assert path == tmp_path / "instances.json"
    np.testing.assert_array_equal(labels_of(path, clip="b") > 0, CLIP)
    assert find_masks(path, "b") == path
    assert find_masks(tmp_path, "c") is None
    with pytest.raises(
        InputError, match=r"2 videos, and none has the name of the clip c: 'a', 'b'"
    ):
        opened(path, **HOW, clip="c")


@pytest.mark.parametrize("form", ["{}_{}.png", "{}_frame_{:06}.PNG", "{}_mp4-{:04}_jpg.rf.0a1.jpg"])
def test_clips_of_a_flat_set_are_told_by_what_comes_before_numbers(tmp_path, form):
    content = coco_set("a2", "b")
    for image in content["images"]:
        clip, number = image["file_name"].removesuffix(".jpg").split("/")
        image["file_name"] = form.format(clip, int(number))
    (tmp_path / "set.json").write_text(json.dumps(content))
    np.testing.assert_array_equal(labels_of(tmp_path / "set.json", clip="b") > 0, CLIP)
    assert find_masks(tmp_path, "a2") == tmp_path / "set.json"


def test_masks_of_no_clip_are_named(tmp_path):
    used = write_clip(tmp_path / "a")
    write_clip(tmp_path / "b")
    (tmp_path / "notes.txt").touch()
    assert unused_masks(tmp_path, [used]) == ["b"]


def vis(names, masks):
    shapes = [rle(mask) for mask in masks]
    video = {"id": 1, "height": 48, "width": 64, "file_names": [f"clip/{n}.jpg" for n in names]}
    track = {"id": 1, "video_id": 1, "category_id": 26, "segmentations": shapes}
    return {"videos": [video], "annotations": [track], "categories": [{"id": 26, "name": "owl"}]}


def test_file_names_of_youtube_vis_count_not_their_order(tmp_path):
    order = sorted(range(6), key=lambda t: str(5 * t))
    content = vis([5 * t for t in order], CLIP[order])
    (tmp_path / "clip.json").write_text(json.dumps(content))
    frames = [f"{5 * t}.jpg" for t in range(6)]
    np.testing.assert_array_equal(labels_of(tmp_path / "clip.json", frame_names=frames) > 0, CLIP)
    assert opened(tmp_path / "clip.json", **HOW).legend.names == {1: "owl"}


def test_every_third_frame_of_youtube_vis_is_held(tmp_path):
    (tmp_path / "clip.json").write_text(json.dumps(vis([0, 3], CLIP[[0, 3]])))
    out = labels_of(tmp_path / "clip.json", missing="hold")
    np.testing.assert_array_equal(out > 0, CLIP[[0, 0, 0, 3, 3, 3]])


def test_lists_of_results_are_read(tmp_path):
    results = [
        {"image_id": t, "category_id": 2, "segmentation": rle(mask), "score": 0.9}
        for t, mask in enumerate(CLIP)
    ]
    (tmp_path / "a.json").write_text(json.dumps(results))
    np.testing.assert_array_equal(labels_of(tmp_path / "a.json") == 2, CLIP)
    track = {"video_id": 1, "category_id": 2, "segmentations": [rle(mask) for mask in CLIP]}
    (tmp_path / "b.json").write_text(json.dumps([track]))
    np.testing.assert_array_equal(labels_of(tmp_path / "b.json") == 1, CLIP)


def test_annotations_at_another_size_are_drawn_there_and_resized(tmp_path):
    (tmp_path / "clip.json").write_text(json.dumps(vis(range(6), CLIP)))
    masks = opened(tmp_path / "clip.json", frames=6, size=(96, 128))
    np.testing.assert_array_equal(np.stack(list(masks))[:, ::2, ::2] > 0, CLIP)
    assert any("resized" in warning for warning in masks.warnings)


def test_a_thousand_clips_are_paired_in_a_moment(tmp_path):
    import time

    for k in range(1000):
        (tmp_path / f"clip{k}").mkdir()
        (tmp_path / f"clip{k}" / "00000.png").touch()
    began = time.perf_counter()
    paths = [find_masks(tmp_path, f"clip{k}") for k in range(1000)]
    assert None not in paths
    assert time.perf_counter() - began < 5


def test_a_file_of_a_thousand_clips_is_paired_in_a_moment(tmp_path):
    import time

    content = {"images": [], "annotations": [], "categories": []}
    for k in range(1000):
        content["images"] += [
            {"id": 5 * k + t, "file_name": f"clip{k}/{t}.jpg", "height": 48, "width": 64}
            for t in range(5)
        ]
    (tmp_path / "set.json").write_text(json.dumps(content))
    began = time.perf_counter()
    paths = [find_masks(tmp_path, f"clip{k}") for k in range(1000)]
    assert None not in paths
    assert time.perf_counter() - began < 5


def test_frames_in_folders_may_hold_stacks_and_colours(tmp_path):
    folder = folder_of(tmp_path, CLIP, lambda p, m: np.save(p, np.stack([m, ~m])), "{:03}.npy")
    np.testing.assert_array_equal(labels_of(folder), ~CLIP)
