import json

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import InputError
from stages.media.label_sets.read import read_label_picture, read_label_set, read_picture
from stages.media.label_sets.registry import layout_type
from stages.media.label_sets.set_layouts import Sample
from stages.media.masks.palette import write_indexed_png


@pytest.fixture
def samples(tmp_path):
    """Two clips of pseudo-labels, the second held out."""
    out = []
    for k, (clip, split) in enumerate((("one", "train"), ("two", "val"))):
        folder = tmp_path / "pseudo" / clip
        for part in ("images", "labels", "confidence"):
            (folder / part).mkdir(parents=True)
        for t in (0, 2, 5):
            sample = Sample(clip, f"{t:05d}", split, folder, (4, 6), {})
            picture = Image.fromarray(np.full((4, 6, 3), 10 * t + k, np.uint8))
            sample.picture.parent.mkdir(parents=True, exist_ok=True)
            picture.save(sample.picture)
            sample.labels.parent.mkdir(parents=True, exist_ok=True)
            write_indexed_png(sample.labels, np.full((4, 6), t + k, np.uint8))
            for path in sample.extras.values():
                path.parent.mkdir(parents=True, exist_ok=True)
                picture.save(path)
            out.append(sample)
    return out


@pytest.mark.parametrize("layout", ["davis", "voc", "cityscapes", "coco"])
def test_a_set_is_read_back_as_it_was_written(tmp_path, samples, layout):
    root = tmp_path / layout
    writer = layout_type(layout)(root, shard=10)
    for sample in samples:
        writer.add(sample)
    writer.finish()
    clips = {clip.name: clip for clip in read_label_set(root)}
    assert {name: clip.held_out for name, clip in clips.items()} == {"one": False, "two": True}
    for k, name in enumerate(("one", "two")):
        clip = clips[name]
        assert sorted(clip.labels) == sorted(clip.pictures) == [0, 2, 5]
        for t in (0, 2, 5):
            assert (read_label_picture(clip.labels[t], (4, 6)) == t + k).all()
            assert np.abs(read_picture(clip.pictures[t]).astype(int) - (10 * t + k)).max() <= 2


def test_a_frame_without_a_picture_has_that_of_the_last_before_it(tmp_path, samples):
    writer = layout_type("davis")(tmp_path / "davis", shard=10)
    for sample in samples:
        writer.add(sample)
    writer.finish()
    clip = read_label_set(tmp_path / "davis")[0]
    wanted = {-4: 0, 0: 0, 1: 0, 2: 2, 4: 2, 9: 5}
    assert {t: int(clip.latest_picture(t).stem) for t in wanted} == wanted


def test_a_folder_that_is_no_set_is_refused(tmp_path):
    with pytest.raises(
        InputError, match="expected a label set of layout davis, voc, cityscapes or coco"
    ):
        read_label_set(tmp_path)


def test_a_set_without_labels_is_refused(tmp_path):
    (tmp_path / "Annotations/480p/a").mkdir(parents=True)
    with pytest.raises(InputError, match="expected label pictures, found none"):
        read_label_set(tmp_path)


def test_a_label_without_its_picture_is_named(tmp_path):
    folder = tmp_path / "Annotations/480p/a"
    folder.mkdir(parents=True)
    write_indexed_png(folder / "00003.png", np.zeros((4, 6), np.uint8))
    with pytest.raises(InputError, match=r"00003\.png: expected the picture of frame 3 of a"):
        read_label_set(tmp_path)


def test_labels_of_another_size_are_refused(tmp_path):
    write_indexed_png(tmp_path / "a.png", np.zeros((4, 6), np.uint8))
    with pytest.raises(InputError, match=r"\(6, 4\) as the picture's, got \(4, 6\)"):
        read_label_picture(tmp_path / "a.png", (6, 4))


def test_files_that_are_no_pictures_are_named(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"a\.png: expected a picture"):
        read_picture(path)
    with pytest.raises(InputError, match=r"a\.png: expected labels as a PNG"):
        read_label_picture(path, (4, 6))


@pytest.fixture
def coco_set(tmp_path, samples):
    """A set of run lengths: several labels and pixels without one."""
    marks = np.zeros((4, 6), np.uint8)
    marks[1:3, 2:5], marks[0, 0], marks[3] = 7, 2, 255
    write_indexed_png(samples[1].labels, marks)
    writer = layout_type("coco")(tmp_path / "coco", shard=10)
    for sample in samples:
        writer.add(sample)
    writer.finish()
    return tmp_path / "coco", marks


def test_run_lengths_are_the_pixels_that_were_written(coco_set):
    root, marks = coco_set
    clip = read_label_set(root)[0]
    assert np.array_equal(read_label_picture(clip.labels[2], (4, 6)), marks)


def test_run_lengths_of_another_size_are_refused(coco_set):
    clip = read_label_set(coco_set[0])[0]
    with pytest.raises(InputError, match=r"00002\.\w+: expected labels \(H, W\) = \(9, 6\)"):
        read_label_picture(clip.labels[2], (9, 6))


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("segmentation", [[0, 0, 3, 0, 3, 3]], "polygons or plain counts"),
        ("category_id", 0, "category_id 0"),
        ("image_id", 99, "KeyError"),
    ],
)
def test_annotations_of_another_kind_are_refused(coco_set, part, value, message):
    file = coco_set[0] / "annotations/instances_train.json"
    content = json.loads(file.read_text())
    content["annotations"][0][part] = value
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"instances_train\.json: expected COCO .*{message}"):
        read_label_set(coco_set[0])


def test_run_lengths_cut_short_are_refused(coco_set):
    file = coco_set[0] / "annotations/instances_train.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["segmentation"]["counts"] = "1"
    file.write_text(json.dumps(content))
    clip = read_label_set(coco_set[0])[0]
    with pytest.raises(InputError, match=r"expected run lengths of label 2"):
        read_label_picture(clip.labels[2], (4, 6))
