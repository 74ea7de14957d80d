"""Annotation tools' files: labelme, YOLO, Ultralytics, Label Studio, CVAT, supervision.

`benchmarks/annotation_tools` writes such files with the real tools and reads them again.
"""

import base64
import io
import itertools
import json

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from pipeline.errors import InputError
from stages.media.masks.contract import BY_CONTENT
from stages.media.masks.drawing import pack
from stages.media.masks.formats import coco, cvat, label_studio, labelme, yolo
from stages.media.masks.registry import choose_reader
from stages.media.masks.rle import decode_rle
from tests.support.mask_samples import FRAMES, SIZE, labels, opened, read

ROWS, COLUMNS = SIZE
TRUTH = labels(1, 2)  # a square of each class, which moves
CAT_DOG = {1: "cat", 2: "dog"}


def square(t, k):
    """Return the first and last columns and rows of the square of class k + 1."""
    return t, 1 + 4 * k, t + 3, 3 + 4 * k


def corners(t, k):
    left, top, right, bottom = square(t, k)
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def truth_of(path, **how):
    source = opened(path, **how)
    np.testing.assert_array_equal(np.stack(list(source)), TRUTH)
    assert dict(source.legend.names) == CAT_DOG
    return source


def labelme_shape(t, k, kind):
    left, top, right, bottom = square(t, k)
    shape = {"label": CAT_DOG[k + 1], "shape_type": kind, "points": corners(t, k)}
    if kind == "rectangle":
        shape["points"] = [[right, bottom], [left, top]]
    if kind == "mask":
        painted = io.BytesIO()
        Image.new("1", (right - left + 1, bottom - top + 1), 1).save(painted, "PNG")
        shape["points"] = [[left, top], [right, bottom]]
        shape["mask"] = base64.b64encode(painted.getvalue()).decode()
    return shape


def write_labelme(folder, kinds=("polygon", "polygon"), more=()):
    folder.mkdir()
    for t in range(FRAMES):
        shapes = [labelme_shape(t, k, kind) for k, kind in enumerate(kinds)]
        content = {"version": "5.5.0", "flags": {}, "shapes": [*shapes, *more],
                   "imagePath": f"{t:05}.jpg", "imageData": None, "imageHeight": ROWS,
                   "imageWidth": COLUMNS}  # fmt: skip
        (folder / f"{t:05}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("kinds", [("polygon", "mask"), ("rectangle", "polygon")])
def test_labelme_is_drawn_as_labelme_draws(tmp_path, kinds):
    truth_of(write_labelme(tmp_path / "clip", kinds))


def test_a_circle_of_labelme_is_an_ellipse_of_pillow(tmp_path):
    circle = {"label": "cat", "shape_type": "circle", "points": [[8, 6], [11, 6]]}
    folder = write_labelme(tmp_path / "clip", (), [circle])
    picture = Image.new("1", (COLUMNS, ROWS))
    ImageDraw.Draw(picture).ellipse([5, 3, 11, 9], fill=1, outline=1)
    np.testing.assert_array_equal(read(folder)[0], np.asarray(picture))


def test_points_of_labelme_are_left_out_and_said(tmp_path):
    point = {"label": "cat", "shape_type": "point", "points": [[3, 3]]}
    source = truth_of(write_labelme(tmp_path / "clip", more=[point]))
    assert any("no regions are left out: point" in note for note in source.warnings)


def yolo_line(t, k, extra=""):
    shares = np.array(corners(t, k)) / [COLUMNS, ROWS]
    return " ".join([str(k), *(f"{v:.6f}" for v in shares.ravel())]) + extra


def write_yolo(folder, extra="", frames=range(FRAMES), inner=""):
    label_folder = folder / inner if inner else folder
    label_folder.mkdir(parents=True)
    for t in frames:
        lines = [yolo_line(t, k, extra) for k in range(2)]
        (label_folder / f"clip_{t}.txt").write_text("\n".join(lines) + "\n")
    (folder.parent / "data.yaml").write_text("nc: 2\nnames: {0: cat, 1: dog}\n")
    return folder


@pytest.mark.parametrize("extra", ["", " 0.91", " 0.91 7", " 7"])
def test_yolo_has_polygons_with_or_without_confidence_and_track(tmp_path, extra):
    truth_of(write_yolo(tmp_path / "clip", extra))


def test_the_labels_of_a_run_of_ultralytics_lie_a_folder_deeper(tmp_path):
    truth_of(write_yolo(tmp_path / "clip", inner="labels"))


def test_a_frame_without_a_text_of_yolo_has_no_object(tmp_path):
    folder = write_yolo(tmp_path / "clip", frames=(0, 1, 3))
    (folder / "clip_3.txt").write_text("")
    expected = TRUTH.copy()
    expected[2:] = 0
    np.testing.assert_array_equal(read(folder, first=0), expected)


def test_boxes_of_yolo_are_no_masks(tmp_path):
    folder = write_yolo(tmp_path / "clip")
    (folder / "clip_2.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(InputError, match=r"expected a class and three or more points.*boxes\?"):
        opened(folder)


def result(t, k, *, shares=False):
    points = np.array(corners(t, k), float) / ([COLUMNS, ROWS] if shares else 1)
    box = {"x1": 0.0, "y1": 0.0, "x2": 1.0, "y2": 1.0}
    segments = {"x": points[:, 0].tolist(), "y": points[:, 1].tolist()}
    return {"name": CAT_DOG[k + 1], "class": k, "confidence": 0.9, "box": box,
            "segments": segments}  # fmt: skip


@pytest.mark.parametrize("shares", [False, True])
def test_results_of_ultralytics_are_a_list_of_objects_a_frame(tmp_path, shares):
    every = [[result(t, k, shares=shares) for k in range(2)] for t in range(FRAMES)]
    (tmp_path / "clip.json").write_text(json.dumps(every))
    truth_of(tmp_path / "clip.json")
    (tmp_path / "clip").mkdir()
    for t, objects in enumerate(every):
        (tmp_path / "clip" / f"{t:05}.json").write_text(json.dumps(objects))
    truth_of(tmp_path / "clip")


def brush(mask):
    """Return a mask as Label Studio's run lengths: one run for each pixel's four values."""
    values = np.repeat((mask.ravel() * 255).astype(np.uint8), 4)
    bits = f"{len(values):032b}" + f"{7:05b}" + "".join(f"{w:04b}" for w in (2, 3, 7, 15))
    edges = [0, *(np.flatnonzero(np.diff(values.astype(int))) + 1), len(values)]
    for start, stop in itertools.pairwise(edges):
        bits += "1" + "11" + f"{stop - start - 1:016b}" + f"{values[start]:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]


def task(t, kinds, picture="/data/upload/1/1a2b3c4d-{:05}.jpg"):
    results = []
    for k, kind in enumerate(kinds):
        left, top, right, bottom = square(t, k)
        value = {kind: [CAT_DOG[k + 1]]}
        if kind == "brushlabels":
            value |= {"format": "rle", "rle": brush(TRUTH[t] == k + 1)}
        else:
            edges = np.array([[left, top], [right + 1, top], [right + 1, bottom + 1],
                              [left, bottom + 1]])  # fmt: skip
            value |= {"points": (100 * edges / [COLUMNS, ROWS]).tolist(), "closed": True}
        results.append({"type": kind, "original_width": COLUMNS, "original_height": ROWS,
                        "value": value})  # fmt: skip
    skipped = {"result": [], "was_cancelled": True}
    done = {"result": results, "was_cancelled": False}
    return {"id": t, "annotations": [skipped, done], "data": {"image": picture.format(t)}}


@pytest.mark.parametrize("kinds", [("brushlabels", "polygonlabels"), ("polygonlabels",) * 2])
def test_label_studio_has_brushes_and_polygons(tmp_path, kinds):
    tasks = [task(t, kinds) for t in reversed(range(FRAMES))]
    (tmp_path / "clip.json").write_text(json.dumps(tasks))
    frame_names = tuple(f"{t:05}.jpg" for t in range(FRAMES))
    truth_of(tmp_path / "clip.json", frame_names=frame_names)


def test_a_brush_that_is_cut_off_is_refused(tmp_path):
    tasks = [task(t, ("brushlabels",)) for t in range(FRAMES)]
    cut = tasks[1]["annotations"][1]["result"][0]["value"]
    cut["rle"] = cut["rle"][:-20]
    (tmp_path / "clip.json").write_text(json.dumps(tasks))
    with pytest.raises(InputError, match=r"clip\.json: .*a brush that is cut off"):
        opened(tmp_path / "clip.json")


def cvat_mask(t, k):
    left, top, right, bottom = square(t, k)
    width, height = right - left + 1, bottom - top + 1
    return (
        f'<mask label="{CAT_DOG[k + 1]}" left="{left}" top="{top}" width="{width}" '
        f'height="{height}" rle="0, {width * height}" z_order="{k}"/>'
    )


def cvat_polygon(t, k, more=""):
    left, top, right, bottom = square(t, k)
    edges = [(left, top), (right + 1, top), (right + 1, bottom + 1), (left, bottom + 1)]
    points = ";".join(f"{x}.00,{y}.00" for x, y in edges)
    return f'<polygon label="{CAT_DOG[k + 1]}" points="{points}" z_order="{k}" {more}/>'


LABELS = "<labels><label><name>cat</name></label><label><name>dog</name></label></labels>"


def test_cvat_for_images_has_masks_and_polygons(tmp_path):
    images = "".join(
        f'<image id="{t}" name="{t:05}.png" width="{COLUMNS}" height="{ROWS}">'
        f"{cvat_polygon(t, 1)}{cvat_mask(t, 0)}</image>"
        for t in range(FRAMES)
    )
    text = f"<annotations><version>1.1</version><meta><job>{LABELS}</job></meta>{images}"
    (tmp_path / "clip.xml").write_text(f"{text}</annotations>")
    truth_of(tmp_path / "clip.xml")


def test_cvat_for_video_has_tracks_that_may_be_outside(tmp_path):
    tracks = ""
    for k in range(2):
        inside = "".join(cvat_polygon(t, k, f'frame="{t}" outside="0"') for t in range(FRAMES - 1))
        gone = cvat_polygon(FRAMES - 1, k, f'frame="{FRAMES - 1}" outside="1"')
        tracks += f'<track id="{k}" label="{CAT_DOG[k + 1]}">{inside}{gone}</track>'
    meta = (
        f"<task><id>4</id><name>clip.mp4</name><size>{FRAMES}</size>{LABELS}<original_size>"
        f"<width>{COLUMNS}</width><height>{ROWS}</height></original_size></task>"
    )
    text = f"<annotations><version>1.1</version><meta>{meta}</meta>{tracks}</annotations>"
    (tmp_path / "clip.xml").write_text(text)
    expected = TRUTH.copy()
    expected[-1] = 0
    np.testing.assert_array_equal(read(tmp_path / "clip.xml"), expected)


def test_a_project_of_cvat_holds_several_videos(tmp_path):
    tasks, images = "", ""
    for number, name in enumerate(("clip", "other")):
        tasks += f"<task><id>{number}</id><name>{name}.mp4</name></task>"
        for t in range(FRAMES):
            shown = "".join(cvat_mask(t, k) for k in range(2)) if name == "clip" else ""
            images += (
                f'<image id="{t}" name="frame_{t:06}" width="{COLUMNS}" height="{ROWS}" '
                f'task_id="{number}">{shown}</image>'
            )
    meta = f"<project><id>1</id>{LABELS}<tasks>{tasks}</tasks></project>"
    text = f"<annotations><version>1.1</version><meta>{meta}</meta>{images}</annotations>"
    (tmp_path / "all.xml").write_text(text)
    truth_of(tmp_path / "all.xml")
    assert set(cvat.READERS[0].clips_inside(tmp_path / "all.xml")) == {"clip", "other"}


def test_entities_of_xml_are_refused(tmp_path):
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><annotations><version>1.1</version></annotations>'
    (tmp_path / "clip.xml").write_text(bomb)
    with pytest.raises(InputError, match="expected no document type"):
        opened(tmp_path / "clip.xml", format="cvat")


def test_polygons_of_supervision_are_filled_as_it_fills_them(tmp_path):
    images, shapes = [], []
    for t in range(FRAMES):
        images.append({"id": t, "file_name": f"{t:05}.jpg", "height": ROWS, "width": COLUMNS})
        for k in range(2):
            mask = (TRUTH[t] == k + 1).astype(np.uint8)
            contour = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0][0]
            shapes.append({"id": len(shapes), "image_id": t, "category_id": k + 1,
                           "segmentation": [contour.ravel().tolist()]})  # fmt: skip
    names = [{"id": k, "name": name, "supercategory": "common-objects"}
             for k, name in CAT_DOG.items()]  # fmt: skip
    content = {"images": images, "annotations": shapes, "categories": names}
    (tmp_path / "clip.json").write_text(json.dumps(content))
    truth_of(tmp_path / "clip.json")


@pytest.mark.parametrize("seed", range(5))
def test_packing_is_undone_by_unpacking(seed):
    mask = np.random.default_rng(seed).random((7, 9)) > 0.2 * seed
    packed = pack(mask)
    np.testing.assert_array_equal(decode_rle(packed["counts"], (7, 9)), mask)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 70000) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(
            ["shapes", "label", "points", "shape_type", "mask", "imageHeight", "imageWidth",
             "class", "name", "segments", "x", "y", "box", "annotations", "result", "value", "rle",
             "type", "original_width", "original_height", "data", "image", "images", "categories",
             "file_name", "id", "image_id", "category_id", "segmentation", "videos", "video_id"]
        ), inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


def words_of(path, **how):
    """Return why masks are refused; nothing if they are read."""
    try:
        list(opened(path, **how))
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("module", [labelme, yolo, label_studio, coco])
@settings(max_examples=150, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(content=PLAIN)
def test_any_json_is_read_or_refused_in_words(tmp_path, module, content):
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(content))
    output = words_of(path, format=module.READERS[-1].name)
    assert not output or str(path) in output


@settings(max_examples=100, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(words=st.lists(st.sampled_from(["0", "1", "-1", "0.5", "nan", "1e999", "x", "\n"])))
def test_any_text_is_read_or_refused_in_words(tmp_path, words):
    folder = tmp_path / "clip"
    folder.mkdir(exist_ok=True)
    (folder / "clip_0.txt").write_text(" ".join(words))
    output = words_of(folder, format="yolo", frames=1)
    assert not output or str(folder) in output


def test_files_are_told_apart_by_their_content(tmp_path):
    write_labelme(tmp_path / "labelme")
    write_yolo(tmp_path / "yolo")
    (tmp_path / "a.json").write_text(json.dumps([task(0, ("brushlabels",))]))
    (tmp_path / "b.json").write_text(json.dumps([[result(0, 0)]]))
    readers = {name: choose_reader(tmp_path / name) for name in ("labelme", "yolo", "a.json",
                                                                "b.json")}  # fmt: skip
    assert {name: reader.name for name, reader in readers.items()} == {
        "labelme": "labelme", "yolo": "yolo", "a.json": "labelstudio", "b.json": "ultralytics",
    }  # fmt: skip
    assert readers["labelme"].recognise(tmp_path / "labelme") == BY_CONTENT
