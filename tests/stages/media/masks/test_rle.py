"""Run lengths, plain and compressed, against pycocotools; and those that it does not survive."""

import contextlib
import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from pipeline.errors import InputError
from stages.media.masks.rle import check_polygons, decode_rle
from tests.support.mask_samples import FRAMES, SIZE, labels, opened, rle


@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 40), st.integers(1, 40)))
@settings(max_examples=200, deadline=None)
def test_what_coco_compressed_is_decoded_to_the_pixel(seed, size):
    rng = np.random.default_rng(seed)
    mask = np.kron(rng.random((5, 5)) < rng.random(), np.ones((8, 8), bool))[: size[0], : size[1]]
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    np.testing.assert_array_equal(decode_rle(encoded["counts"], size), mask)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        np.testing.assert_array_equal(
            decode_rle(encoded["counts"].decode(), size), coco.decode(encoded)
        )


def test_plain_runs_go_down_the_columns():
    np.testing.assert_array_equal(
        decode_rle([1, 2, 3], (2, 3)), [[False, True, False], [True, False, False]]
    )


def test_long_runs_of_a_large_picture_are_decoded():
    mask = np.zeros((3000, 4000), np.uint8)
    mask[10:2990, 7:3990] = 1
    encoded = coco.encode(np.asfortranarray(mask))
    np.testing.assert_array_equal(decode_rle(encoded["counts"], mask.shape), mask.astype(bool))


@pytest.mark.parametrize(
    "counts",
    [
        [5, 5],  # pycocotools would leave the rest of the memory as it was
        [0, 10**9],
        [-5, 197],
        [2**63, 1],
        [[1], [191]],
        ["1"],
        [1.5, 190.5],
        "o",  # it would read on behind the end of these
        "PPPP",
        "o" * 300 + "0",
        "\x00\x7f",
        "zzzz",
        "0",
        7,
        None,
        {"a": 1},
    ],
)
def test_runs_that_are_none_are_refused(tmp_path, counts):
    path = tmp_path / "clip.json"
    shape = {"size": list(SIZE), "counts": counts}
    content = {"videos": [{}], "annotations": [{"segmentations": [shape] * FRAMES}]}
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"clip\.json: not a run-length mask"):
        opened(path)


@pytest.mark.parametrize(
    "polygon",
    [
        [0, 0, 1e9, 0, 1e9, 1e9],  # pycocotools crashes at these
        [0, 0, 1e300, 0, 1e300, 1e300],
        [0, 0, float("nan"), 5, 5, 5],
        [-1e8, -1e8, 1e8, 0, 1e8, 1e8],
        [0, 0, 5, 5],
        [0, 0, 5, 5, 5],
        [0, 0, 5, 5, "a", 5],
        [[0, 0, 5, 5, 5, 0]],
        [-12, 0, 30, 20] * 120_000,
    ],
)
def test_polygons_that_would_take_for_ever_are_refused(tmp_path, polygon):
    path = tmp_path / "clip.json"
    content = {"videos": [{}], "annotations": [{"segmentations": [[polygon]] * FRAMES}]}
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"clip\.json: not a run-length mask"):
        opened(path)


def test_polygons_may_leave_the_picture_a_little():
    check_polygons([[-3, -3, 20, 0, 20, 15.5]], SIZE)


def test_more_objects_than_labels_are_refused(tmp_path):
    path = tmp_path / "clip.json"
    nothing = {"segmentations": [None] * FRAMES}
    path.write_text(json.dumps({"videos": [{}], "annotations": [nothing] * 65536}))
    with pytest.raises(InputError, match="at most 65535 objects, got 65536"):
        opened(path)


def test_any_damage_to_a_good_file_is_refused_or_harmless(tmp_path):
    rng = np.random.default_rng(0)
    shapes = [rle(frame == 1) for frame in labels(1)]
    whole = json.dumps({"videos": [{}], "annotations": [{"segmentations": shapes}]}).encode()
    path = tmp_path / "clip.json"
    for _ in range(300):
        data = bytearray(whole)
        for index in rng.integers(0, len(data), 2):
            data[index] = rng.integers(32, 127)
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            assert set(np.unique(list(opened(path)))) <= {0, 1}
