import json

import numpy as np
import pytest
from pycocotools import mask as coco

from pipeline.errors import InputError
from stages.media.masks.contract import FootageFacts, ReadingChoices
from stages.media.masks.identities import jumping_numbers_note
from stages.media.masks.key_frames import open_evidence
from stages.media.masks.open import open_masks
from stages.media.masks.palette import write_indexed_png
from tests.support.object_scenes import number_switches, scene_with_crossings, shuffled_numbers

FRAMES = 30
PICTURES, TRUTH = scene_with_crossings(3, frames=FRAMES)
NAMES = tuple(f"{frame:05d}.jpg" for frame in range(FRAMES))
FOOTAGE = FootageFacts("a", FRAMES, TRUTH.shape[1:], NAMES)
MATCH = ReadingChoices(objects="match")


def write_masks(folder, labels):
    folder.mkdir()
    for frame, plane in enumerate(labels):
        write_indexed_png(folder / f"{frame:05d}.png", plane.astype(np.uint8))
    return folder


def test_numbers_become_those_of_the_objects_and_parts_are_read_alike(tmp_path):
    files = {"masks": write_masks(tmp_path / "masks", shuffled_numbers(TRUTH))}
    source = open_evidence(files, FOOTAGE, MATCH, pictures=PICTURES)
    whole = np.stack(list(source))
    assert number_switches(TRUTH, whole) == 0
    assert source.legend.classes == (1, 2, 3, 4, 5)
    assert "matched through the clip: 5 objects" in source.reading
    known = json.loads(json.dumps(source.known))
    again = open_evidence(files, FOOTAGE, MATCH, known=known)
    assert np.array_equal(np.stack(list(again.read(0, FRAMES))), whole)


def test_shapes_of_one_category_are_objects_with_its_name(tmp_path):
    annotations, images = [], []
    for frame, plane in enumerate(TRUTH):
        images.append({"id": frame, "file_name": NAMES[frame], "height": 120, "width": 200})
        for label in np.unique(plane[plane > 0]).tolist():
            rle = coco.encode(np.asfortranarray((plane == label).astype(np.uint8)))
            rle["counts"] = rle["counts"].decode()
            category = 3 if label < 4 else 8
            annotations.append(
                {"id": len(annotations) + 1, "image_id": frame, "category_id": category,
                 "segmentation": rle, "iscrowd": 0}
            )  # fmt: skip
    categories = [{"id": 3, "name": "car"}, {"id": 8, "name": "dog"}]
    path = tmp_path / "a.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    source = open_evidence({"masks": path}, FOOTAGE, MATCH, pictures=PICTURES)
    assert sorted(source.legend.names.values()) == ["car 1", "car 2", "car 3", "dog 1", "dog 2"]
    assert number_switches(TRUTH, np.stack(list(source))) == 0
    merged = open_masks(path, FOOTAGE)
    assert merged.legend.classes == (3, 8)


def test_key_frames_name_the_objects(tmp_path):
    files = {"masks": write_masks(tmp_path / "masks", shuffled_numbers(TRUTH))}
    keys = tmp_path / "keys"
    keys.mkdir()
    frame = next(t for t in range(5, FRAMES) if len(np.unique(TRUTH[t])) == 6)
    own_numbers = np.array([0, 11, 12, 13, 14, 15], np.uint8)
    write_indexed_png(keys / f"{frame:05d}.png", own_numbers[TRUTH[frame]])
    files["keyframes"] = keys
    source = open_evidence(files, FOOTAGE, MATCH, pictures=PICTURES)
    assert source.legend.classes == (11, 12, 13, 14, 15)
    assert np.array_equal(np.stack(list(source)), own_numbers[TRUTH])
    assert not source.warnings
    again = open_evidence(files, FOOTAGE, MATCH, known=json.loads(json.dumps(source.known)))
    assert np.array_equal(np.stack(list(again)), own_numbers[TRUTH])


def test_soft_masks_have_no_numbers_to_match(tmp_path):
    for frame in range(FRAMES):
        np.save(tmp_path / f"{frame:05d}.npy", np.full(TRUTH.shape[1:], 0.25, np.float32))
    with pytest.raises(InputError, match=r"segment\.objects=match: expected labels"):
        open_evidence({"masks": tmp_path}, FOOTAGE, MATCH, pictures=PICTURES)


def test_numbers_that_jump_are_noted_and_steady_ones_are_not(tmp_path):
    _, slow = scene_with_crossings(3, frames=200)
    shuffled = open_masks(write_masks(tmp_path / "masks", shuffled_numbers(slow)[:FRAMES]), FOOTAGE)
    (note,) = jumping_numbers_note(shuffled, FRAMES)
    assert "segment.objects=match" in note
    steady = open_masks(write_masks(tmp_path / "steady", slow[:FRAMES]), FOOTAGE)
    assert jumping_numbers_note(steady, FRAMES) == ()
