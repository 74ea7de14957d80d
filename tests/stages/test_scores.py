"""What `scores` says of clips whose masks out are worse than those in."""

import json

import cv2
import numpy as np
import pytest

from pipeline.executor import InlineExecutor
from pipeline.scheduler import Run
from pipeline.stage import Clip
from pipeline.store.store import Store
from stages.catalogue import build_steps
from stages.media.masks.palette import write_indexed_png
from stages.scores import COUNTS, Scores
from tests.support.small_library import SIZE, write_clip

BOTH = ("pairs", "boundary", "restless", "areas")  # of which in and out can be exchanged
VOTES = {"refine": {"method": "vote"}}
BLIND = "tests.support.blank_segmenters:see_nothing"
DAZZLED = "tests.support.blank_segmenters:see_everything"


def run(root, settings=None):
    """Run clip a below `root`; return its scores."""
    clip = Clip("a", {kind: root / kind / "a" for kind in ("footage", "masks")})
    sections = {"export": {"formats": []}, "report": {"enabled": False}, **(settings or {})}
    steps, _ = build_steps(sections, "test")
    store, events = Store(str(root / "store")), []

    def start():
        return InlineExecutor(store.url, 1)

    Run(steps, store, root / "out", start, chunk=16, listener=events.append).go([clip])
    assert [event.text for event in events if event.kind == "failed"] == []
    return json.loads((root / "out" / "a" / "metrics.json").read_text())


def write_masks(root, frames):
    """Put grey PNG in the place of the masks of clip a."""
    folder = root / "masks" / "a"
    for path in folder.iterdir():
        path.unlink()
    for t, mask in enumerate(frames):
        cv2.imwrite(str(folder / f"{t:05d}.png"), mask)


def disc(value, frames=6):
    mask = np.zeros(SIZE, np.uint8)
    cv2.circle(mask, (40, 30), 15, value, -1)
    return [mask] * frames


@pytest.mark.parametrize(
    ("value", "settings", "cause"),
    [
        (100, {"kind": "soft"}, "never pass one half (largest 0.39)"),
        (1, {"kind": "soft"}, "segment.kind=labels"),
        (255, {"kind": "labels"}, "segment.kind=binary"),
        (0, {}, "every pixel of the files is 0"),
    ],
)
def test_masks_that_are_empty_throughout_are_told_with_the_cause(tmp_path, value, settings, cause):
    write_clip(tmp_path, "a", 6)
    write_masks(tmp_path, disc(value))
    (warning,) = run(tmp_path, {"segment": settings})["warnings"]
    assert warning["kind"] == "empty"
    assert warning["frames"] == [[0, 6]]
    assert "no foreground in any of the 6 frames" in warning["words"]
    assert cause in warning["cause"]


def test_masks_that_are_full_throughout_are_told(tmp_path):
    write_clip(tmp_path, "a", 6)
    write_masks(tmp_path, [np.full(SIZE, 1, np.uint8)] * 6)
    (warning,) = run(tmp_path)["warnings"]
    assert warning["kind"] == "full"
    assert "inverted" in warning["cause"]


@pytest.mark.parametrize(("segmenter", "kind"), [(BLIND, "empty"), (DAZZLED, "full")])
def test_a_network_that_says_nothing_is_told_with_the_settings_to_check(tmp_path, segmenter, kind):
    write_clip(tmp_path, "a", 6)
    settings = {"segmenter": segmenter, "classes": [7], "check": False}
    (warning,) = run(tmp_path, {"segment": settings})["warnings"]
    assert warning["kind"] == kind
    assert "segment.mean, segment.std" in warning["cause"]


def test_a_class_that_the_votes_clear_away_is_told_where_it_was(tmp_path):
    write_clip(tmp_path, "a", 20)
    for path in sorted((tmp_path / "footage" / "a").iterdir()):
        cv2.imwrite(str(path), cv2.GaussianBlur(np.full((*SIZE, 3), 90, np.uint8), (0, 0), 2))
    masks = np.zeros((20, *SIZE), np.uint16)
    masks[:, 5:20, 5:30] = 3
    masks[9:12, 30:50, 40:70] = 7
    for mask, path in zip(masks, sorted((tmp_path / "masks" / "a").iterdir()), strict=True):
        write_indexed_png(path, mask)
    (warning,) = run(tmp_path, VOTES | {"scores": {"stretch": 3}})["warnings"]
    assert (warning["kind"], warning["label"], warning["frames"]) == ("gone", 7, [[9, 12]])
    assert run(tmp_path, VOTES)["warnings"] == []


def test_a_clip_that_became_less_stable_is_told(tmp_path):
    """The counts of a clip that became more stable, in and out exchanged."""
    write_clip(tmp_path, "a", 12)
    scores = run(tmp_path, VOTES)
    assert scores["warnings"] == []
    clip = Clip("a", {})
    counts = stored_counts(tmp_path)

    def read(array, only=None):
        values = counts[array.name]
        return iter(np.flip(values, axis=1) if array.name in BOTH else values)

    names = ("frames", "shots", "holes", "classes")
    facts = {name: scores[name] for name in names} | {"size": SIZE, "rate": 25.0}
    Scores().run(clip, facts, read, tmp_path)
    (warning,) = json.loads((tmp_path / "metrics.json").read_text())["warnings"]
    assert warning["kind"] == "restless"
    rose = f"rose from {scores['output']['E_cons']:.2f} to {scores['input']['E_cons']:.2f}"
    assert rose in warning["words"]


def stored_counts(root):
    """Return what `scores` reads of clip a, which was run before."""
    store, measured = Store(str(root / "store")), []

    class Spy(Scores):
        def summary(self, name, facts, arrays):
            measured.append(arrays)
            return super().summary(name, facts, arrays)

    steps, _ = build_steps(VOTES, "test")
    steps = [Spy() if step.name == "scores" else step for step in steps]
    steps = [step for step in steps if step.name not in ("export", "report")]
    clip = Clip("a", {kind: root / kind / "a" for kind in ("footage", "masks")})

    def start():
        return InlineExecutor(store.url, 1)

    Run(steps, store, root / "spied", start, chunk=16, listener=lambda event: None).go([clip])
    (counts,) = measured
    assert set(counts) == {array.name for array in COUNTS}
    return counts


def test_the_size_that_was_judged_at_is_said(tmp_path):
    write_clip(tmp_path, "a", 5)
    scores = run(tmp_path)
    rows, columns = scores["size"]
    assert (rows, columns) == SIZE
    for system in ("input", "output"):
        expected = scores[system]["E_cons"] * 480 / rows
        assert scores[system]["E_cons_480"] == pytest.approx(expected, rel=1e-4)
