import json

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import InputError
from stages.media.label_sets import refine
from stages.media.label_sets.refine import refined_labels, write_refined_set
from stages.media.label_sets.run_lengths import RunLengthLabels
from stages.media.masks.palette import read_labels, write_indexed_png

PICTURE = np.zeros((6, 8, 3), np.uint8)


def shifted(picture, mask):
    """Move a mask one pixel to the right."""
    return np.roll(mask, 1, axis=1).astype(np.float32)


def grown(picture, mask):
    """Return a mask, surer of itself in the middle of the picture."""
    return np.where(mask, np.linspace(0.4, 0.9, 8), 0.5).astype(np.float32)


def slow_labels(picture, labels, refiner):
    """Return the label with the largest share, pixel by pixel."""
    present = [int(label) for label in np.unique(labels) if label != 255]
    out = labels.copy()
    for y, x in np.ndindex(labels.shape):
        if labels[y, x] != 255:
            shares = [float(refiner(picture, labels == label)[y, x]) for label in present]
            out[y, x] = present[int(np.argmax(shares))]
    return out


def test_of_one_class_the_mask_is_refined():
    labels = np.zeros((6, 8), np.uint16)
    labels[2:4, 2:5] = 7
    expected = np.roll(labels, 1, axis=1)
    np.testing.assert_array_equal(refined_labels(PICTURE, labels, shifted), expected)


def test_of_several_classes_the_likeliest_counts_and_255_stays():
    labels = np.random.default_rng(3).choice([0, 2, 9, 300, 255], (6, 8)).astype(np.uint16)
    np.testing.assert_array_equal(
        refined_labels(PICTURE, labels, grown), slow_labels(PICTURE, labels, grown)
    )


@pytest.mark.parametrize("label", [0, 4, 255])
def test_a_picture_of_one_label_is_left_alone(label):
    labels = np.full((6, 8), label, np.uint16)
    np.testing.assert_array_equal(refined_labels(PICTURE, labels, shifted), labels)


@pytest.fixture
def davis(tmp_path):
    """A set of layout davis with one clip of two frames."""
    root, labels = tmp_path / "set", np.zeros((6, 8), np.uint8)
    labels[2:4, 2:5] = 7
    for part in ("Annotations", "JPEGImages"):
        (root / part / "480p" / "a").mkdir(parents=True)
    for name in ("00000", "00001"):
        write_indexed_png(root / f"Annotations/480p/a/{name}.png", labels)
        Image.fromarray(PICTURE).save(root / f"JPEGImages/480p/a/{name}.jpg")
    return root


def test_a_set_comes_out_whole_with_refined_labels(tmp_path, davis):
    changed = write_refined_set(davis, tmp_path / "out", shifted, "own:shifted")
    assert changed == {"a": pytest.approx(4 / 48, abs=1e-5)}
    for path in davis.rglob("*.jpg"):
        twin = tmp_path / "out" / path.relative_to(davis)
        assert twin.read_bytes() == path.read_bytes()
    for path in davis.rglob("*.png"):
        twin = tmp_path / "out" / path.relative_to(davis)
        np.testing.assert_array_equal(read_labels(twin), np.roll(read_labels(path), 1, axis=1))
    record = json.loads((tmp_path / "out/refined.json").read_text())
    assert record == {"refiner": "own:shifted", "changed": changed}


def test_labels_keep_the_kind_of_their_file(tmp_path, davis):
    path = davis / "Annotations/480p/a/00000.png"
    Image.fromarray(read_labels(path).astype(np.uint8)).save(path)
    write_refined_set(davis, tmp_path / "out", shifted, "")
    folder = tmp_path / "out/Annotations/480p/a"
    modes = []
    for name in ("00000", "00001"):
        with Image.open(folder / f"{name}.png") as picture:
            modes.append(picture.mode)
    assert modes == ["L", "P"]


def test_labels_as_run_lengths_are_refused(tmp_path, davis, monkeypatch):
    clip = refine.LabelledClip("a")
    clip.labels = {0: RunLengthLabels(tmp_path / "instances.json", "a_0.jpg", (6, 8), ())}
    monkeypatch.setattr(refine, "read_label_set", lambda root: [clip])
    with pytest.raises(InputError, match=r"expected labels as PNG files.*got run lengths"):
        write_refined_set(davis, tmp_path / "out", shifted, "")
    assert not (tmp_path / "out").exists()


def test_after_an_error_nothing_is_left(tmp_path, davis):
    (davis / "Annotations/480p/a/00001.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"00001\.png: expected labels as a PNG"):
        write_refined_set(davis, tmp_path / "out", shifted, "")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
