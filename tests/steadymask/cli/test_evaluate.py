import csv
import json
import shutil

import pytest

from steadymask.cli.main import main
from tests.support.scored_clips import FRAMES, write_clips


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Frames, true masks, masks that flicker."""
    return write_clips(tmp_path_factory.mktemp("set"))


def test_systems_are_compared_in_a_table_and_in_files(folders, tmp_path, capsys):
    files = ["--json", str(tmp_path / "s.json"), "--csv", str(tmp_path / "s.csv"), "--per-clip"]
    frames, truth, torn = folders
    arguments = ["--pred", f"raw={torn}", "--pred", f"good={truth}", "--gt", str(truth)]
    assert main(["evaluate", str(frames), *arguments, *files]) == 0
    printed = capsys.readouterr().out
    assert "judged with dis at 1 of the size" in printed
    assert "1.000 ★" in printed
    content = json.loads((tmp_path / "s.json").read_text())
    assert content["mean"]["good"]["J"][0] == 1
    assert content["clips_in_mean"] == ["a", "b"]
    assert len(content["clips"]["a"]["flicker"]["raw"]) == FRAMES - 1
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    values = {(row["clip"], row["system"], row["measure"]): row["value"] for row in rows}
    assert float(values["b", "good", "excess"]) == 0
    assert float(values["b", "raw", "E_cons"]) > float(values["b", "truth", "E_cons"])


def test_a_gate_fails_with_the_clips_named(folders, capsys):
    frames, truth, torn = folders
    arguments = [str(frames), "--pred", f"raw={torn}", "--gt", str(truth), "--radius", "1"]
    assert main(["evaluate", *arguments, "--fail-if", "J<0.9", "--fail-if", "E_cons>1000"]) == 1
    printed = capsys.readouterr().out
    assert "failed: a: raw: J = 0." in printed
    assert "E_cons =" not in printed
    assert main(["evaluate", *arguments, "--fail-if", "J<0.1"]) == 0


def test_a_clip_that_one_system_lacks_is_listed_and_left_out(folders, tmp_path, capsys):
    frames, truth, torn = folders
    shutil.copytree(torn / "a", tmp_path / "half" / "a")
    shutil.copytree(torn / "a", tmp_path / "half" / "x")
    arguments = ["--pred", f"all={torn}", "--pred", f"half={tmp_path / 'half'}", "--gt", str(truth)]
    assert main(["evaluate", str(frames), *arguments, "--radius", "1"]) == 1
    printed = capsys.readouterr().out
    assert "mean over 1 clip" in printed
    assert "not every system has them: b" in printed
    assert "not scored: b: half: no masks" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--pred: expected at least one"),
        (["--pred", "x"], "--pred 'x': expected NAME=DIR"),
        (["--pred", "truth=x"], "the name 'truth' is taken"),
        (["--pred", "x=none"], "none: expected a folder"),
        (["--pred", "x={torn}", "--flow-scale", "2"], "--flow-scale 2.0: expected"),
        (["--pred", "x={torn}", "--radius", "0"], "--radius 0: expected"),
    ],
)
def test_what_cannot_start_says_why(folders, capsys, arguments, message):
    frames, _, torn = folders
    assert main(["evaluate", str(frames), *(text.format(torn=torn) for text in arguments)]) == 2
    assert message in capsys.readouterr().err


def test_masks_of_other_clips_are_refused(folders, tmp_path, capsys):
    shutil.copytree(folders[2] / "a", tmp_path / "m" / "c")
    shutil.copytree(folders[2] / "a", tmp_path / "m" / "d")
    assert main(["evaluate", str(folders[0]), "--pred", f"x={tmp_path / 'm'}"]) == 2
    assert "expected masks of the clips a, b, found those of c, d" in capsys.readouterr().err


def test_masks_judged_by_the_flow_that_made_them_are_pointed_out(folders, tmp_path, capsys):
    frames, _, torn = folders
    shutil.copytree(torn, tmp_path / "out")
    (tmp_path / "out" / "run.json").write_text('{"settings": {"flow": {"method": "dis"}}}')
    arguments = [str(frames), "--pred", f"x={tmp_path / 'out'}", "--radius", "1"]
    main(["evaluate", *arguments, "--flow", "dis"])
    assert "some masks were made with dis" in capsys.readouterr().out
    main(["evaluate", *arguments])
    printed = capsys.readouterr().out
    assert "judged with deepflow at 0.5 of the size" in printed
    assert "some masks" not in printed


def test_tables_and_files_say_flow_size_and_protocol(folders, tmp_path, capsys):
    frames, truth, torn = folders
    asked = [str(frames), "--pred", f"x={torn}", "--gt", str(truth), "--radius", "1"]
    wanted = tmp_path / "s.json"
    assert main(["evaluate", *asked, "--protocol", "davis2017", "--json", str(wanted)]) == 0
    printed = capsys.readouterr().out
    assert "judged with dis at 1 of the size, up to 1 frames apart, masks at 96 x 64" in printed
    assert "protocol davis2017: DAVIS 2017: first and last frame left out" in printed
    content = json.loads(wanted.read_text())
    assert content["protocol"] == "davis2017"
    assert content["clips"]["a"]["size"] == [64, 96]


def test_the_layout_of_vspw_is_scored_as_its_programs_do(folders, tmp_path, capsys):
    frames, truth, torn = folders
    root = tmp_path / "vspw" / "data"
    for clip in ("a", "b"):
        shutil.copytree(frames / clip, root / clip / "origin")
        shutil.copytree(truth / clip, root / clip / "mask")
    wanted = tmp_path / "s.json"
    asked = [str(root.parent), "--pred", f"x={torn}", "--gt", str(root.parent), "--radius", "1"]
    assert main(["evaluate", *asked, "--json", str(wanted)]) == 0
    assert "protocol vspw" in capsys.readouterr().out
    content = json.loads(wanted.read_text())
    assert {"mIoU_vspw", "fwIoU_vspw", "VC8_vspw", "TC_vspw", "VC8", "TC"} <= set(
        content["mean"]["x"]
    )
    assert content["mean"]["x"]["mIoU_vspw"][0] == pytest.approx(
        content["clips"]["a"]["values"]["x"]["mIoU_vspw"]
    )  # both clips are alike


def test_a_network_judges_where_its_weights_are_named(folders, tmp_path, capsys):
    frames, _, torn = folders
    for kind, folder in (("frames", frames), ("torn", torn)):
        for path in sorted((folder / "a").iterdir())[:2]:
            (tmp_path / kind / "a").mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / kind / "a")
    asked = [str(tmp_path / "frames"), "--pred", f"x={tmp_path / 'torn'}", "--radius", "1"]
    assert main(["evaluate", *asked, "--flow", "raft_small"]) == 2
    assert "--flow raft_small: expected --flow-weights" in capsys.readouterr().err
    assert main(["evaluate", *asked, "--flow-weights", "things"]) == 2
    assert "dis has none" in capsys.readouterr().err
    chosen = ["--flow", "raft_small", "--flow-weights", "random"]
    assert main(["evaluate", *asked, *chosen]) == 0
    assert "judged with raft_small at 1 of the size" in capsys.readouterr().out


def test_a_protocol_needs_the_truth(folders, capsys):
    frames, _, torn = folders
    assert main(["evaluate", str(frames), "--pred", f"x={torn}", "--protocol", "davis2016"]) == 2
    assert "--protocol davis2016: expected --gt" in capsys.readouterr().err
