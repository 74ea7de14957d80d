"""Key frames: the user's masks for some frames come out as they are and reach the others."""

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
from tests.support.small_library import SIZE, scene

FRAMES, CUT = 18, 12


def write_library(root, keys, masks=False, cut=None, size=SIZE):
    for folder in ("footage", "masks", "keys"):
        (root / folder / "a").mkdir(parents=True)
    truth = []
    for t in range(FRAMES):
        late = cut is not None and t >= cut
        frame, labels = scene(t, size, picture="coffee" if late else "astronaut")
        name = f"{t:05d}.png"
        cv2.imwrite(str(root / "footage/a" / name), frame[..., ::-1])
        if t in keys:
            write_indexed_png(root / "keys/a" / name, labels)
        if masks:
            write_indexed_png(root / "masks/a" / name, np.where(labels == 3, 0, labels))
        truth.append(labels)
    return np.stack(truth)


def run(root, *, masks=False, chunk=8, out="out", settings=None):
    files = {"footage": root / "footage/a", "keyframes": root / "keys/a"}
    files |= {"masks": root / "masks/a"} if masks else {}
    sections = {"ingest": {"cuts": []}} | (settings or {})
    steps, _ = build_steps(sections, "test", key_frames=True)
    store, events = Store(str(root / f"{out}-store")), []
    start = lambda: InlineExecutor(store.url, 2)  # noqa: E731
    Run(steps, store, root / out, start, chunk=chunk, listener=events.append).go([Clip("a", files)])
    assert [event.text for event in events if event.kind == "failed"] == []
    return np.stack([read_labels(path) for path in sorted((root / out / "a/masks").iterdir())])


def carried(root, out="out"):
    """Return the digests of the carried masks and labels by frame."""
    digests = {}
    for path in (root / f"{out}-store/objects").rglob("manifest.json"):
        manifest = json.loads(path.read_text())
        if manifest["record"]["stage"] == "carry":
            for name, entry in manifest["arrays"].items():
                for k, digest in enumerate(entry["digests"]):
                    digests[name, manifest["start"] + k] = digest
    return digests


def mean_iou(out, truth, frames):
    return np.mean(
        [((out[t] == k) & (truth[t] == k)).sum() / ((out[t] == k) | (truth[t] == k)).sum()
         for t in frames for k in (3, 7)]
    )  # fmt: skip


def test_key_frames_alone_come_out_as_they_are_and_reach_the_frames_between(tmp_path):
    keys = [0, 8, 17]
    truth = write_library(tmp_path, keys)
    out = run(tmp_path)
    np.testing.assert_array_equal(out[keys], truth[keys])
    assert mean_iou(out, truth, set(range(FRAMES)) - set(keys)) > 0.7


def test_key_frames_beat_masks_and_leave_them_elsewhere(tmp_path):
    truth = write_library(tmp_path, [8], masks=True)
    out = run(tmp_path, masks=True)
    np.testing.assert_array_equal(out[8], truth[8])
    assert set(np.unique(out[0])) <= {0, 3, 7}
    assert ((out[1] == 7) & (truth[1] == 7)).sum() > 0.9 * (truth[1] == 7).sum()


def test_nothing_is_carried_across_a_cut(tmp_path):
    write_library(tmp_path, [0, 5], cut=CUT)
    out = run(tmp_path, settings={"ingest": {"cuts": [CUT]}})
    assert (out[:CUT] > 0).any(axis=(1, 2)).all()
    assert not (out[CUT:] > 0).any()


def test_nothing_is_carried_further_than_the_reach(tmp_path):
    write_library(tmp_path, [0])
    run(tmp_path, settings={"carry": {"reach": 4}})
    empty = {
        digest for (name, t), digest in carried(tmp_path).items() if name == "labels" and t > 4
    }
    reached = {d for (name, t), d in carried(tmp_path).items() if name == "labels" and t <= 4}
    assert len(empty) == 1
    assert len(reached) == 5


@pytest.mark.parametrize("chunk", [5, 1000])
def test_chunks_change_no_bit(tmp_path, chunk):
    write_library(tmp_path, [2, 9], masks=False)
    settings = {"carry": {"reach": 6}}
    run(tmp_path, settings=settings)
    run(tmp_path, chunk=chunk, out="again", settings=settings)
    assert carried(tmp_path) == carried(tmp_path, "again")


def test_masks_of_some_frames_are_carried_if_missing_says_so(tmp_path):
    truth = write_library(tmp_path, [0, 8, 17])
    out = run_with_gaps(tmp_path, "carry")
    assert mean_iou(out, truth, range(1, 17)) > 0.7


def test_frames_that_are_declared_empty_stay_empty_and_cost_their_neighbours_nothing(tmp_path):
    empty = [0, 8, 9]  # others would be mended from both sides, as bad masks are
    shown = [t for t in range(FRAMES) if t not in empty]
    truth = write_library(tmp_path, shown, size=(160, 240))
    out = run_with_gaps(tmp_path, "empty")
    assert not out[empty].any()
    assert mean_iou(out, truth, shown) > 0.99


def run_with_gaps(root, missing):
    """Run with the key frames as masks that some frames lack; return the labels."""
    (root / "masks/a").rmdir()
    (root / "keys/a").rename(root / "masks/a")
    files = {"footage": root / "footage/a", "masks": root / "masks/a"}
    steps, _ = build_steps({"ingest": {"cuts": []}, "segment": {"missing": missing}}, "test")
    store, events = Store(str(root / "store")), []
    start = lambda: InlineExecutor(store.url, 2)  # noqa: E731
    Run(steps, store, root / "out", start, chunk=64, listener=events.append).go([Clip("a", files)])
    assert [event.text for event in events if event.kind == "failed"] == []
    return np.stack([read_labels(p) for p in sorted((root / "out/a/masks").iterdir())])
