"""Masks as other people's tools write them: each is read right, or refused with what to do."""

import json
import zipfile
from io import BytesIO

import cv2
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from pipeline.errors import InputError
from stages.media.masks.open import mask_digest
from stages.media.masks.pairing import find_masks, unused_masks
from tests.support.mask_samples import blurred, discs, folder_of, opened

CLIP = discs()
FRAMES, SIZE = len(CLIP), CLIP.shape[1:]
BOX = np.zeros(SIZE, bool)
BOX[2:12, 44:60] = True
LABELS = [np.where(mask, 1, np.where(BOX, 2, 0)).astype(np.uint8) for mask in CLIP]


def pictures(tmp_path, convert, arrays=None, name="{:05d}.png"):
    arrays = LABELS if arrays is None else arrays
    return folder_of(
        tmp_path, arrays, lambda path, array: Image.fromarray(convert(array)).save(path), name
    )


def read_labels(path, **how):
    masks = opened(path, frames=FRAMES, size=SIZE, **how)
    return np.stack(list(masks)), masks


def colours(labels, table):
    return np.array(table, np.uint8)[labels]


def same_regions(actual, first, second):
    """Return whether two labels are where the samples have their classes."""
    return np.array_equal(actual == first, np.stack(LABELS) == 1) and np.array_equal(
        actual == second, np.stack(LABELS) == 2
    )


def test_soft_masks_of_8_bits_in_files_of_16_are_soft(tmp_path):
    folder = pictures(tmp_path, lambda mask: blurred(mask).astype(np.uint16), CLIP)
    soft, masks = read_labels(folder)
    assert masks.legend.meaning == "soft"
    np.testing.assert_allclose(soft[:, 0], np.stack([blurred(m) for m in CLIP]) / 255, atol=1e-6)
    assert not masks.warnings


@pytest.mark.parametrize("high", [255, 65535])
def test_black_and_white_of_16_bits_is_one_class(tmp_path, high):
    folder = pictures(tmp_path, lambda mask: mask.astype(np.uint16) * np.uint16(high), CLIP)
    actual, masks = read_labels(folder)
    np.testing.assert_array_equal(actual, CLIP)
    assert masks.legend.classes == (1,)


def test_few_labels_of_16_bits_stay_labels(tmp_path):
    actual, _ = read_labels(pictures(tmp_path, lambda labels: labels.astype(np.uint16) * 40))
    assert same_regions(actual, 40, 80)


def test_edges_blended_between_few_colours_are_no_classes(tmp_path):
    def smooth(labels):
        large = np.repeat(
            np.repeat(colours(labels, ((0, 0, 0), (200, 0, 0), (0, 0, 200))), 2, 0), 2, 1
        )
        large = cv2.GaussianBlur(large, (3, 3), 0)
        return cv2.resize(large, SIZE[::-1], interpolation=cv2.INTER_AREA)

    actual, masks = read_labels(pictures(tmp_path, smooth))
    assert masks.legend.classes == (1, 2)
    assert ((actual == 2) == (np.stack(LABELS) == 1)).mean() > 0.99
    assert "3 colours were told apart; others take the nearest" in masks.warnings


def test_thin_lines_of_a_colour_of_their_own_stay_a_class(tmp_path):
    def with_lines(labels):
        picture = colours(labels, ((0, 0, 0), (200, 0, 0), (0, 0, 200)))
        for k, colour in enumerate(((100, 0, 0), (0, 90, 0), (40, 200, 0), (9, 9, 90))):
            picture[20 + 4 * k, :8] = colour
        return picture

    _, masks = read_labels(pictures(tmp_path, with_lines))
    assert len(masks.legend.classes) == 6


def test_colours_on_a_transparent_background_are_classes(tmp_path):
    def see_through(labels):
        picture = colours(labels, ((0, 0, 0), (200, 0, 0), (0, 200, 0)))
        return np.dstack([picture, np.where(labels > 0, 100, 0).astype(np.uint8)])

    actual, masks = read_labels(pictures(tmp_path, see_through))
    assert masks.legend.classes == (1, 2)
    assert same_regions(actual, 2, 1)


def test_one_value_of_transparency_is_one_class_however_small(tmp_path):
    def faint(mask):
        return np.dstack([np.full((*SIZE, 3), 255, np.uint8), mask.astype(np.uint8) * 90])

    actual, _ = read_labels(pictures(tmp_path, faint, CLIP))
    np.testing.assert_array_equal(actual, CLIP)


def panoptic(labels, t):
    """Return segment numbers of one picture as colours, other ones in every frame."""
    numbers = np.array([0, 70000 + 31 * t, 3007 + 977 * t])[labels]
    return np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], -1).astype(np.uint8)


def panoptic_files(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    for t, labels in enumerate(LABELS):
        Image.fromarray(panoptic(labels, t)).save(folder / f"{t:05}.png")
    return folder


def test_colours_that_no_two_frames_share_are_refused(tmp_path):
    folder = panoptic_files(tmp_path)
    with pytest.raises(InputError, match=r"12 colours in 6 frames, none of them in two .* JSON"):
        read_labels(folder)
    assert len(read_labels(folder, kind="colours")[1].legend.classes) == 12


def test_coco_panoptic_has_the_categories_of_its_json(tmp_path):
    panoptic_files(tmp_path)
    segments = [
        [{"id": 70000 + 31 * t, "category_id": 4}, {"id": 3007 + 977 * t, "category_id": 9}]
        for t in range(FRAMES)
    ]
    content = {
        "images": [{"id": t, "file_name": f"{t:05}.jpg"} for t in range(FRAMES)],
        "annotations": [
            {"image_id": t, "file_name": f"{t:05}.png", "segments_info": segments[t]}
            for t in range(FRAMES)
        ],
        "categories": [{"id": 4, "name": "person"}, {"id": 9, "name": "car"}],
    }
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(content))
    assert find_masks(tmp_path, "clip") == path
    assert unused_masks(tmp_path, [path]) == []
    before = mask_digest(path)
    actual, masks = read_labels(path)
    assert same_regions(actual, 4, 9)
    assert masks.legend.names[4] == "person"
    Image.fromarray(panoptic(LABELS[0] * 0, 0)).save(tmp_path / "clip" / "00000.png")
    assert mask_digest(path) != before


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "missing.png"])
def test_a_panoptic_json_reads_no_pictures_from_elsewhere(tmp_path, name):
    entry = {"image_id": 1, "file_name": name, "segments_info": [{"id": 1, "category_id": 1}]}
    (tmp_path / "clip.json").write_text(json.dumps({"images": [], "annotations": [entry]}))
    with pytest.raises(InputError, match=r"clip\.json: expected COCO"):
        read_labels(tmp_path / "clip.json")


def exr(path, channels, **header):
    usual = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(usual | header, channels).write(str(path))


def soft_of(mask, depth=np.float16):
    return np.ascontiguousarray(blurred(mask) / 255, depth)


@pytest.mark.parametrize("depth", [np.float16, np.float32])
@pytest.mark.parametrize("channel", ["A", "Y", "R", "person.A"])
def test_an_exr_of_one_channel_is_a_soft_mask(tmp_path, depth, channel):
    folder = folder_of(
        tmp_path, CLIP, lambda path, mask: exr(path, {channel: soft_of(mask, depth)}), "{:05d}.exr"
    )
    soft, _ = read_labels(folder)
    np.testing.assert_allclose(soft[:, 0], np.stack([soft_of(m) for m in CLIP]), atol=1e-3)


def test_layers_of_an_exr_are_classes_by_name(tmp_path):
    def write(path, labels):
        layers = {"A": labels > 0, "person.A": labels == 1, "car.A": labels == 2}
        exr(path, {k: np.ascontiguousarray(v, np.float16) for k, v in layers.items()})

    soft, masks = read_labels(folder_of(tmp_path, LABELS, write, "{:05d}.exr"))
    assert dict(masks.legend.names) == {1: "car", 2: "person"}
    np.testing.assert_array_equal(soft[:, 1] > 0.5, np.stack(LABELS) == 1)
    assert "car, person" in masks.reading


def test_a_cropped_data_window_of_an_exr_lies_in_its_place(tmp_path):
    def write(path, mask):
        window = (np.array([4, 8], np.int32), np.array([SIZE[1] - 5, SIZE[0] - 3], np.int32))
        display = (np.array([0, 0], np.int32), np.array([SIZE[1] - 1, SIZE[0] - 1], np.int32))
        part = np.ascontiguousarray(soft_of(mask)[8:-2, 4:-4])
        exr(path, {"A": part}, dataWindow=window, displayWindow=display)

    soft, _ = read_labels(folder_of(tmp_path, CLIP, write, "{:05d}.exr"))
    wanted = np.stack([soft_of(mask) for mask in CLIP])
    wanted[:, :8], wanted[:, -2:], wanted[:, :, :4], wanted[:, :, -4:] = 0, 0, 0, 0
    np.testing.assert_allclose(soft[:, 0], wanted, atol=1e-3)


@pytest.mark.parametrize("damage", [lambda data: data[:200], lambda data: data[:-90]])
def test_a_damaged_exr_is_named(tmp_path, damage):
    folder = folder_of(
        tmp_path, CLIP, lambda path, mask: exr(path, {"A": soft_of(mask)}), "{:05d}.exr"
    )
    file = folder / "00002.exr"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InputError, match=r"00002\.exr: not a readable EXR"):
        read_labels(folder)


def test_cryptomatte_is_named(tmp_path):
    planes = {f"crypto_object00.{c}": soft_of(CLIP[0], np.float32) for c in "RGBA"}
    folder = folder_of(tmp_path, CLIP, lambda path, _: exr(path, planes), "{:05d}.exr")
    with pytest.raises(InputError, match="Cryptomatte"):
        read_labels(folder)


@pytest.mark.parametrize("high", [True, 255])
def test_a_npz_with_an_array_a_class_keeps_their_names(tmp_path, high):
    arrays = {
        name: (np.stack(LABELS) == label) * np.asarray(high, np.bool_ if high is True else np.uint8)
        for label, name in ((1, "person"), (2, "car"))
    }
    np.savez(tmp_path / "clip.npz", **arrays)
    actual, masks = read_labels(tmp_path / "clip.npz")
    assert same_regions(actual, 1, 2)
    assert dict(masks.legend.names) == {1: "person", 2: "car"}
    again = opened(tmp_path / "clip.npz", frames=FRAMES, size=SIZE, known=masks.known)
    np.testing.assert_array_equal(np.stack(list(again.read(2, 4))), actual[2:4])


def test_soft_arrays_of_classes_stay_soft(tmp_path):
    soft = np.stack([blurred(mask) for mask in CLIP]).astype(np.float32) / 255
    np.savez(tmp_path / "clip.npz", person=soft, rest=1 - soft)
    actual, _ = read_labels(tmp_path / "clip.npz")
    np.testing.assert_allclose(actual[:, 0], soft, atol=1e-6)


def test_one_of_several_arrays_can_be_named(tmp_path):
    np.savez(tmp_path / "clip.npz", first=np.stack(LABELS), second=np.stack(LABELS) * 3)
    actual, _ = read_labels(tmp_path / "clip.npz", video="second")
    assert same_regions(actual, 3, 6)


@pytest.mark.parametrize(
    ("convert", "advice"),
    [
        (lambda labels: labels.astype(np.float32), "labels\\? save them as whole numbers"),
        (lambda labels: labels * 8.0 - 4, "logits\\? save probabilities"),
        (lambda labels: labels * 100.5, "255ths"),
    ],
)
def test_floats_of_another_range_are_refused_with_advice(tmp_path, convert, advice):
    np.save(tmp_path / "clip.npy", convert(np.stack(LABELS)))
    with pytest.raises(InputError, match=advice):
        read_labels(tmp_path / "clip.npy")


@pytest.mark.parametrize("convert", [lambda m: m[..., None], lambda m: np.stack([1.0 - m, m], -1)])
def test_channels_of_a_frames_array_may_come_last(tmp_path, convert):
    folder = folder_of(tmp_path, CLIP, lambda path, m: np.save(path, convert(m)), "{:05d}.npy")
    actual, _ = read_labels(folder)
    np.testing.assert_array_equal(actual.reshape(CLIP.shape) > 0.5, CLIP)


LEGEND = json.dumps({"background": "#ffffff", "person": "#c80000", "car": "#00c800"})
LABELMAP = (
    "# label:color_rgb:parts:actions\nbackground:255,255,255::\nperson:200,0,0::\ncar:0,200,0::\n"
)


@pytest.mark.parametrize(
    ("member", "text"), [("masks/legend.json", LEGEND), ("labelmap.txt", LABELMAP)]
)
def test_a_legend_inside_of_an_archive_counts(tmp_path, member, text):
    with zipfile.ZipFile(tmp_path / "clip.zip", "w") as archive:
        archive.writestr(member, text)
        archive.writestr("__MACOSX/._00000.png", b"not a picture")
        for t, labels in enumerate(LABELS):
            data = BytesIO()
            table = ((255, 255, 255), (200, 0, 0), (0, 200, 0))
            Image.fromarray(colours(labels, table)).save(data, "PNG")
            archive.writestr(f"masks/{t:05}.png", data.getvalue())
    actual, masks = read_labels(tmp_path / "clip.zip")
    assert same_regions(actual, 1, 2)
    assert dict(masks.legend.names) == {1: "person", 2: "car"}


def test_a_malformed_legend_inside_of_an_archive_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "clip.zip", "w") as archive:
        archive.writestr("legend.json", "[1, 2]")
        for t, labels in enumerate(LABELS):
            data = BytesIO()
            Image.fromarray(colours(labels, ((0, 0, 0), (9, 200, 7), (0, 0, 99)))).save(data, "PNG")
            archive.writestr(f"{t:05}.png", data.getvalue())
    with pytest.raises(InputError, match=r"clip\.zip/legend\.json: expected names and colours"):
        read_labels(tmp_path / "clip.zip")


@pytest.mark.parametrize("missing", ["error", "hold"])
def test_names_that_count_from_another_number_are_never_shifted_silently(tmp_path, missing):
    folder = pictures(tmp_path, lambda labels: labels, name="frame_{:d}.png")
    names = tuple(f"frame_{t + 1}.jpg" for t in range(FRAMES))
    with pytest.raises(InputError, match=r"may count from different numbers .*segment\.first=0"):
        read_labels(folder, frame_names=names, missing=missing)
    actual, _ = read_labels(folder, frame_names=names, missing=missing, first=0)
    assert same_regions(actual, 1, 2)


def test_masks_of_every_other_frame_that_are_counted_on_are_hinted_at(tmp_path):
    folder = pictures(tmp_path, lambda labels: labels, LABELS[::2])
    _, masks = read_labels(folder, missing="hold")
    assert "3 masks would also fit every 2nd frame" in masks.warnings[0]


def test_several_masks_a_frame_are_told_where_to_go(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    for t, labels in enumerate(LABELS):
        for k in (1, 2):
            Image.fromarray((labels == k).astype(np.uint8)).save(folder / f"{t:05}_{k}.png")
    with pytest.raises(InputError, match=r"2 masks a frame .* into a folder of its own"):
        read_labels(folder)


def test_areas_of_255_hint_at_train_ids(tmp_path):
    actual, masks = read_labels(
        pictures(tmp_path, lambda labels: np.array([255, 0, 13], np.uint8)[labels])
    )
    assert any("if 0 is a class" in note for note in masks.warnings)
    assert set(np.unique(actual)) == {0, 13}


def test_seams_of_255_hint_at_nothing(tmp_path):
    def seam(labels):
        edge = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        return np.where(edge, 255, labels).astype(np.uint8)

    assert not read_labels(pictures(tmp_path, seam))[1].warnings


def test_labels_that_no_two_frames_share_are_told(tmp_path):
    arrays = [np.where(labels > 0, labels + 2 * t, 0) for t, labels in enumerate(LABELS)]
    folder = pictures(tmp_path, lambda labels: labels.astype(np.uint8), arrays)
    assert "none of them in two frames" in read_labels(folder)[1].warnings[0]


def test_files_that_systems_leave_behind_are_no_masks(tmp_path):
    folder = pictures(tmp_path, lambda labels: labels)
    for name in ("Thumbs.db", ".DS_Store", "._00000.png", "desktop.ini"):
        (folder / name).write_bytes(b"x")
    for name in ("__MACOSX", "@eaDir", "empty", ".ipynb_checkpoints"):
        (folder / name).mkdir()
        (folder / name / "._00000.png").write_bytes(b"x")
    assert same_regions(read_labels(folder)[0], 1, 2)
