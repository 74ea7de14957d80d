"""Malformed files of every annotation format: an error that names the file, never a bare one."""

import contextlib
import json
import shutil
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from stages.media.masks.registry import mask_readers
from tests.support.mask_samples import FRAMES, SIZE, labels, opened, rle

KEYS = (
    *("images", "annotations", "categories", "videos", "id", "image_id", "category_id", "name"),
    *("file_name", "file_names", "height", "width", "segmentation", "segmentations", "size"),
    *(
        "counts",
        "video_id",
        "segments_info",
        "shapes",
        "points",
        "label",
        "imagePath",
        "length",
        "data",
        "result",
    ),
)
SCALARS = st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats() | st.sampled_from(KEYS)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=12,
)
FEW = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
READERS = [reader.name for reader in mask_readers() if ".json" in reader.suffixes]


def whole():
    """Return a COCO file as it should be."""
    images = [
        {"id": t, "file_name": f"{t}.png", "height": SIZE[0], "width": SIZE[1]}
        for t in range(FRAMES)
    ]
    shapes = [
        {"id": t, "image_id": t, "category_id": 1, "segmentation": rle(labels(1)[t] > 0)}
        for t in range(FRAMES)
    ]
    return {"images": images, "annotations": shapes, "categories": [{"id": 1, "name": "x"}]}


def tracks():
    """Return a YouTube-VIS file as it should be."""
    shapes = [rle(mask > 0) for mask in labels(1)]
    names = [f"clip/{t}.jpg" for t in range(FRAMES)]
    video = {"id": 1, "height": SIZE[0], "width": SIZE[1], "file_names": names}
    track = {"id": 1, "video_id": 1, "category_id": 1, "segmentations": shapes}
    return {"videos": [video], "annotations": [track], "categories": [{"id": 1, "name": "x"}]}


def read_all(path, **how):
    """Read a file to the end; a refusal is as good as masks."""
    with contextlib.suppress(InputError):
        list(opened(path, **how))


@pytest.mark.parametrize("reader", READERS)
@given(content=JSON)
@FEW
def test_any_json_is_read_or_refused(tmp_path, reader, content):
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(content))
    read_all(path, format=reader)


@pytest.mark.parametrize("make", [whole, tracks])
@given(data=st.data())
@FEW
def test_a_file_with_one_part_replaced_is_read_or_refused(tmp_path, make, data):
    content = make()
    part, key = content, None
    for _ in range(data.draw(st.integers(1, 5))):
        keys = list(part) if isinstance(part, dict) else range(len(part))
        if not keys:
            break
        holder, key = part, data.draw(st.sampled_from(list(keys)))
        part = part[key]
        if not isinstance(part, dict | list):
            break
    if data.draw(st.booleans()):
        holder[key] = data.draw(JSON)
    else:
        del holder[key]
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(content))
    read_all(path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", '"x"', "[" * 5000, '{"images": [NaN]}']
)
def test_what_is_no_annotation_is_named(tmp_path, text):
    (tmp_path / "clip.json").write_text(text)
    with pytest.raises(InputError, match=r"clip\.json: expected"):
        opened(tmp_path / "clip.json", format="coco")


@pytest.mark.parametrize("size", [(10**9, 10**9 * 16 // 12), (0, 0), (-12, -16)])
def test_sizes_that_no_picture_has_are_refused(tmp_path, size):
    content = whole()
    for image in content["images"]:
        image["height"], image["width"] = size
    (tmp_path / "clip.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"clip\.json: expected"):
        opened(tmp_path / "clip.json")


@given(names=st.lists(st.text(alphabet="0123456789_ab.", max_size=8), max_size=6, unique=True))
@FEW
def test_any_names_of_keys_in_an_archive_are_matched_or_refused(tmp_path, names):
    import numpy as np

    arrays = {f"k{name}": labels(1)[0] for name in names}
    np.savez(tmp_path / "clip.npz", **arrays)
    read_all(tmp_path / "clip.npz")


CVAT_IMAGES = f"""<annotations><version>1.1</version><meta><task><id>1</id><name>clip</name>
<labels><label><name>x</name></label></labels></task></meta>
{
    "".join(
        f'<image id="{t}" name="{t}.png" width="{SIZE[1]}" height="{SIZE[0]}"><polygon label="x" '
        f'points="1,1;9,1;9,9" z_order="0"/><mask label="x" rle="3,4,5" left="1" top="1" width="4" '
        f'height="3" z_order="1"/><box label="x" xtl="1" ytl="1" xbr="5" ybr="5"/><ellipse '
        f'label="x" cx="5" cy="5" rx="2" ry="3"/></image>'
        for t in range(FRAMES)
    )
}</annotations>"""
CVAT_VIDEO = f"""<annotations><version>1.1</version><meta><task><id>1</id><name>clip</name><size>
{FRAMES}</size><original_size><width>{SIZE[1]}</width><height>{SIZE[0]}</height></original_size>
</task></meta><track id="0" label="x">{
    "".join(
        f'<mask frame="{t}" rle="3,4,5" left="1" top="1" width="4" height="3" outside="0"/>'
        for t in range(FRAMES)
    )
}</track></annotations>"""
ODD_VALUES = st.sampled_from(
    ("", "x", "-1", "0", "1e9", "nan", "inf", "1,2", "1,2;3", ";", "9" * 30, "1,1;2,2;1e300,4", "é")
)


@pytest.mark.parametrize("text", [CVAT_IMAGES, CVAT_VIDEO])
@given(data=st.data())
@FEW
def test_cvat_with_some_parts_replaced_is_read_or_refused(tmp_path, text, data):
    root = ET.fromstring(text)
    for _ in range(data.draw(st.integers(1, 4))):
        element = data.draw(st.sampled_from(list(root.iter())))
        change = data.draw(st.sampled_from(("value", "attribute", "text", "tag", "children")))
        if change in ("value", "attribute") and element.attrib:
            name = data.draw(st.sampled_from(sorted(element.attrib)))
            if change == "value":
                element.attrib[name] = data.draw(ODD_VALUES)
            else:
                del element.attrib[name]
        elif change == "text":
            element.text = data.draw(ODD_VALUES)
        elif change == "tag":
            element.tag = data.draw(st.sampled_from(("image", "track", "mask", "polygon", "meta")))
        else:
            del element[:]
    path = tmp_path / "clip.xml"
    path.write_bytes(ET.tostring(root))
    read_all(path, format="cvat")


@given(data=st.binary(max_size=200))
@FEW
def test_any_bytes_are_no_cvat(tmp_path, data):
    path = tmp_path / "clip.xml"
    path.write_bytes(b"<annotations><version>1.1</version>" + data)
    read_all(path, format="cvat")


NUMBERS = st.sampled_from(
    ("0", "1", "-1", "0.5", "1.5", "nan", "inf", "x", "", "1e308", "2", "0.1")
)
LINES = st.lists(st.lists(NUMBERS, max_size=9).map(" ".join), max_size=4).map("\n".join)


@given(texts=st.lists(LINES | st.text(max_size=40), min_size=1, max_size=FRAMES), names=LINES)
@FEW
def test_any_yolo_texts_are_read_or_refused(tmp_path, texts, names):
    folder = tmp_path / "clip"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for t, text in enumerate(texts):
        (folder / f"{t}.txt").write_bytes(text.encode(errors="surrogatepass"))
    (tmp_path / "data.yaml").write_text(f"names: [{names}]\n")
    read_all(folder, format="yolo")
