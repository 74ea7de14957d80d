import json
import re
import shutil
from types import SimpleNamespace

import pytest

from pipeline.stage import Stage
from pipeline.store.inventory import take_stock
from pipeline.store.store import Store
from stages.arrays import SOURCE_MASKS as ARRAYS_AT_SOURCE
from stages.arrays import arrays_of
from stages.catalogue import build_steps, step_types
from stages.media.results.settings import MODULES
from stages.pseudo_labels.stage import PseudoLabels
from steadymask.cli.main import main
from steadymask.cli.size_estimates import (
    BLOCK,
    MASKS,
    RESULTS,
    SOURCE_MASKS,
    block_bytes,
    clip_bytes,
    label_bytes,
    needed_bytes,
    result_bytes,
    written_bytes,
)
from tests.support.small_library import write_clip

FRAMES = 8


@pytest.fixture(scope="module")
def stored(data, tmp_path_factory):
    """Bytes by stage that the first frames of a clip took, one the estimate was not made from."""
    root = tmp_path_factory.mktemp("room")
    for kind, part in (("footage", "JPEGImages"), ("masks", "Predictions_osvos")):
        target = root / kind / "dance-twirl"
        target.mkdir(parents=True)
        files = sorted((data / "sequences" / "dance-twirl" / part).iterdir())[:FRAMES]
        for path in files:
            shutil.copy(path, target)
    arguments = [str(root / "footage"), "--masks", str(root / "masks"), "--out", str(root / "out")]
    more = ["--executor", "inline", "--workers", "1", "--set", "ingest.cuts=[]"]
    more += ["--set", "pseudo_labels.enabled=true", "--set", "pseudo_labels.soft=true"]
    assert main([*arguments, *more]) == 0
    results = {}
    for entry in take_stock(Store(str(root / "out" / ".store"))).entries:
        results[entry.stage] = results.get(entry.stage, 0) + entry.stored_bytes
    # Voted masks are soft in more places than those that are left as they came: they take the most.
    voted = [*arguments[:-1], str(root / "voted"), *more, "--set", "refine.method=vote"]
    assert main(voted) == 0
    labels = root / "voted" / "dance-twirl" / "pseudo_labels"
    results["labels"] = sum(-(-p.stat().st_size // BLOCK) * BLOCK for p in labels.glob("*/*"))
    return results


@pytest.mark.slow
def test_a_clip_takes_what_was_said_or_somewhat_less(stored):
    predicted = needed_bytes(FRAMES, 480, 854)
    stored = {s: size for s, size in stored.items() if s != "labels"}
    assert stored.pop("probe") + stored.pop("classes") < 40_000
    assert predicted.keys() == stored.keys()
    assert 0.95 < sum(predicted.values()) / sum(stored.values()) < 1.8
    for stage, took in stored.items():
        assert predicted[stage] / took > 0.8, stage
        # how well masks compress differs by a factor of five
        assert predicted[stage] / took < 4 or predicted[stage] - took < 0.2 * sum(
            stored.values()
        ), stage


def labels_said(frames=FRAMES, classes=(1,), **fields):
    step = PseudoLabels(enabled=True, **fields)
    return label_bytes(step, {"frames": frames, "size": [480, 854], "classes": list(classes)})


@pytest.mark.slow
def test_pseudo_labels_take_what_was_said_or_somewhat_less(stored):
    assert 1 < labels_said(soft=True) / stored["labels"] < 1.8


def test_pseudo_labels_grow_with_what_is_written():
    plain = labels_said(100)
    assert labels_said(200) == 2 * plain
    assert labels_said(100, every=3) == plain * 34 // 100
    assert labels_said(100, sample="diversity", count=10) == plain // 10
    assert labels_said(100, sample="diversity", count=1000) == plain
    assert labels_said(100, sample="motion") == plain
    larger = [{"soft": True}, {"quality": 100}, {"pictures": "png"}]
    assert all(labels_said(100, **more) > plain for more in larger)
    assert labels_said(100, quality=75) < plain
    assert labels_said(soft=True, classes=(1, 2)) > labels_said(soft=True)


def test_it_grows_with_what_there_is_more_of():
    plain = needed_bytes(100, 480, 854)
    twice = needed_bytes(200, 480, 854)
    assert all(abs(twice[stage] - 2 * plain[stage]) <= 1 for stage in plain)
    classes = needed_bytes(100, 480, 854, classes=3)
    assert {s for s in plain if classes[s] != plain[s]} == {
        "segment", "trust", "refine", "smooth",
    }  # fmt: skip
    larger_flow = {"flow", "visibility"}
    for more, grows in (({"radius": 4}, set()), ({"scale": 0.75}, {"trust"})):
        larger = needed_bytes(100, 480, 854, **more)
        assert {s for s in plain if larger[s] > plain[s]} == larger_flow | grows
    coarse = needed_bytes(100, 480, 854, steps=32)
    assert {s for s in plain if coarse[s] < plain[s]} == {"flow"}


def test_a_steps_that_was_not_measured_is_refused():
    with pytest.raises(ValueError, match="expected one of 64, 32, 16, got 8"):
        needed_bytes(1, 1, 1, steps=8)


def test_pseudo_labels_larger_than_the_disk_are_refused_before_the_start(tmp_path, monkeypatch):
    write_clip(tmp_path, "a", 4)
    arguments = [
        str(tmp_path / "footage"),
        "--masks",
        str(tmp_path / "masks"),
        "--executor",
        "inline",
    ]
    arguments += ["--out", str(tmp_path / "out"), "--set", "report.enabled=false"]
    wanted = ["--set", "pseudo_labels.enabled=true"]

    def go(free, *more):
        monkeypatch.setattr(
            "pipeline.disk_admission.shutil.disk_usage", lambda _: SimpleNamespace(free=free)
        )
        status = main([*arguments, *more])
        return status, json.loads((tmp_path / "out" / "run.json").read_text())["failures"]

    status, failed = go(30_000, *wanted)
    assert status == 1
    assert "GB of results (pseudo_labels, export), 0.0 GB are free" in failed["a"]
    begun = take_stock(Store(str(tmp_path / "out" / ".store"))).entries
    assert {entry.stage for entry in begun} == {"probe", "classes", "ingest", "segment"}
    assert go(1e9)[0] == 0
    status, failed = go(30_000, *wanted)  # all but the labels is there
    assert (status, "pseudo_labels.every" in failed["a"]) == (1, True)
    assert not (tmp_path / "out" / "a" / "pseudo_labels").exists()
    assert go(1e9, *wanted)[0] == 0
    assert go(30_000, *wanted)[0] == 0  # so are the labels


def test_the_plan_counts_pseudo_labels(tmp_path, capsys):
    write_clip(tmp_path, "a", 4)
    arguments = [
        str(tmp_path / "footage"),
        "--masks",
        str(tmp_path / "masks"),
        "--executor",
        "inline",
    ]
    arguments += ["--out", str(tmp_path / "out"), "--set", "report.enabled=false"]
    assert main(arguments) == 0
    capsys.readouterr()
    assert main([*arguments, "--plan", "--set", "pseudo_labels.enabled=true"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert re.search(r", [\d.]+ kB of results in", output)
    assert main([*arguments, "--plan"]) == 0
    assert "pseudo-labels" not in capsys.readouterr().out


@pytest.mark.parametrize(("source", "classes"), [("source_labels", 1), ("source_soft", 3)])
def test_masks_at_the_source_s_size_are_counted(source, classes):
    facts = {"frames": 10, "size": [480, 854], "source_size": [1080, 1920], "classes": [1, 2, 3]}
    small = clip_bytes((), facts)["segment"]
    large = clip_bytes((), facts | {"source_masks": source})["segment"]
    assert 10 * BLOCK < large - small < 10 * (0.2 * classes * 1080 * 1920 + BLOCK)


def test_results_are_counted_by_format_and_class():
    facts = {"frames": 100, "size": [480, 853], "source_size": [1080, 1920], "classes": [1, 2]}
    one = result_bytes(["prores"], facts)
    assert one > 100 * 1080 * 1920 * 0.7
    assert result_bytes(["prores", "exr"], facts) > one
    assert result_bytes(["matte"], facts) > 2 * result_bytes(["matte"], {**facts, "classes": [1]})
    assert result_bytes([], facts) == 0


def test_the_cover_is_counted_where_redaction_wants_it():
    facts = {"frames": 50, "size": [480, 853], "source_size": [480, 853], "classes": [1]}
    plain, _ = build_steps({}, "test")
    redacting, _ = build_steps({"export": {"formats": ["redacted"]}}, "test")
    assert "cover" not in clip_bytes(plain, facts)
    assert clip_bytes(redacting, facts)["cover"] > 50 * 480 * 853 * 0.014  # the most measured
    assert written_bytes(redacting, facts)["export"] >= result_bytes(["redacted"], facts)


def test_every_stage_that_stores_arrays_is_counted():
    steps, _ = build_steps({"export": {"formats": ["redacted"]}}, "test", key_frames=True)
    facts = {"frames": 50, "size": [480, 854], "source_size": [480, 854], "classes": [1]}
    writing = {step.name for step in steps if isinstance(step, Stage) and step.writes}
    assert set(clip_bytes(steps, facts)) == writing | {"ingest", "segment"}


def test_every_stage_that_stores_soft_masks_has_a_figure():
    def is_soft_mask(array):
        return (array.name, array.dtype, array.shape) == ("masks", "uint8", ("H", "W", "C"))

    stages = {
        name for name in step_types(segmenter=False) if any(map(is_soft_mask, arrays_of(name)))
    }
    assert set(MASKS) == stages


def test_arrays_of_a_stage_are_those_that_it_writes():
    for name, step in step_types(segmenter=False).items():
        assert set(arrays_of(name)) == set(step.writes), name


def test_every_array_with_a_file_a_frame_takes_a_block_more():
    blocks = {name: block_bytes(name) // BLOCK for name in step_types(segmenter=False)}
    stored = {name: count for name, count in blocks.items() if count}
    assert stored == {
        "ingest": 1, "segment": 2, "flow": 1, "carry": 2, "visibility": 1, "trust": 2,
        "refine": 2, "smooth": 2, "cover": 1,
    }  # fmt: skip


def test_every_format_and_every_kind_of_masks_at_the_source_s_size_has_a_figure():
    assert set(RESULTS) == set(MODULES) - {"coverage"}  # a few kilobytes of JSON a clip
    assert set(SOURCE_MASKS) == {"", *ARRAYS_AT_SOURCE}


def test_carried_masks_are_counted_where_there_are_key_frames():
    facts = {"frames": 50, "size": [480, 854], "source_size": [480, 854], "classes": [1]}
    without, _ = build_steps({}, "test")
    carrying, _ = build_steps({}, "test", key_frames=True)
    assert "carry" not in clip_bytes(without, facts)
    two = clip_bytes(carrying, facts | {"classes": [1, 2]})["carry"]
    assert two > 50 * 480 * 854 * 0.44  # measured, see `MASKS`
    assert two > clip_bytes(carrying, facts)["carry"]
