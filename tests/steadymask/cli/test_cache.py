import json
import os
import shutil
import time
from pathlib import Path

import pytest

from pipeline.store.inventory import size_of, take_stock
from pipeline.store.retention import in_use
from pipeline.store.store import Store
from steadymask.cli.main import main
from tests.support.small_library import write_clip
from tests.support.stored_artifacts import (
    KINDS,
    damage,
    last_used,
    places,
    put,
    store_of,
    stored_keys,
)

DAY = 86400.0


def cache(command, store, *more):
    where = store.url if isinstance(store, Store) else str(store)
    return main(["cache", command, where, *map(str, more)])


@pytest.fixture(params=KINDS)
def store(request, tmp_path):
    return store_of(request.param, tmp_path)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Footage, masks, and the results of a run."""
    root = tmp_path_factory.mktemp("library")
    write_clip(root, "a", 6)
    assert run(root) == 0
    return root


def run(root):
    arguments = [str(root / "footage"), "--masks", str(root / "masks"), "--out", str(root / "out")]
    return main([*arguments, "--executor", "inline", "--workers", "1"])


def computed(root):
    record = json.loads((root / "out" / "run.json").read_text())
    return {stage for stage, spent in record["clips"]["a"]["stages"].items() if spent["computed"]}


def test_it_tells_what_each_stage_and_clip_take(store, capsys):
    now = time.time()
    flows = [put(store, k, "flow", clip, seconds=2.0, finished=now) for k, clip in enumerate("ab")]
    put(store, "s", "smooth", "b", finished=now)
    assert cache("ls", store, "--json", "--clips") == 0
    content = json.loads(capsys.readouterr().out)
    assert list(content["stages"]) == ["flow", "smooth"]
    flow = content["stages"]["flow"]
    assert (flow["artifacts"], flow["seconds"]) == (2, 4.0)
    assert flow["bytes"] == sum(size_of(store, key) for key in flows)
    assert flow["used"] == pytest.approx(now, abs=20)
    assert {name: row["artifacts"] for name, row in content["clips"].items()} == {"a": 1, "b": 2}
    assert content["bytes"] == take_stock(store).stored_bytes
    assert cache("ls", store) == 0
    printed = capsys.readouterr().out
    assert "smooth" in printed
    assert "0 min ago" in printed
    assert "clip" not in printed


def test_who_uses_it_and_what_is_left_over_is_told(tmp_path, capsys):
    store = store_of("folder", tmp_path)
    put(store, "one")
    Path(store.root, "drafts", "removed-1").mkdir(parents=True)
    with in_use(store, "there"):
        assert cache("ls", store) == 0
    printed = capsys.readouterr().out
    assert f"in use by there (pid {os.getpid()} on " in printed
    assert "1 leftovers of dead writers" in printed


def test_names_of_strangers_are_printed_as_they_are(tmp_path, capsys):
    store = store_of("folder", tmp_path)
    put(store, "one", clip="[red]a[/red] :smile:")
    assert cache("ls", store, "--clips") == 0
    assert "[red]a[/red] :smile:" in capsys.readouterr().out


def test_a_sound_store_is_said_to_be_so(store, capsys):
    put(store, "one")
    assert cache("verify", store) == 0
    assert "1 artifacts checked, 0 damaged" in capsys.readouterr().out


def test_what_is_damaged_is_named_and_removed_but_not_in_a_dry_run(store, capsys):
    good, bad = put(store, "good"), put(store, "bad", "smooth", "b")
    damage(store, bad, "flipped")
    assert cache("verify", store, "--dry-run") == 1
    assert stored_keys(store) == {good, bad}
    assert cache("verify", store) == 1
    assert places(store) == {good}
    printed = capsys.readouterr().out
    assert printed.count("damaged: smooth of b: ") == 2
    assert printed.count(f"{store.artifact_folder(bad)}/x: frame 13 is damaged") == 2
    assert printed.count("the next run that needs them computes them again") == 1
    assert cache("verify", store) == 0


def test_the_next_run_computes_what_was_damaged_again_and_nothing_else(library, tmp_path, capsys):
    root = tmp_path / "copy"
    shutil.copytree(library, root)
    store = Store(str(root / "out" / ".store"))
    wanted = sorted((root / "out" / "a" / "masks").iterdir())[3].read_bytes()
    (key,) = (entry.key for entry in take_stock(store).entries if entry.stage == "refine")
    frame = Path(store.artifact_folder(key), "masks", "c.3.0.0.0")
    frame.write_bytes(frame.read_bytes()[:-1] + b"?")
    assert cache("verify", root / "out") == 1
    shutil.rmtree(root / "out" / "a" / "masks")
    assert run(root) == 0
    assert "refine" in computed(root)
    assert not {"flow", "smooth", "measure"} & computed(root)
    assert sorted((root / "out" / "a" / "masks").iterdir())[3].read_bytes() == wanted
    assert cache("verify", root / "out") == 0


def test_what_was_pruned_is_made_again_just_as_it_was(library, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(library, root)
    store = Store(str(root / "out" / ".store"))
    before = {entry.key for entry in take_stock(store).entries}
    masks = [path.read_bytes() for path in sorted((root / "out" / "a" / "masks").iterdir())]
    assert cache("prune", root / "out", "--max-size", "0") == 0
    assert stored_keys(store) == set()
    shutil.rmtree(root / "out" / "a")
    assert run(root) == 0
    assert stored_keys(store) == before
    assert masks == [p.read_bytes() for p in sorted((root / "out" / "a" / "masks").iterdir())]


def test_old_leftovers_are_reported_and_removed_but_not_young_ones(tmp_path, capsys):
    store = store_of("folder", tmp_path)
    put(store, "one")
    now = time.time()
    for name, age in (("old", 1.1 * DAY), ("young", 0.9 * DAY)):
        Path(store.root, "drafts", name).mkdir(parents=True)
        os.utime(Path(store.root, "drafts", name), (now - age, now - age))
    assert cache("verify", store, "--dry-run") == 0
    assert f"leftover found: {store.root}/drafts/old" in capsys.readouterr().out
    assert cache("verify", store) == 0
    assert f"leftover removed: {store.root}/drafts/old" in capsys.readouterr().out
    assert [path.name for path in Path(store.root, "drafts").iterdir()] == ["young"]


def test_what_a_killed_remover_left_in_an_object_store_no_longer_counts(tmp_path, capsys):
    store = store_of("bucket", tmp_path)
    key, other = put(store, "one"), put(store, "two")
    assert stored_keys(store) == {key, other}
    store.fs.rm_file(f"{store.artifact_folder(key)}/manifest.json")
    assert cache("verify", store) == 0
    assert stored_keys(store) == {other}


def test_pruning_to_a_size_says_what_went(store, capsys):
    dear = put(store, "dear", "smooth", seconds=900)
    cheap = put(store, "cheap", "flow", seconds=1)
    size = size_of(store, dear)
    assert cache("prune", store, "--max-size", f"{size}B", "--dry-run") == 0
    assert stored_keys(store) == {dear, cheap}
    assert cache("prune", store, "--max-size", f"{size}B") == 0
    assert stored_keys(store) == {dear}
    printed = capsys.readouterr().out
    assert "flow: 1 artifacts would be removed" in printed
    assert "1 artifacts removed" in printed


def test_pruning_by_age_keeps_what_was_used_since(tmp_path):
    store, now = store_of("folder", tmp_path), time.time()
    old, new = put(store, "old", seconds=900), put(store, "new", seconds=0)
    last_used(store, old, now - 31 * DAY)
    last_used(store, new, now - 29 * DAY)
    assert cache("prune", store, "--keep-last", "30") == 0
    assert stored_keys(store) == {new}


def test_what_is_in_use_stays_and_the_status_says_that_it_is_too_much(store, capsys):
    with in_use(store, "there"):
        key = put(store, "one")
        assert cache("prune", store, "--max-size", "1B") == 1
        assert stored_keys(store) == {key}
    assert "in use by there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune", "STORE"], "expected --max-size or --keep-last"),
        (["prune", "STORE", "--max-size", "lots"], "--max-size: expected a size like"),
        (["prune", "STORE", "--keep-last", "long"], "--keep-last: expected an age like"),
        (["ls", "NOWHERE"], "NOWHERE: expected a store (with objects/) or the --out of a run"),
        (["ls", "memory://nobody/here"], "memory://nobody/here: expected a store"),
        (["ls", "nonsense://x"], "nonsense://x: Protocol not known"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path, capsys, arguments, message):
    store = store_of("folder", tmp_path)
    put(store, "one")
    options = [store.url if word == "STORE" else word for word in arguments]
    assert main(["cache", *options]) == 2
    assert message in capsys.readouterr().err
    assert len(stored_keys(store)) == 1
