"""Malformed files of every annotation format: an error that names the file, never a bare one."""

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from stages.media.masks.registry import mask_readers
from tests.support.mask_samples import FRAMES, SIZE, labels, opened, rle

KEYS = (
    *("images", "annotations", "categories", "videos", "id", "image_id", "category_id", "name"),
    *("file_name", "file_names", "height", "width", "segmentation", "segmentations", "size"),
    *("counts", "video_id", "shapes", "points", "label", "imagePath", "length", "data", "result"),
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
