"""Label pictures on disk, and laid over a picture."""

import numpy as np
import pytest
from PIL import Image

from stages.media.masks.palette import overlay, palette, read_labels, write_indexed_png

GREY = np.full((20, 30, 3), 100, np.uint8)


def block(label, dtype=np.uint16):
    """Return a rectangle of one label on background."""
    labels = np.zeros((20, 30), dtype)
    labels[5:15, 8:22] = label
    return labels


def test_the_first_colours_are_those_of_pascal_voc():
    first = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128)]
    assert [tuple(colour) for colour in palette()[:6].tolist()] == first


def test_colours_are_those_of_the_real_annotations(data):
    file = next((data / "sequences" / "bmx-trees" / "Annotations").glob("*.png"))
    with Image.open(file) as picture:
        theirs = np.reshape(picture.getpalette(), (-1, 3))
    np.testing.assert_array_equal(theirs[:3], palette()[:3])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int64])
def test_labels_come_back_as_indices_with_colours(tmp_path, dtype):
    write_indexed_png(tmp_path / "0.png", block(1, dtype))
    with Image.open(tmp_path / "0.png") as picture:
        assert picture.mode == "P"
        assert picture.getpalette()[:6] == [0, 0, 0, 128, 0, 0]
    np.testing.assert_array_equal(read_labels(tmp_path / "0.png"), block(1))


def test_labels_over_255_come_back_from_16_bits(tmp_path):
    write_indexed_png(tmp_path / "0.png", block(40000))
    np.testing.assert_array_equal(read_labels(tmp_path / "0.png"), block(40000))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_an_overlay_mixes_inside_outlines_the_edge_and_leaves_the_rest(dtype):
    out = overlay(GREY, block(2, dtype), alpha=0.5)
    assert tuple(out[10, 15]) == (50, 114, 50)
    assert (out[5, 8:22] == 255).all()
    assert (out[block(2) == 0] == GREY[0, 0]).all()
    assert (GREY == 100).all()


@pytest.mark.parametrize("label", [256, 510, 65535])
def test_no_label_is_invisible_in_an_overlay(label):
    out = overlay(GREY, block(label), alpha=1)
    assert tuple(out[10, 15]) == tuple(palette()[(label - 1) % 255 + 1])
