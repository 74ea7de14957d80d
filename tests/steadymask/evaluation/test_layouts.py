import numpy as np
import pytest

from pipeline.errors import ConfigError, InputError
from steadymask.evaluation.layouts import find_frames, find_labels, name_layout, paired_files
from tests.support.scored_clips import label, write

PICTURE, LABELS = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.uint8)

LAYOUTS = {
    "davis": ("JPEGImages/480p/dog/00000.png", "Annotations/480p/dog/00000.png", "dog"),
    "vspw": ("data/10_x/origin/00000001.png", "data/10_x/mask/00000001.png", "10_x"),
    "run": ("nested/dog/00000.png", "nested/dog/masks/00000.png", "nested/dog"),
    "cityscapes": (
        "val/ulm/ulm_000003_000019_leftImg8bit.png",
        "val/ulm/ulm_000003_000019_gtFine_labelIds.png",
        "ulm_000003",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_frames_and_labels_of_a_layout_come_together(tmp_path, layout):
    frame, mask, clip = LAYOUTS[layout]
    write(tmp_path / "f" / frame, PICTURE)
    label(tmp_path / "m" / mask, LABELS)
    frames, labels = find_frames(tmp_path / "f"), find_labels(tmp_path / "m")
    assert list(frames) == list(labels) == [clip]
    paired = paired_files(frames[clip], labels[clip], clip)
    assert [path.relative_to(tmp_path / "m").as_posix() for path in paired.values()] == [mask]


@pytest.mark.parametrize("layout", ["davis", "vspw"])
def test_frames_and_labels_may_be_png_below_one_folder(tmp_path, layout):
    frame, mask, clip = LAYOUTS[layout]
    write(tmp_path / frame, PICTURE)
    label(tmp_path / mask, LABELS)
    frames, labels = find_frames(tmp_path), find_labels(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in frames[clip].values()] == [frame]
    assert [path.relative_to(tmp_path).as_posix() for path in labels[clip].values()] == [mask]


def test_a_layout_is_known_by_where_its_files_lie(tmp_path):
    for layout, name in (("davis", "folders"), ("vspw", "vspw"), ("cityscapes", "cityscapes")):
        write(tmp_path / layout / LAYOUTS[layout][0], PICTURE)
        assert name_layout(tmp_path / layout) == name
    assert name_layout(tmp_path / "none") == "folders"


def files(*names):
    return dict.fromkeys(names, None)


def test_labels_are_paired_by_name_then_by_number_then_in_order():
    frames = files("00000", "00001", "00002")
    assert list(paired_files(frames, files("00002", "00000"), "c")) == ["00000", "00002"]
    assert list(paired_files(frames, files("1", "2"), "c")) == ["00001", "00002"]
    assert list(paired_files(frames, files("x", "y", "z"), "c")) == list(frames)
    with pytest.raises(InputError, match=r"c: expected labels named like the 3 frames .* got 2"):
        paired_files(frames, files("x", "y"), "c")


def test_no_folder_and_an_empty_folder_are_told_apart(tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        find_frames(tmp_path / "none")
    with pytest.raises(ConfigError, match="found none"):
        find_labels(tmp_path)
