"""Every format that masks come in, and where they are found."""

import json
import tracemalloc

import numpy as np
import pytest

from pipeline.errors import InputError
from stages.media.masks.pairing import find_masks
from stages.media.masks.palette import write_indexed_png
from tests.support.mask_samples import FRAMES, SIZE, folder_of, grey, labels, opened, read, rle


def test_indexed_png(tmp_path):
    folder = folder_of(tmp_path, labels(1, 200), write_indexed_png)
    assert opened(folder).legend.classes == (1, 200)
    np.testing.assert_array_equal(read(folder), labels(1, 200))


def test_black_and_white_png(tmp_path):
    folder = folder_of(tmp_path, labels(255), grey)
    assert opened(folder).legend.classes == (1,)
    np.testing.assert_array_equal(read(folder), labels(1))


def test_grey_label_png(tmp_path):
    folder = folder_of(tmp_path, labels(2, 11), grey)
    assert opened(folder).legend.classes == (2, 11)
    np.testing.assert_array_equal(read(folder), labels(2, 11))


def test_sixteen_bit_png(tmp_path):
    folder = folder_of(tmp_path, labels(255, 300, 65535), write_indexed_png)
    assert opened(folder).legend.classes == (255, 300, 65535)
    np.testing.assert_array_equal(read(folder), labels(255, 300, 65535))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
def test_a_folder_of_label_arrays(tmp_path, dtype):
    folder = folder_of(tmp_path, labels(1).astype(dtype), np.save, name="{:03d}.npy")
    np.testing.assert_array_equal(read(folder), labels(1))


def test_a_folder_of_soft_arrays(tmp_path):
    soft = np.stack([labels(1) * 0.25, labels(0, 1) * 0.5], axis=1)
    folder = folder_of(tmp_path, soft, lambda p, a: np.savez(p, mask=a), name="{:03d}.npz")
    assert opened(folder).legend.classes == (1, 2)
    np.testing.assert_allclose(read(folder), soft)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_one_array_for_the_clip(tmp_path, suffix, order):
    path = tmp_path / f"clip{suffix}"
    (np.save if suffix == ".npy" else np.savez_compressed)(path, labels(2, 5).copy(order))
    assert opened(path).legend.classes == (2, 5)
    np.testing.assert_array_equal(read(path), labels(2, 5))


def test_a_packed_array_is_read_in_the_memory_of_a_few_frames(tmp_path):
    path = tmp_path / "clip.npz"
    np.savez_compressed(path, np.zeros((80, 200, 200), np.float32))
    tracemalloc.start()
    count = sum(1 for _ in opened(path, frames=80, size=(200, 200)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 80
    assert peak < 10 * 200 * 200 * 4


def test_a_soft_array_may_start_with_the_background(tmp_path):
    soft = labels(1)[:, None].astype(np.float32) * 0.75
    np.save(tmp_path / "clip.npy", np.concatenate([1 - soft, soft], axis=1))
    np.testing.assert_allclose(read(tmp_path / "clip.npy"), soft, atol=1e-6)


def coco_file(tmp_path, annotations, frames=FRAMES, **more):
    images = [
        {"id": 7 + t, "file_name": f"{t}.jpg", "height": SIZE[0], "width": SIZE[1]}
        for t in range(frames)
    ]
    path = tmp_path / "clip.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, **more}))
    return path


def square(category):
    corners = [[0, 8, 4, 8, 4, 12, 0, 12]]
    return {"image_id": 7, "category_id": category, "segmentation": corners}


def test_coco_run_lengths_and_polygons(tmp_path):
    results = [
        {"image_id": 7 + t, "category_id": 9, "segmentation": rle(labels(1)[t] > 0)}
        for t in range(FRAMES)
    ]
    masks = read(coco_file(tmp_path, [*results, square(2)]))
    np.testing.assert_array_equal(masks == 9, labels(1) > 0)
    assert (masks[0] == 2).sum() == 16


def test_a_box_without_segmentation_is_no_mask(tmp_path):
    path = coco_file(tmp_path, [{**square(1), "segmentation": []}])
    assert opened(path).legend.classes == ()


def test_images_that_coco_lacks_are_missing_masks(tmp_path):
    path = coco_file(tmp_path, [square(3)], frames=2)
    with pytest.raises(InputError, match="2 of 4 frames have no mask"):
        opened(path)
    assert not read(path, missing="empty")[2:].any()


@pytest.mark.parametrize(("category", "expected"), [(-1, "0 or more"), (4, r"one of .* \[3\]")])
def test_categories_that_are_no_classes_are_refused(tmp_path, category, expected):
    known = {"categories": [{"id": 3}]} if category == 4 else {}
    path = coco_file(tmp_path, [square(category)], **known)
    with pytest.raises(InputError, match=f"expected category_id {expected}.*, got {category}"):
        opened(path)


def test_categories_from_0_move_up_by_one_and_keep_their_names(tmp_path):
    known = [{"id": 0, "name": "person"}, {"id": 2, "name": "car"}]
    path = coco_file(tmp_path, [square(0), {**square(2), "image_id": 8}], categories=known)
    assert opened(path).legend.classes == (1, 3)
    assert opened(path).legend.names == {1: "person", 3: "car"}
    assert "category_id 0 is a class: label = category_id + 1" in opened(path).warnings


@pytest.mark.parametrize(
    "categories",
    [
        [{"id": 0, "name": "_background_"}, {"id": 2, "name": "car"}],
        [{"id": 0, "name": "things"}, {"id": 2, "name": "car", "supercategory": "things"}],
    ],
)
def test_background_and_headings_leave_other_categories_in_their_place(tmp_path, categories):
    path = coco_file(tmp_path, [square(2)], categories=categories)
    assert opened(path).legend.names == {2: "car"}


def test_large_category_ids_are_counted(tmp_path):
    path = coco_file(tmp_path, [square(70000)])
    assert opened(path).legend.classes == (1,)


def test_youtube_vis(tmp_path):
    tracks = [
        {"segmentations": [rle(labels(1)[t] > 0) for t in range(FRAMES)]},
        {"segmentations": [None, rle(labels(0, 1)[1] > 0), None, None]},
    ]
    path = tmp_path / "clip.json"
    path.write_text(json.dumps({"videos": [{"id": 1}], "annotations": tracks}))
    masks = read(path)
    np.testing.assert_array_equal(masks == 1, labels(1) > 0)
    np.testing.assert_array_equal((masks == 2).sum((1, 2)), [0, 12, 0, 0])
    with pytest.raises(
        InputError, match="expected 5 annotated frames, as many as the footage has, got 4"
    ):
        opened(path, frames=5)


def test_masks_are_found_by_the_clips_name(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b.npy").touch()
    (tmp_path / "e.mp4").mkdir()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.mkv").touch()
    assert find_masks(tmp_path, "a") == tmp_path / "a"
    assert find_masks(tmp_path, "b") == tmp_path / "b.npy"
    assert find_masks(tmp_path, "deep/c") == tmp_path / "deep" / "c.mkv"
    assert find_masks(tmp_path, "e") == tmp_path / "e.mp4"
    assert find_masks(tmp_path, "d") is None
    assert find_masks(tmp_path, "nowhere/d") is None


def test_clips_that_differ_only_in_extension_have_masks_of_their_own(tmp_path):
    for name in ("a.mp4", "a.mov.npy"):
        (tmp_path / name).touch()
    assert find_masks(tmp_path, "a.mp4") == tmp_path / "a.mp4"
    assert find_masks(tmp_path, "a.mov") == tmp_path / "a.mov.npy"


@pytest.mark.parametrize(("ours", "theirs"), [("e\u0301", "\u00e9"), ("\u00e9", "e\u0301")])
def test_an_accent_may_be_spelled_in_two_ways(tmp_path, ours, theirs):
    (tmp_path / f"caf{theirs}").mkdir()
    mask_files = find_masks(tmp_path, f"caf{ours}")
    assert mask_files is not None
    assert mask_files.is_dir()


def test_two_sets_of_masks_for_one_clip_are_an_error(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a.npy").touch()
    with pytest.raises(InputError, match=r"a: expected one set of masks, got .*a, .*a\.npy"):
        find_masks(tmp_path, "a")


def test_the_masks_of_a_single_clip_may_lie_in_the_folder_itself(tmp_path):
    folder = folder_of(tmp_path, labels(1), write_indexed_png)
    assert find_masks(folder, "video", alone=True) == folder
    assert find_masks(folder, "video") is None


@pytest.mark.parametrize("names", [["beach"], ["beach", "street"], ["person", "car"]])
def test_folders_with_other_names_than_the_only_clip_stop(tmp_path, names):
    for name in names:
        folder_of(tmp_path, labels(1), write_indexed_png).rename(tmp_path / name)
    with pytest.raises(InputError, match=rf"folders of masks \(.*{names[0]}.*clip video.*another"):
        find_masks(tmp_path, "video", alone=True)
    assert find_masks(tmp_path / names[0], "video", alone=True) == tmp_path / names[0]
    if "street" in names:
        assert find_masks(tmp_path, "street", alone=True) == tmp_path / "street"


@pytest.mark.parametrize("name", ["001", "object_1", "obj3"])
def test_numbered_folders_are_objects_of_the_only_clip(tmp_path, name):
    folder_of(tmp_path, labels(1), write_indexed_png).rename(tmp_path / name)
    assert find_masks(tmp_path, "video", alone=True) == tmp_path


def test_one_array_of_another_name_than_the_only_clip_stops(tmp_path):
    np.save(tmp_path / "beach.npy", np.zeros((4, 8, 8), np.uint8))
    with pytest.raises(InputError, match=r"beach\.npy: has another name than the clip video: if"):
        find_masks(tmp_path, "video", alone=True)
    assert find_masks(tmp_path / "beach.npy", "video", alone=True) == tmp_path / "beach.npy"


def test_folders_beside_masks_are_named(tmp_path):
    inner = folder_of(tmp_path, labels(2), write_indexed_png).rename(tmp_path / "instances")
    folder = folder_of(tmp_path, labels(1), write_indexed_png)
    inner.rename(folder / "instances")
    assert opened(folder).warnings[-1] == "folders beside the masks are left out: instances"


@pytest.mark.parametrize(
    ("count", "hint"), [(5, r"array\[:4\] or array\[1:\]"), (3, r"\.npz with")]
)
def test_an_array_of_more_or_fewer_masks_says_what_to_do(tmp_path, count, hint):
    np.save(tmp_path / "clip.npy", np.zeros((count, *SIZE), np.uint8))
    with pytest.raises(InputError, match=rf"expected 4 masks, one a frame, got {count}: .*{hint}"):
        opened(tmp_path / "clip.npy")
