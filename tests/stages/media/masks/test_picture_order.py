"""Pictures of annotation files: which frame each belongs to, where ids or odd names are all."""

import json

import numpy as np
import pytest

from pipeline.errors import InputError
from tests.support.mask_samples import discs, opened, rle

FRAMES = 12
CLIP = discs(FRAMES)
NAMES = tuple(f"{t:05d}.png" for t in range(FRAMES))
SHUFFLED = np.random.default_rng(5).permutation(FRAMES).tolist()


def results(tmp_path, ids, order=range(FRAMES), without=()):
    """Write a list of results, frames in the given order, and return its path."""
    entries = [
        {"image_id": ids[t], "category_id": 1, "segmentation": rle(CLIP[t]), "score": 0.9}
        for t in order
        if t not in without
    ]
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(entries))
    return path


def read(path, frame_names=NAMES, **how):
    return opened(path, frames=FRAMES, size=CLIP.shape[1:], frame_names=frame_names, **how)


@pytest.mark.parametrize("frame_names", [NAMES, ()])
@pytest.mark.parametrize("first", [0, 1, 501])
def test_ids_in_a_row_are_frames_whatever_their_order_in_the_file(tmp_path, first, frame_names):
    path = results(tmp_path, range(first, first + FRAMES), SHUFFLED)
    np.testing.assert_array_equal(np.stack(list(read(path, frame_names))), CLIP)


@pytest.mark.parametrize("frame_names", [NAMES, ()])
@pytest.mark.parametrize("stride", [37, 5])
def test_ids_that_are_in_no_order_stop(tmp_path, stride, frame_names):
    ids = [1000 + stride * k for k in SHUFFLED]
    with pytest.raises(InputError, match=r"12 pictures with image ids .* either may be the order"):
        read(results(tmp_path, ids), frame_names)


def test_ids_with_gaps_in_the_order_of_the_file_are_taken_in_order(tmp_path):
    path = results(tmp_path, range(1000, 1000 + 37 * FRAMES, 37))
    np.testing.assert_array_equal(np.stack(list(read(path))), CLIP)


@pytest.mark.parametrize("without", [0, FRAMES - 1])
@pytest.mark.parametrize("missing", ["error", "carry"])
@pytest.mark.parametrize("frame_names", [NAMES, ()])
def test_ids_that_may_count_from_0_or_1_stop(tmp_path, without, missing, frame_names):
    """The first frame of ids from 0, or the last of ids from 1, has no annotation."""
    ids = range(FRAMES) if without == 0 else range(1, FRAMES + 1)
    path = results(tmp_path, ids, without=[without])
    with pytest.raises(InputError, match=r"segment\.first=0.* or .*segment\.first=1"):
        read(path, frame_names, missing=missing)
    chosen = read(path, frame_names, first=ids[0], missing="empty")
    frames = np.stack(list(chosen))
    np.testing.assert_array_equal(np.delete(frames, without, 0), np.delete(CLIP, without, 0))
    assert not frames[without].any()


def test_ids_that_can_only_count_from_1_do(tmp_path):
    path = results(tmp_path, range(1, FRAMES + 1), without=[0])
    with pytest.raises(InputError, match=r"\(frame 0\), image_id 2 being that of frame 1 \(the"):
        read(path)


def test_ids_that_are_numbers_of_frames_decide(tmp_path):
    names = [f"shot.{t}.png" for t in range(1001, 1001 + FRAMES)]
    path = results(tmp_path, range(1001, 1001 + FRAMES), without=[3])
    frames = np.stack(list(read(path, names, missing="empty")))
    np.testing.assert_array_equal(np.delete(frames, 3, 0), np.delete(CLIP, 3, 0))


def test_pictures_with_names_of_letters_in_another_order_stop(tmp_path):
    letters = [f"{chr(97 + k)}.jpg" for k in SHUFFLED]
    content = {
        "images": [{"id": t, "file_name": letters[t]} for t in range(FRAMES)],
        "categories": [{"id": 1, "name": "disc"}],
        "annotations": [
            {"id": t, "image_id": t, "category_id": 1, "segmentation": rle(CLIP[t])}
            for t in range(FRAMES)
        ],
    }
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"names without numbers .* either may be the order"):
        read(path)
    frame_names = [f"{chr(97 + k)}.png" for k in range(FRAMES)]
    frames = np.stack(list(read(path, frame_names)))
    np.testing.assert_array_equal(frames[SHUFFLED], CLIP)
