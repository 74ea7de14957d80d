"""Whole exports of tools, as they come out of the archive; and files that are refused by name."""

import json

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import InputError
from stages.media.masks.formats.foreign import FORMATS
from stages.media.masks.pairing import find_masks
from tests.support.mask_samples import FRAMES, SIZE, labels, opened, rle

ROWS, COLUMNS = SIZE
TRUTH = labels(1, 2)
CAT_DOG = ["cat", "dog"]


def coco(names):
    images, annotations = [], []
    for t, name in enumerate(names):
        images.append({"id": t + 1, "file_name": name, "height": ROWS, "width": COLUMNS})
        annotations += [
            {
                "id": 2 * t + k,
                "image_id": t + 1,
                "category_id": k,
                "segmentation": rle(TRUTH[t] == k),
            }
            for k in (1, 2)
        ]
    categories = [{"id": k, "name": name} for k, name in enumerate(CAT_DOG, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def datumaro(names):
    items = []
    for t, name in enumerate(names):
        left, right = t, t + 4
        box = [left, 5, right, 5, right, 8, left, 8]
        shapes = [
            {"type": "polygon", "label_id": 1, "points": box, "z_order": 1},
            {"type": "mask", "label_id": 0, "rle": rle(TRUTH[t] == 1), "z_order": 0},
            {"type": "bbox", "label_id": 0, "bbox": [0, 0, 1, 1]},
        ]
        picture = {"path": name, "size": [ROWS, COLUMNS]}
        items.append({"id": name[:-4], "annotations": shapes, "image": picture})
    listed = [{"name": name, "parent": "", "attributes": []} for name in CAT_DOG]
    return {"info": {}, "categories": {"label": {"labels": listed}}, "items": items}


FRAME_NAMES = [f"frame_{t:06d}.PNG" for t in range(FRAMES)]


def read_set(root):
    source = opened(find_masks(root, "clip", alone=True))
    np.testing.assert_array_equal(np.stack(list(source)), TRUTH)
    return source


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.mark.parametrize("place", ["", "clip"])
def test_coco_of_cvat_is_found_in_its_folder(tmp_path, place):
    write(tmp_path / place / "annotations/instances_default.json", coco(FRAME_NAMES))
    assert dict(read_set(tmp_path).legend.names) == {1: "cat", 2: "dog"}


def test_datumaro_has_masks_and_polygons(tmp_path):
    write(tmp_path / "annotations/default.json", datumaro(FRAME_NAMES))
    source = read_set(tmp_path)
    assert dict(source.legend.names) == {1: "cat", 2: "dog"}
    assert any("no regions are left out: bbox" in note for note in source.warnings)


def test_a_label_that_datumaro_does_not_list_is_refused(tmp_path):
    content = datumaro(FRAME_NAMES)
    content["items"][1]["annotations"][0]["label_id"] = 7
    write(tmp_path / "clip.json", content)
    with pytest.raises(InputError, match=r"clip\.json: .*expected a label_id below 2, got 7"):
        opened(tmp_path / "clip.json")


def test_yolo_of_cvat_is_found_in_its_folders(tmp_path):
    write(tmp_path / "data.yaml", "names: {0: cat, 1: dog}\ntrain: train.txt\n")
    write(tmp_path / "train.txt", "data/images/train/frame_000000.PNG\n")
    for t in range(FRAMES):
        lines = []
        for k in (0, 1):
            left, top, right, bottom = t, 1 + 4 * k, t + 3, 3 + 4 * k
            corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
            shares = [f"{x / COLUMNS:.6f} {y / ROWS:.6f}" for x, y in corners]
            lines.append(f"{k} {' '.join(shares)}")
        write(tmp_path / f"labels/train/frame_{t:06d}.txt", "\n".join(lines))
    assert dict(read_set(tmp_path).legend.names) == {1: "cat", 2: "dog"}


def test_pictures_of_roboflow_are_told_by_what_they_were_called_before(tmp_path):
    """It puts a digest after each name, and lists them in any order."""
    order = [2, 0, 3, 1]
    content = coco([f"clip_mp4-{t:04d}_jpg.rf.{7919**5 * (t + 3):x}.jpg" for t in range(FRAMES)])
    content["images"] = [content["images"][k] for k in order]
    write(tmp_path / "train/_annotations.coco.json", content)
    for image in content["images"]:
        Image.new("RGB", (COLUMNS, ROWS)).save(tmp_path / "train" / image["file_name"])
    read_set(tmp_path)


def test_a_split_of_roboflow_is_not_chosen_between(tmp_path):
    for part in ("train", "valid"):
        write(tmp_path / part / "_annotations.coco.json", coco(FRAME_NAMES))
    with pytest.raises(
        InputError, match=r"several files of annotations .*give one of them as --ma"
    ):
        find_masks(tmp_path, "clip", alone=True)


def test_pictures_beside_masks_of_their_names_are_left_out_and_said(tmp_path):
    (tmp_path / "clip").mkdir()
    for t in range(FRAMES):
        name = tmp_path / f"clip/a-{t:04d}_jpg.rf.{7919**5 * (t + 3):x}"
        Image.fromarray(TRUTH[t].astype(np.uint8)).save(f"{name}_mask.png")
        Image.new("RGB", (COLUMNS, ROWS)).save(f"{name}.jpg")
    assert any("left out: a-0000_jpg.rf" in note for note in read_set(tmp_path).warnings)


def test_several_files_of_annotations_in_a_folder_are_not_chosen_between(tmp_path):
    for part in ("train", "valid"):
        write(tmp_path / f"annotations/instances_{part}.json", coco(FRAME_NAMES))
    assert find_masks(tmp_path, "clip", alone=True) is None


STARTS = {
    "Darwin JSON of V7": {"version": "2.0", "schema_ref": "https://x/darwin_json/2.0/schema.json",
                          "item": {}, "annotations": []},
    "Supervisely JSON": {"size": {}, "objects": [{"geometryType": "bitmap", "classTitle": "cat"}]},
    "Scalabel JSON of BDD100K": [{"name": "a.jpg", "videoName": "a", "frameIndex": 0,
                                  "labels": [{"rle": {}}]}],
    "JSON of the VGG Image Annotator": {"a.jpg": {"regions": [{"shape_attributes": {}}]}},
    "JSON-MIN of Label Studio": [{"image": "a.jpg", "tag": [], "annotator": 1}],
    "polygons of Cityscapes": {"imgHeight": 12, "imgWidth": 16, "objects": []},
    "KITTI MOTS text": "0 2001 2 12 16 abc\n1 2001 2 12 16 abc\n",
}  # fmt: skip


@pytest.mark.parametrize("entry", FORMATS, ids=lambda entry: entry.title)
@pytest.mark.parametrize("in_folder", [False, True])
def test_what_cannot_be_read_is_refused_by_name_with_advice(tmp_path, entry, in_folder):
    path = tmp_path / "clip" / f"00000{entry.suffixes[0]}"
    write(path, STARTS.get(entry.title, "anything"))
    with pytest.raises(InputError) as refusal:
        opened(path.parent if in_folder else path)
    assert str(refusal.value) == f"{path}: {entry.title}, which is not read: {entry.advice}"


def test_a_project_of_supervisely_is_no_folder_of_pictures(tmp_path):
    write(tmp_path / "clip/ann/00000.jpg.json", STARTS["Supervisely JSON"])
    (tmp_path / "clip/img").mkdir()
    Image.new("RGB", (COLUMNS, ROWS)).save(tmp_path / "clip/img/00000.jpg")
    with pytest.raises(InputError, match="Supervisely JSON, which is not read"):
        opened(find_masks(tmp_path, "clip", alone=True))


def test_files_that_are_never_read_hide_no_masks_beside_them(tmp_path):
    (tmp_path / "clip.pt").write_bytes(b"tensors")
    (tmp_path / "clip").mkdir()
    for t in range(FRAMES):
        Image.fromarray(TRUTH[t].astype(np.uint8)).save(tmp_path / f"clip/{t:05d}.png")
    read_set(tmp_path)


def test_boxes_over_time_of_label_studio_are_refused_in_words(tmp_path):
    box = {"type": "videorectangle", "value": {"sequence": [], "labels": ["cat"]}}
    task = {"id": 1, "data": {"video": "clip.mp4"}, "annotations": [{"result": [box]}]}
    write(tmp_path / "clip.json", [task])
    with pytest.raises(
        InputError, match=r"clip\.json: boxes over the time of a video are no masks"
    ):
        opened(tmp_path / "clip.json")
