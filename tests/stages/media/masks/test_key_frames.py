import json

import numpy as np
import pytest

from pipeline.errors import InputError
from stages.import_masks import evidence_codes
from stages.media.masks.contract import FootageFacts, ReadingChoices
from stages.media.masks.key_frames import open_evidence
from stages.media.masks.palette import write_indexed_png

NAMES = tuple(f"{frame:05d}.jpg" for frame in range(6))
FOOTAGE = FootageFacts("a", 6, (8, 10), NAMES)


def write_masks(folder, values, shape=(8, 10)):
    folder.mkdir(parents=True)
    for frame, value in values.items():
        mask = np.zeros(shape, np.uint8)
        mask[2:5, 3:7] = value
        write_indexed_png(folder / f"{frame:05d}.png", mask)
    return folder


def evidence(tmp_path, keys, own=None, **choices):
    files = {"keyframes": write_masks(tmp_path / "keys", keys)}
    if own is not None:
        files["masks"] = write_masks(tmp_path / "own", own)
    return open_evidence(files, FOOTAGE, ReadingChoices(**choices))


def test_key_frames_take_the_place_of_masks(tmp_path):
    source = evidence(tmp_path, {1: 2, 4: 1}, dict.fromkeys(range(6), 1))
    assert [int(mask.max()) for mask in source] == [1, 2, 1, 1, 1, 1]
    assert source.key_frames == (1, 4)
    assert source.absent == ()
    assert evidence_codes(source, 0, 6).ravel().tolist() == [1, 2, 1, 1, 2, 1]
    assert evidence_codes(source, 3, 6).ravel().tolist() == [1, 2, 1]


def test_alone_they_leave_the_other_frames_without_a_mask(tmp_path):
    source = evidence(tmp_path, {0: 1, 5: 1})
    assert source.absent == (1, 2, 3, 4)
    assert evidence_codes(source, 0, 6).ravel().tolist() == [2, 0, 0, 0, 0, 2]
    assert [int(mask.max()) for mask in source] == [1, 0, 0, 0, 0, 1]


def test_masks_of_some_frames_and_key_frames_of_others(tmp_path):
    source = evidence(tmp_path, {0: 1}, {1: 1, 2: 1}, missing="carry")
    assert evidence_codes(source, 0, 6).ravel().tolist() == [2, 1, 1, 0, 0, 0]


def test_frames_that_are_declared_empty_are_the_users_word_but_for_key_frames(tmp_path):
    source = evidence(tmp_path, {0: 1}, {1: 1, 2: 1}, missing="empty")
    assert source.declared_empty == (3, 4, 5)
    assert evidence_codes(source, 0, 6).ravel().tolist() == [2, 1, 1, 2, 2, 2]
    kept_values = open_evidence(
        {"masks": tmp_path / "own"}, FOOTAGE, ReadingChoices(missing="hold")
    )
    assert kept_values.declared_empty == ()


def test_soft_masks_and_labelled_key_frames_are_one_kind(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    for frame in range(6):
        np.save(own / f"{frame:05d}.npy", np.full((8, 10), 0.25, np.float32))
    keys = write_masks(tmp_path / "keys", {2: 1})
    source = open_evidence({"masks": own, "keyframes": keys}, FOOTAGE, ReadingChoices())
    masks = list(source)
    assert source.legend.kind == "soft"
    assert [float(mask.max()) for mask in masks] == [0.25, 0.25, 1, 0.25, 0.25, 0.25]


def test_objects_that_only_key_frames_have_are_added_and_named(tmp_path):
    source = evidence(tmp_path, {3: 9}, dict.fromkeys(range(6), 1))
    assert source.legend.classes == (1, 9)
    assert any("key frames have classes 9" in warning for warning in source.warnings)


def test_what_was_looked_through_is_not_looked_through_again(tmp_path):
    source = evidence(tmp_path, {1: 2}, dict.fromkeys(range(6), 1))
    files = {"keyframes": tmp_path / "keys", "masks": tmp_path / "own"}
    again = open_evidence(files, FOOTAGE, ReadingChoices(), known=source.known)
    np.testing.assert_array_equal(np.stack(list(again)), np.stack(list(source)))
    assert again.key_frames == source.key_frames


def test_of_a_video_they_are_numbered_like_the_masks(tmp_path):
    video = FootageFacts("a", 6, (8, 10))
    keys = write_masks(tmp_path / "keys", {3: 2})
    own = write_masks(tmp_path / "own", dict.fromkeys(range(1, 7), 1))
    source = open_evidence({"masks": own, "keyframes": keys}, video, ReadingChoices())
    assert source.key_frames == (2,)
    alone = {"keyframes": keys}
    with pytest.raises(InputError, match=r"segment\.first"):
        open_evidence(alone, video, ReadingChoices())
    assert open_evidence(alone, video, ReadingChoices(first=0)).key_frames == (3,)


def test_names_that_count_source_frames_mean_them_whatever_the_masks_count_from(tmp_path):
    """What OUT/corrections and tasks are called: results count from 0, masks here from 1."""
    own = write_masks(tmp_path / "own", dict.fromkeys(range(1, 7), 1))
    keys = write_masks(tmp_path / "keys", {0: 2})
    (keys / "00000.png").rename(keys / "source-frame-00003.png")
    names = tuple(f"plate.{number}.png" for number in range(2, 8))
    for footage in (FootageFacts("a", 6, (8, 10)), FootageFacts("a", 6, (8, 10), names)):
        files = {"masks": own, "keyframes": keys}
        assert open_evidence(files, footage, ReadingChoices()).key_frames == (3,)
    (keys / "source-frame-00003.png").rename(keys / "source-frame-00006.png")
    with pytest.raises(InputError, match=r"key frames: .*expected numbers from 0 to 5"):
        open_evidence(files, footage, ReadingChoices())


def labelled_by_name(tmp_path, names):
    """Write COCO with a shape of each name in frame 3; categories are numbered from 1."""
    tmp_path.mkdir(exist_ok=True)
    squares = [[float(x), 2.0, x + 3.0, 2.0, x + 3.0, 6.0, float(x), 6.0] for x in (0, 0, 5)]
    content = {
        "images": [{"id": 1, "file_name": NAMES[3], "height": 8, "width": 10}],
        "categories": [{"id": k, "name": name} for k, name in enumerate(names, start=1)],
        "annotations": [
            {"id": k, "image_id": 1, "category_id": k, "segmentation": [squares[k]]}
            for k in range(1, len(names) + 1)
        ],
    }
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("name", ["class 7", "other"])
def test_classes_of_key_frames_are_those_of_the_same_name(tmp_path, name):
    own = write_masks(tmp_path / "own", dict.fromkeys(range(6), 7))
    files = {"masks": own, "keyframes": labelled_by_name(tmp_path, [name])}
    source = open_evidence(files, FOOTAGE, ReadingChoices())
    label = 7 if name == "class 7" else 1
    assert [int(mask.max()) for mask in source] == [7, 7, 7, label, 7, 7]
    assert source.legend.classes == ((7,) if label == 7 else (1, 7))
    assert source.legend.names == ({} if label == 7 else {1: "other"})


def test_a_class_of_another_name_does_not_fall_together_with_a_renamed_one(tmp_path):
    own = write_masks(tmp_path / "own", dict.fromkeys(range(6), 2))
    files = {"masks": own, "keyframes": labelled_by_name(tmp_path, ["class 2", "tree"])}
    source = open_evidence(files, FOOTAGE, ReadingChoices())
    assert source.legend.names == {3: "tree"}
    assert np.unique(list(source)[3]).tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("keys", "shape", "words"),
    [({0: 1}, (9, 11), "key frames: .*11x9"), ({40: 1, 50: 1}, (8, 10), "key frames: .*frame")],
)
def test_key_frames_of_another_size_or_outside_the_clip_are_refused(tmp_path, keys, shape, words):
    folder = write_masks(tmp_path / "keys", keys, shape)
    with pytest.raises(InputError, match=words):
        open_evidence({"keyframes": folder}, FOOTAGE, ReadingChoices())


def test_words_on_key_frames_do_not_say_that_masks_are_carried(tmp_path):
    source = evidence(tmp_path, {2: 1}, dict.fromkeys(range(6), 1))
    assert source.reading.endswith("frame 2 of 6; the others: their own masks")
    assert evidence(tmp_path / "b", {2: 1}).reading.endswith("; the others: carried from those")


@pytest.mark.parametrize("shape", [(4, 5), (12, 15), (16, 20)])
def test_key_frames_of_another_size_are_resized_with_a_note(tmp_path, shape):
    write_masks(tmp_path / "own", dict.fromkeys(range(6), 1))
    keys = tmp_path / "keys"
    keys.mkdir()
    mask = np.zeros(shape, np.uint8)
    mask[: shape[0] // 2] = 2
    write_indexed_png(keys / "00003.png", mask)
    source = open_evidence(
        {"masks": tmp_path / "own", "keyframes": keys}, FOOTAGE, ReadingChoices()
    )
    note = f"masks of {shape[1]}x{shape[0]} are resized to the footage's 10x8"
    assert f"key frames: {note}" in source.warnings
    frame = list(source)[3]
    assert (frame[:4] == 2).all()
    assert not frame[4:].any()


def test_key_frames_of_another_shape_stop(tmp_path):
    write_masks(tmp_path / "own", dict.fromkeys(range(6), 1))
    keys = write_masks(tmp_path / "keys", {3: 1}, shape=(8, 20))
    files = {"masks": tmp_path / "own", "keyframes": keys}
    with pytest.raises(InputError, match=r"key frames: .*expected 10x8 like the footage, got 20x8"):
        open_evidence(files, FOOTAGE, ReadingChoices())
    stretched = open_evidence(files, FOOTAGE, ReadingChoices(fit="stretch"))
    assert "key frames: masks of 20x8 are resized to the footage's 10x8" in stretched.warnings


def test_notes_on_key_frames_are_kept(tmp_path):
    write_masks(tmp_path / "own", dict.fromkeys(range(6), 1))
    keys = write_masks(tmp_path / "keys", {1: 1, 3: 0})
    write_indexed_png(keys / "preview.png", np.ones((8, 10), np.uint8))
    source = open_evidence(
        {"masks": tmp_path / "own", "keyframes": keys}, FOOTAGE, ReadingChoices()
    )
    assert source.warnings == (
        "key frames: preview.png: left out, no frame has that name or number",
        "key frames: 1 frame has no foreground in its mask",
    )
