"""Files that say a part only, or look like something else, are read right or refused."""

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import InputError
from tests.support.mask_samples import FRAMES, SIZE, folder_of, labels, opened

ROWS, COLUMNS = SIZE
TRUTH = labels(1, 2)
COLOURS = np.array([[0, 0, 0], [250, 50, 83], [51, 221, 255]], np.uint8)


def saved(path, array):
    np.save(path / "clip.npy", array)
    return path / "clip.npy"


def tracks(frames, gone=()):
    """Return CVAT XML for video: a square drawn in some frames, and outside in others."""
    shapes = ""
    for t in sorted({*frames, *gone}):
        left, top, right, bottom = t, 1, t + 4, 4
        points = (
            f"{left}.00,{top}.00;{right}.00,{top}.00;{right}.00,{bottom}.00;{left}.00,{bottom}.00"
        )
        shapes += f'<polygon frame="{t}" outside="{int(t in gone)}" points="{points}"/>'
    meta = (
        f"<task><id>4</id><name>clip</name><size>{FRAMES}</size><original_size><width>{COLUMNS}"
        f"</width><height>{ROWS}</height></original_size></task>"
    )
    track = f'<track id="0" label="cat">{shapes}</track>'
    return f"<annotations><version>1.1</version><meta>{meta}</meta>{track}</annotations>"


def test_frames_that_cvat_interpolates_have_no_mask_and_are_not_empty(tmp_path):
    (tmp_path / "clip.xml").write_text(tracks([0, 3]))
    with pytest.raises(InputError, match=r"2 of 4 frames have no mask .*segment\.missing.*neither "
                       r"drawn nor outside, which CVAT interpolates"):  # fmt: skip
        opened(tmp_path / "clip.xml")
    held = np.stack(list(opened(tmp_path / "clip.xml", missing="hold")))
    np.testing.assert_array_equal(held[:3], TRUTH[:1].repeat(3, axis=0) == 1)
    np.testing.assert_array_equal(held[3], TRUTH[3] == 1)


def test_frames_after_a_track_of_cvat_went_outside_are_empty(tmp_path):
    (tmp_path / "clip.xml").write_text(tracks([0, 1], gone=[2]))
    masks = np.stack(list(opened(tmp_path / "clip.xml")))
    np.testing.assert_array_equal(masks[:2], TRUTH[:2] == 1)
    assert not masks[2:].any()


def test_frames_after_the_last_shape_of_a_track_are_open_unless_it_went_outside(tmp_path):
    (tmp_path / "clip.xml").write_text(tracks([0, 1]))
    with pytest.raises(InputError, match="2 of 4 frames have no mask"):
        opened(tmp_path / "clip.xml")


@pytest.mark.parametrize("last", [True, False])
def test_a_grey_picture_of_three_channels_in_an_array_is_one_class(tmp_path, last):
    grey = (TRUTH > 0).astype(np.uint8) * 255
    masks = opened(saved(tmp_path, np.stack([grey] * 3, axis=-1 if last else 1)))
    np.testing.assert_array_equal(np.stack(list(masks)), TRUTH > 0)


def test_colours_in_an_array_are_classes_by_colour(tmp_path):
    masks = opened(saved(tmp_path, COLOURS[TRUTH]))
    assert list(masks.legend.names.values()) == ["#33ddff", "#fa3253"]
    actual = np.stack(list(masks))
    np.testing.assert_array_equal(actual == 2, TRUTH == 1)
    np.testing.assert_array_equal(actual == 1, TRUTH == 2)


def test_classes_of_0_and_1_in_the_last_axis_stay_classes(tmp_path):
    masks = opened(saved(tmp_path, np.eye(3, dtype=np.uint8)[TRUTH]))
    np.testing.assert_array_equal(np.stack(list(masks)), TRUTH)


def test_objects_of_a_frame_may_have_the_axis_that_sam_2_leaves(tmp_path):
    objects = {str(t): np.stack([TRUTH[t] == k for k in (1, 2)])[:, None] for t in range(FRAMES)}
    np.savez(tmp_path / "clip.npz", **objects)
    np.testing.assert_array_equal(np.stack(list(opened(tmp_path / "clip.npz"))), TRUTH)


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_python_objects_are_refused_with_what_to_save_instead(tmp_path, ending):
    segments = np.array({t: {1: TRUTH[t] == 1} for t in range(FRAMES)}, dtype=object)
    if ending == ".npy":
        np.save(tmp_path / "clip.npy", segments, allow_pickle=True)
    else:
        np.savez(tmp_path / "clip.npz", video_segments=segments)
    with pytest.raises(InputError, match=r"Python objects.*SAM 2's video_segments.*np\.savez"):
        opened(tmp_path / f"clip{ending}")


def test_the_void_border_of_pascal_voc_is_background_in_colours_too(tmp_path):
    table = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0], [224, 224, 192]], np.uint8)
    bordered = TRUTH.copy()
    bordered[:, 0] = 3
    folder = folder_of(tmp_path, table[bordered], lambda path, a: Image.fromarray(a).save(path))
    masks = opened(folder)
    np.testing.assert_array_equal(np.stack(list(masks)), TRUTH)
    assert any("void border of PASCAL VOC" in note for note in masks.warnings)


def test_numbers_in_the_place_of_transparency_stop_with_the_setting(tmp_path):
    """Bitmasks of BDD100K: red is the category, blue and alpha the object."""
    planes = [np.array([0, 1, 3])[TRUTH], 0 * TRUTH, 0 * TRUTH, TRUTH]
    bitmasks = np.stack(planes, axis=-1).astype(np.uint8)
    folder = folder_of(tmp_path, bitmasks, lambda path, a: Image.fromarray(a).save(path))
    with pytest.raises(InputError, match=r"values 1 to 2 of 255.*BDD100K.*segment\.channel=colour"):
        opened(folder)
    np.testing.assert_array_equal(np.stack(list(opened(folder, channel="colour"))), TRUTH)
