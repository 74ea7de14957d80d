"""Output is bit for bit the same however the work was cut up, and wherever it ran."""

import json

import numpy as np
import pytest

from pipeline.executor import InlineExecutor
from pipeline.scheduler import Run
from pipeline.stage import Clip
from pipeline.store.store import Store
from stages.catalogue import build_steps
from tests.support.small_library import write_clip
from tests.support.video_samples import write_network

FRAMES, CUT = 38, 25
KEY_FRAMES = (3, 17, 24, 30)
FILES = {"corrected": ("masks", "keyframes"), "drawn": ("keyframes",)}
"""Files of the clip beside its footage, by settings; of others the masks."""
SETTINGS = {
    "default": {"ingest": {"cuts": [CUT]}},
    "full": {
        "ingest": {"cuts": [CUT]},
        "flow": {"far": "direct", "scale": 1.0, "radius": 2},
        "refine": {"passes": 3},
        "smooth": {"method": "compensated", "votes": 0},
    },
    "redacted": {
        "ingest": {"cuts": [CUT]},
        "cover": {"gap": 3},
        "export": {"formats": ["redacted", "matte", "ffv1"]},
        "report": {"enabled": False},
    },
    "voted": {"ingest": {"cuts": [CUT]}, "refine": {"method": "vote"}},
    "learned": {"ingest": {"cuts": [CUT]}, "refine": {"method": "aligned"}},
    "network": {
        "ingest": {"cuts": [CUT]},
        "flow": {
            "method": "raft_small",
            "weights": "random",
            "iterations": 2,
            "far": "direct",
            "far_iterations": 1,
            "precision": "bf16",
        },
    },
    "video": {
        "ingest": {"cuts": [CUT]},
        "segment": {"segmenter": "tcb:{root}/video.safetensors", "check": False},
        "report": {"enabled": False},
    },
    "corrected": {"ingest": {"cuts": [CUT]}},
    "drawn": {"ingest": {"cuts": [CUT]}, "report": {"enabled": False}},
    "plain": {
        "ingest": {"cuts": [CUT]},
        "refine": {"method": "none"},
        "smooth": {"votes": 2, "temporal_kernel": 5, "weighted": False},
    },
}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    root = tmp_path_factory.mktemp("library")
    write_clip(root, "a", FRAMES, cut=CUT)
    write_network(root / "video.safetensors", memory=12)
    (root / "keyframes" / "a").mkdir(parents=True)
    for t, path in enumerate(sorted((root / "masks" / "a").iterdir())):
        if t in KEY_FRAMES:
            (root / "keyframes" / "a" / path.name).write_bytes(path.read_bytes())
    return root


def settings_of(name, root):
    """Return settings by name, with the folder of the library put in."""
    text = json.dumps(SETTINGS[name]).replace("{root}", str(root))
    return json.loads(text)


def everything(root, where, settings, chunk, executor, workers):
    """Run the clip; return the digest of every frame of every array, and what was written.

    Where it is cut up, tasks also find in memory what those before them made.
    """
    recent = 0 if chunk > FRAMES else 10**8
    files = ("footage", *FILES.get(settings, ("masks",)))
    clip = Clip("a", {kind: root / kind / "a" for kind in files})
    steps, _ = build_steps(
        settings_of(settings, root), "test", key_frames="keyframes" in clip.files
    )
    store, events = Store(str(where / "store")), []

    def start():
        if executor == "inline":
            return InlineExecutor(store.url, workers, recent=recent)
        from pipeline.ray_executor import RayExecutor

        return RayExecutor(store.url, workers, address="", resources={}, recent=recent)

    Run(steps, store, where / "out", start, chunk=chunk, listener=events.append).go([clip])
    assert [event.text for event in events if event.kind == "failed"] == []
    results = {}
    for path in sorted((where / "store" / "objects").rglob("manifest.json")):
        manifest = json.loads(path.read_text())
        for name, entry in manifest["arrays"].items():
            frames = results.setdefault(f"{manifest['record']['stage']}.{name}", {})
            frames |= {manifest["start"] + k: d for k, d in enumerate(entry["digests"])}
    written = {
        str(path.relative_to(where / "out")): path.read_bytes()
        for path in sorted((where / "out").rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
    return results, written


@pytest.fixture(scope="module")
def whole(library, tmp_path_factory):
    """What a run of the whole clip in one thread gives, by settings."""
    return {
        name: everything(library, tmp_path_factory.mktemp(name), name, 1000, "inline", 1)
        for name in SETTINGS
    }


def test_every_stage_is_under_the_law(whole):
    stages = {"ingest", "segment", "flow", "visibility", "trust", "refine", "smooth", "measure"}
    actual, written = whole["default"]
    assert {name.partition(".")[0] for name in actual} == stages
    assert all(sorted(frames) == list(range(FRAMES)) for frames in actual.values())
    assert {name.partition(".")[0] for name in whole["corrected"][0]} == stages | {"carry"}
    assert {"a/masks.mkv", "a/overlay.mp4", "a/metrics.json", "a/masks/00037.png"} <= set(written)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(("chunk", "workers"), [(8, 2), (13, 1), (64, 2)])
def test_chunks_and_threads_change_no_bit(library, whole, tmp_path, settings, chunk, workers):
    again = everything(library, tmp_path, settings, chunk, "inline", workers)
    assert again == whole[settings]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "chunk", "workers"),
    [
        ("default", 8, 2),
        ("default", 13, 1),
        ("default", 64, 2),
        ("default", 1000, 2),
        ("learned", 13, 2),
        ("video", 13, 2),
    ],
)
def test_ray_changes_no_bit(library, whole, tmp_path, settings, chunk, workers):
    assert everything(library, tmp_path, settings, chunk, "ray", workers) == whole[settings]


def test_no_neighbour_is_seen_across_the_cut(library, whole, tmp_path):
    """The frames after the cut alone, as a clip of their own, give the same masks."""
    for kind in ("footage", "masks"):
        (tmp_path / kind / "a").mkdir(parents=True)
        for path in sorted((library / kind / "a").iterdir())[CUT:]:
            (tmp_path / kind / "a" / path.name).write_bytes(path.read_bytes())
    part, _ = everything(tmp_path, tmp_path / "run", "default", 1000, "inline", 1)
    actual, _ = whole["default"]
    for name in ("refine.masks", "smooth.masks", "flow.flow"):
        late = [actual[name][t] for t in range(CUT, FRAMES)]
        assert [part[name][t] for t in range(FRAMES - CUT)] == late


def test_masks_become_stable_and_right(library, whole, tmp_path):
    scores = json.loads(whole["voted"][1]["a/metrics.json"])
    assert scores["output"]["E_cons"] < 0.5 * scores["input"]["E_cons"]
    assert scores["shots"] == [[0, CUT], [CUT, FRAMES]]
    assert scores["classes"] == [3, 7]
    assert np.mean(scores["iou_with_input"]) > 0.6
