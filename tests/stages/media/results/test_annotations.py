"""Annotations: read back to the same pixels by us and by the libraries that their users have."""

import json
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from stages.media.masks.contract import FootageFacts
from stages.media.masks.open import open_masks
from stages.media.results.annotations import outlines
from stages.media.results.coco_set import join_coco
from stages.media.results.settings import Annotations, ResultSettings
from tests.stages.media.results.test_formats import CLASSES, PTS, SIZE, scenes, timeline
from tests.support.result_files import result_clip, write_all

# pycocotools of this release says so wherever it decodes.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def written(folder, name, classes=CLASSES, names=(), **annotations):
    settings = ResultSettings(formats=(name,), annotations=Annotations(**annotations))
    clip = result_clip(timeline(names=names), classes=classes)
    return write_all(folder, clip, scenes(), settings, length=2) / clip_file(name)


def clip_file(name):
    return {"cvat": "cvat.xml", "yolo": "yolo"}.get(name, f"{name}.json")


def truth():
    return np.stack([labels for labels, _, _ in scenes()])


@pytest.mark.parametrize("name", ["coco", "ytvis"])
def test_we_read_the_same_pixels_and_names_back(tmp_path, name):
    path = written(tmp_path, name)
    source = open_masks(path, FootageFacts(clip="clip", frames=len(PTS), size=SIZE))
    wanted = truth()
    if name == "ytvis":  # our reader counts tracks from 1
        wanted = np.searchsorted([0, *CLASSES], wanted)
    np.testing.assert_array_equal(np.stack(list(source.read(0, len(PTS)))), wanted)
    categories = json.loads(path.read_text())["categories"]
    assert {entry["id"]: entry["name"] for entry in categories} == CLASSES


def test_pycocotools_reads_the_same_pixels(tmp_path, capsys):
    data = COCO(str(written(tmp_path, "coco", names=tuple(f"f{t}.png" for t in range(len(PTS))))))
    assert [image["file_name"] for image in data.dataset["images"]] == [
        f"f{t}.png" for t in range(5)
    ]
    for t, labels in enumerate(truth()):
        annotations = data.loadAnns(data.getAnnIds(imgIds=[t + 1]))
        assert {entry["track_id"] for entry in annotations} == set(CLASSES)
        for entry in annotations:
            np.testing.assert_array_equal(data.annToMask(entry) > 0, labels == entry["category_id"])
            assert entry["area"] == (labels == entry["category_id"]).sum()


def test_ids_of_one_name_are_objects_of_one_category(tmp_path):
    content = json.loads(written(tmp_path, "ytvis", classes={3: "dog", 7: "dog"}).read_text())
    assert content["categories"] == [{"id": 3, "name": "dog"}]
    assert [(track["id"], track["category_id"]) for track in content["annotations"]] == [
        (3, 3), (7, 3),
    ]  # fmt: skip


def test_polygons_are_off_by_no_more_than_the_tolerance(tmp_path, capsys):
    data = COCO(str(written(tmp_path, "coco", shapes="polygons", tolerance=1)))
    for t, labels in enumerate(truth()):
        for entry in data.loadAnns(data.getAnnIds(imgIds=[t + 1])):
            assert isinstance(entry["segmentation"], list)
            ours, true = data.annToMask(entry) > 0, labels == entry["category_id"]
            assert (ours & true).sum() / (ours | true).sum() > 0.92
            core = cv2.erode(true.astype(np.uint8), np.ones((3, 3))) > 0
            assert ours[core].all()


def cvat_masks(path):
    """Decode the masks of a file as CVAT does: runs in the box, background first."""
    frames = np.zeros((len(PTS), *SIZE), np.uint16)
    ids = {name: label for label, name in CLASSES.items()}
    for track in ElementTree.parse(path).getroot().iter("track"):
        for mask in track.iter("mask"):
            if mask.get("outside") == "1":
                continue
            runs = [int(run) for run in mask.get("rle").split(",")]
            rows, columns = int(mask.get("height")), int(mask.get("width"))
            box = np.repeat(np.arange(len(runs)) % 2, runs).reshape(rows, columns)
            top, left = int(mask.get("top")), int(mask.get("left"))
            view = frames[int(mask.get("frame"))][top : top + rows, left : left + columns]
            view[box > 0] = ids[track.get("label")]
    return frames


def test_cvat_masks_are_the_same_pixels(tmp_path):
    path = written(tmp_path, "cvat")
    np.testing.assert_array_equal(cvat_masks(path), truth())
    meta = ElementTree.parse(path).getroot().find("meta/task")
    assert [label.findtext("name") for label in meta.iter("label")] == list(CLASSES.values())


def test_cvat_polygons_have_fewer_key_frames_where_little_changes(tmp_path):
    path = written(tmp_path, "cvat", shapes="polygons", overlap=0.8)
    tracks = list(ElementTree.parse(path).getroot().iter("track"))
    assert [track.get("label") for track in tracks] == list(CLASSES.values())
    frames = [int(polygon.get("frame")) for polygon in tracks[0].iter("polygon")]
    assert frames[0] == 0
    assert frames[-1] == len(PTS) - 1
    assert len(frames) < len(PTS)
    for polygon in tracks[0].iter("polygon"):
        corners = [[float(side) for side in p.split(",")] for p in polygon.get("points").split(";")]
        plane = np.zeros(SIZE, np.uint8)
        cv2.fillPoly(plane, [np.asarray(corners).astype(np.int32)], 1)
        true = truth()[int(polygon.get("frame"))] == 3
        assert ((plane > 0) & true).sum() / ((plane > 0) | true).sum() > 0.95


def unpack_brush(packed):
    """Decode Label Studio's brush as its converter does, bit by bit."""
    bits = "".join(f"{byte:08b}" for byte in packed)
    at = 0

    def next_bits(count):
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    size, word = next_bits(32), next_bits(5) + 1
    sizes = [next_bits(4) + 1 for _ in range(4)]
    values = []
    while len(values) < size:
        run = next_bits(1)
        length = next_bits(sizes[next_bits(2)]) + 1
        values += [next_bits(word)] * length if run else [next_bits(word) for _ in range(length)]
    return np.array(values, np.uint8)


def test_label_studio_brushes_are_the_same_pixels(tmp_path):
    tasks = json.loads(written(tmp_path, "label_studio").read_text())
    assert len(tasks) == len(PTS)
    for task, labels in zip(tasks, truth(), strict=True):
        (prediction,) = task["predictions"]
        for entry in prediction["result"]:
            mask = unpack_brush(entry["value"]["rle"]).reshape(*SIZE, 4)[..., 3] > 0
            name = entry["value"]["brushlabels"][0]
            assert CLASSES[entry["meta"]["track"]] == name
            np.testing.assert_array_equal(mask, labels == entry["meta"]["track"])


def test_yolo_has_pictures_outlines_and_names(tmp_path):
    folder = written(tmp_path, "yolo")
    assert (folder / "data.yaml").read_text().endswith('names:\n  0: "person"\n  1: "a/b: c"\n')
    for t, labels in enumerate(truth()):
        assert cv2.imread(str(folder / "images" / f"{t:05d}.jpg")).shape[:2] == SIZE
        classes = set()
        for line in (folder / "labels" / f"{t:05d}.txt").read_text().splitlines():
            number, *sides = line.split()
            corners = np.reshape(np.array(sides, float), (-1, 2)) * SIZE[::-1]
            plane = np.zeros(SIZE, np.uint8)
            cv2.fillPoly(plane, [np.asarray(corners).astype(np.int32)], 1)
            true = labels == list(CLASSES)[int(number)]
            assert ((plane > 0) & true).sum() / ((plane > 0) | true).sum() > 0.95
            classes.add(int(number))
        assert classes == {0, 1}


@pytest.mark.parametrize("name", ["coco", "ytvis", "cvat", "label_studio", "yolo"])
def test_clips_without_any_object_can_be_written(tmp_path, name):
    clip = result_clip(timeline(), classes={})
    clip = type(clip)(clip.name, clip.source, clip.timeline, {})
    pixels = (
        (np.zeros_like(labels), picture, alpha[..., :0]) for labels, picture, alpha in scenes()
    )
    write_all(tmp_path, clip, pixels, ResultSettings(formats=(name,)))
    assert (tmp_path / clip_file(name)).exists()


def test_outlines_without_tolerance_are_the_same_pixels_to_pycocotools(tmp_path):
    data = COCO(str(written(tmp_path, "coco", shapes="polygons", tolerance=0)))
    for t, labels in enumerate(truth()):
        for entry in data.loadAnns(data.getAnnIds(imgIds=[t + 1])):
            np.testing.assert_array_equal(data.annToMask(entry) > 0, labels == entry["category_id"])


def test_a_pixel_alone_has_an_outline():
    mask = np.zeros(SIZE, np.bool_)
    mask[3, 5] = True
    assert outlines(mask, 0) == [[5.25, 3.25, 5.25, 3.75, 5.75, 3.75, 5.75, 3.25]]


UNTRUSTED = np.array([[0.0, 0.5], [0.3, 0.1], [np.nan, 0.2], [0.19, 0.0], [1.0, 1.0]])


def unsure_objects():
    """Return frame and class id of the objects that should be marked: a fifth is not trusted."""
    return {
        (t, label)
        for t, row in enumerate(UNTRUSTED)
        for label, v in zip(CLASSES, row, strict=True)
        if v >= 0.2
    }


def marked_file(folder, name):
    clip = result_clip(timeline(), classes=CLASSES)
    settings = ResultSettings(formats=(name,))
    return write_all(folder, clip, scenes(), settings, length=2, untrusted=UNTRUSTED) / clip_file(
        name
    )


def test_coco_marks_what_is_not_trusted(tmp_path):
    entries = json.loads(marked_file(tmp_path, "coco").read_text())["annotations"]
    marks = {(e["image_id"] - 1, e["category_id"]) for e in entries if e["unsure"]}
    assert marks == unsure_objects()
    assert all(e["attributes"] == {"unsure": e["unsure"]} for e in entries)


def test_cvat_marks_what_is_not_trusted_and_is_read_as_before(tmp_path):
    path = marked_file(tmp_path, "cvat")
    ids = {name: label for label, name in CLASSES.items()}
    marks = {
        (int(mask.attrib["frame"]), ids[track.attrib["label"]])
        for track in ElementTree.parse(path).getroot().iter("track")
        for mask in track
        if mask.findtext("attribute") == "true"
    }
    assert marks == unsure_objects()
    source = open_masks(path, FootageFacts("clip", len(PTS), SIZE))
    assert sorted(source.legend.names.values()) == sorted(CLASSES.values())


def test_label_studio_marks_what_is_not_trusted(tmp_path):
    tasks = json.loads(marked_file(tmp_path, "label_studio").read_text())
    marks = {
        (t, entry["meta"]["track"])
        for t, task in enumerate(tasks)
        for entry in task["predictions"][0]["result"]
        if entry["meta"].get("text") == ["unsure"]
    }
    assert marks == unsure_objects()


def test_nothing_is_marked_where_nobody_has_judged(tmp_path):
    assert "unsure" not in json.loads(written(tmp_path, "coco").read_text())["annotations"][0]


def test_a_data_set_is_one_file_that_pycocotools_and_we_read(tmp_path):
    for clip, classes in (("day1/a", CLASSES), ("b", {3: "dog", 7: "person"})):
        folder = tmp_path / clip
        folder.mkdir(parents=True)
        written(folder, "coco", classes=classes)
    path = join_coco(tmp_path, ["b", "day1/a", "absent"])
    content = COCO(str(path))
    assert len(content.imgs) == 2 * len(PTS)
    assert {c["name"] for c in content.cats.values()} == {"dog", "person", "a/b: c"}
    assert len(set(content.anns)) == len(content.dataset["annotations"])
    for clip, classes in (("b", {3: "dog", 7: "person"}), ("day1/a", CLASSES)):
        source = open_masks(path, FootageFacts(clip, len(PTS), SIZE))
        ids = {source.legend.names[k]: k for k in source.legend.classes}
        found = np.stack(list(source))
        for label, name in classes.items():
            np.testing.assert_array_equal(found == ids[name], truth() == label)


def test_a_data_set_without_files_is_none(tmp_path):
    assert join_coco(tmp_path, ["a"]) is None
    assert list(tmp_path.iterdir()) == []
