"""The command line before any work: help, version, presets, settings, words that are mistyped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stages.catalogue import Engine, step_types
from steadymask.cli.commands import COMMANDS
from steadymask.cli.main import main

ROOT = Path(__file__).resolve().parents[3]
HEAVY = {"numpy", "pydantic", "yaml", "rich", "cv2", "ray", "numba"}


def test_help_names_every_command_and_imports_nothing_slow(tmp_path):
    code = (
        "import sys; from steadymask.cli.main import main\n"
        "try: main(['--help'])\n"
        f"except SystemExit: print('loaded:', sorted({HEAVY!r} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert "loaded: []" in done.stdout, done.stdout + done.stderr
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("steadymask ")


def test_a_mistyped_command_is_told_the_nearest(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["evalute"]) == 2
    assert "Did you mean 'evaluate'?" in capsys.readouterr().err
    (tmp_path / "evalute").mkdir()  # now it is footage
    assert main(["evalute"]) == 2
    assert "--out: expected a folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["fast", "fast.yaml", "configs/fast.yaml"])
def test_a_preset_is_known_by_its_name_in_any_folder(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    assert main(["--print-config", "--config", name]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["flow"]["preset"] == "fast"


def test_an_unknown_preset_is_told_those_that_there_are(capsys):
    assert main(["--print-config", "--config", "fats"]) == 2
    assert "one of the presets cluster, default, fast" in capsys.readouterr().err


def test_settings_are_printed_whole_with_their_meaning_and_can_be_given_back(tmp_path, capsys):
    assert main(["--print-config", "--set", "flow.radius=2"]) == 0
    text = capsys.readouterr().out
    sections = yaml.safe_load(text)
    types = {**step_types(segmenter=False), "engine": Engine}
    assert list(sections) == list(types)
    for name, model in types.items():
        assert set(sections[name]) == set(model.model_fields)
        for field in model.model_fields.values():
            assert field.description in text
    assert sections["pseudo_labels"]["enabled"] is False
    assert sections["pseudo_labels"]["radius"] == 2
    preset = tmp_path / "all.yaml"
    preset.write_text(text)
    assert main(["--print-config", "--config", str(preset)]) == 0
    assert capsys.readouterr().out == text
