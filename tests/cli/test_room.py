import shutil

import pytest

from cli.main import main
from cli.room import needed_bytes
from pipeline.inventory import take_stock
from pipeline.store import Store

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
    given = [str(root / "footage"), "--masks", str(root / "masks"), "--out", str(root / "out")]
    more = ["--executor", "inline", "--workers", "1", "--set", "ingest.cuts=[]"]
    assert main([*given, *more]) == 0
    found = {}
    for entry in take_stock(Store(str(root / "out" / ".store"))).entries:
        found[entry.stage] = found.get(entry.stage, 0) + entry.stored_bytes
    return found


@pytest.mark.slow
def test_a_clip_takes_what_was_said_or_somewhat_less(stored):
    said = needed_bytes(FRAMES, 480, 854)
    assert stored.pop("probe") + stored.pop("classes") < 40_000
    assert said.keys() == stored.keys()
    assert 0.95 < sum(said.values()) / sum(stored.values()) < 1.8
    for stage, took in stored.items():
        assert 0.8 < said[stage] / took < 4, stage


def test_it_grows_with_what_there_is_more_of():
    plain = needed_bytes(100, 480, 854)
    twice = needed_bytes(200, 480, 854)
    assert all(abs(twice[stage] - 2 * plain[stage]) <= 1 for stage in plain)
    classes = needed_bytes(100, 480, 854, classes=3)
    assert {s for s in plain if classes[s] != plain[s]} == {"segment", "refine", "smooth"}
    for more in ({"radius": 4}, {"scale": 0.75}):
        larger = needed_bytes(100, 480, 854, **more)
        assert {s for s in plain if larger[s] > plain[s]} == {"flow", "visibility"}
    coarse = needed_bytes(100, 480, 854, flow_step=32)
    assert {s for s in plain if coarse[s] < plain[s]} == {"flow"}


def test_a_flow_step_that_was_not_measured_is_refused():
    with pytest.raises(ValueError, match="expected one of 64, 32, 16, got 8"):
        needed_bytes(1, 1, 1, flow_step=8)
