"""Masks that are larger than working size come back with their own detail."""

import json

import cv2
import numpy as np
import pytest

from pipeline.executor import InlineExecutor
from pipeline.scheduler import Run
from pipeline.stage import Clip
from pipeline.store.store import Store
from stages.catalogue import build_steps
from stages.media.masks.palette import read_labels, write_indexed_png
from tests.support.small_library import scene

SIZE, FRAMES = (96, 144), 6
UNTOUCHED = {
    "ingest": {"short_side": 32, "cuts": []},
    "segment": {"softness": 0},
    "refine": {"method": "none"},
    "smooth": {"method": "none", "votes": 0},
}


def write_library(root, soft=False, damaged=()):
    """Write a clip whose masks hold a line of one pixel; return the masks."""
    for folder in ("footage", "masks"):
        (root / folder / "a").mkdir(parents=True)
    values = []
    for t in range(FRAMES):
        frame, labels = scene(t, SIZE)
        labels[4, 10:100] = 7
        if t in damaged:
            labels[labels == 3] = 0
        mask = labels.astype(np.uint8)
        if soft:
            mask = cv2.GaussianBlur((labels == 3).astype(np.float32) * 255, (0, 0), 2)
            mask = mask.astype(np.uint8)
            cv2.imwrite(str(root / "masks/a" / f"{t:05d}.png"), mask)
        else:
            write_indexed_png(root / "masks/a" / f"{t:05d}.png", mask)
        cv2.imwrite(str(root / "footage/a" / f"{t:05d}.png"), frame[..., ::-1])
        values.append(mask)
    return values


def run(root, settings):
    clip = Clip("a", {"footage": root / "footage/a", "masks": root / "masks/a"})
    steps, _ = build_steps(settings, "test")
    events = []
    store = Store(str(root / "store"))
    start = lambda: InlineExecutor(store.url, 1)  # noqa: E731
    Run(steps, store, root / "out", start, chunk=4, listener=events.append).go([clip])
    assert [event.text for event in events if event.kind == "failed"] == []
    return [read_labels(path) for path in sorted((root / "out/a/masks").iterdir())]


def test_labels_that_no_stage_changed_come_out_as_they_came(tmp_path):
    masks = write_library(tmp_path)
    np.testing.assert_array_equal(run(tmp_path, UNTOUCHED), masks)


def test_soft_masks_that_no_stage_changed_come_out_at_their_own_half(tmp_path):
    masks = write_library(tmp_path, soft=True)
    out = run(tmp_path, UNTOUCHED | {"segment": {"kind": "soft"}})
    np.testing.assert_array_equal(out, np.stack(masks) > 127)


def test_a_changed_object_leaves_the_rest_of_the_frame_as_it_came(tmp_path):
    masks = write_library(tmp_path, damaged=[3])
    settings = UNTOUCHED | {"refine": {"method": "vote", "passes": 2}}
    out = run(tmp_path, settings)
    assert (masks[3] == 3).sum() == 0
    assert (out[3] == 3).sum() > 0.5 * (masks[2] == 3).sum()
    line = np.s_[4, 20:90]
    assert (masks[3][line] == 7).all()
    assert (out[3][line] == 7).all()


def test_masks_at_the_source_s_size_are_stored_only_where_that_is_larger(tmp_path):
    write_library(tmp_path)
    run(tmp_path, {"ingest": {"cuts": []}, "report": {"enabled": False}})
    manifests = (tmp_path / "store/objects").rglob("manifest.json")
    names = {name for path in manifests for name in json.loads(path.read_text())["arrays"]}
    assert {"masks", "labels"} <= names
    assert not {"source_labels", "source_soft"} & names


@pytest.mark.parametrize("union", [False, True])
def test_classes_keep_their_labels(tmp_path, union):
    masks = np.stack(write_library(tmp_path))
    settings = UNTOUCHED | {"segment": {"softness": 0, "union": union}}
    wanted = (masks > 0).astype(np.uint8) if union else masks
    np.testing.assert_array_equal(run(tmp_path, settings), wanted)
