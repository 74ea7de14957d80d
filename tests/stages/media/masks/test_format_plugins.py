"""A mask format of the user's: one file outside the tree, nothing else."""

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline import plugins
from pipeline.errors import ConfigError
from pipeline.store.keys import record_of
from stages.import_masks import ImportMasks, MaskClasses
from stages.media.masks.pairing import find_masks, unused_masks
from stages.media.masks.palette import read_labels
from stages.media.masks.registry import ENTRY_POINTS, mask_readers, readers_with

ROOT = Path(__file__).resolve().parents[4]
CODE = """
from stages.media.masks.contract import (
    BY_NAME, NOT_MINE, AnnotatedFrame, AnnotationReader, AnnotationSet, Shape,
)

GROWTH = 0

class Boxes(AnnotationReader):
    name, format = "boxes", "one box a frame, .boxes"
    recognised_by, ambiguity = "the ending .boxes", "none"
    suffixes = frozenset({".boxes"})

    def recognise(self, path):
        return BY_NAME if path.suffix == ".boxes" else NOT_MINE

    def parse(self, path):
        frames = []
        for line in path.read_text().splitlines():
            name, x, y, w, h = line.split()
            x, y, w, h = float(x), float(y), float(w) + GROWTH, float(h)
            box = [[x, y, x + w, y, x + w, y + h, x, y + h]]
            frames.append(AnnotatedFrame(name, shapes=(Shape("box", box),)))
        return AnnotationSet({"": tuple(frames)})
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return the name of a module in the working folder, new for each test."""
    name = f"my_masks_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def write_library(folder):
    """Write two clips of three frames, each with a box 20 columns wide in a file of its own."""
    rng = np.random.default_rng(0)
    (folder / "masks").mkdir()
    for clip in ("a", "b"):
        (folder / "footage" / clip).mkdir(parents=True)
        for t in range(3):
            picture = rng.integers(0, 40, (48, 64, 3), np.uint8)
            picture[8:32, 10:30] += 150
            cv2.imwrite(str(folder / "footage" / clip / f"{t:05d}.png"), picture)
        lines = [f"{t:05d}.png 10 8 20 24\n" for t in range(3)]
        (folder / "masks" / f"{clip}.boxes").write_text("".join(lines))


def box_widths(folder, module):
    """Run the command in `folder`; return the width of the box in all masks out."""
    command = (
        *(sys.executable, "-m", "steadymask"),
        *("footage", "--masks", "masks", "--out", "out", "--executor", "inline"),
        *("--set", f"segment.format={module}:Boxes", "--set", "report.enabled=false"),
    )
    ours = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=ours, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((folder / "out" / "run.json").read_text())["failures"] == {}
    files = sorted((folder / "out").glob("?/masks/*.png"))
    assert len(files) == 6
    return {int(read_labels(file).any(axis=0).sum()) for file in files}


def test_the_command_reads_it_from_the_working_folder_and_anew_when_its_code_changes(
    module, tmp_path
):
    write_library(tmp_path)
    assert box_widths(tmp_path, module) == {20}
    (tmp_path / f"{module}.py").write_text(CODE.replace("GROWTH = 0", "GROWTH = 10"))
    assert box_widths(tmp_path, module) == {30}


@pytest.mark.parametrize("step_type", [MaskClasses, ImportMasks])
def test_other_code_has_another_key_and_other_formats_the_key_of_before(module, step_type):
    def settings(**fields):
        return record_of(step_type(**fields).resolve(), (0, 1), {})["settings"]

    assert not {"modules", "code_digest"} & settings(format="coco").keys()
    first = settings(format=f"{module}:Boxes")
    assert first["code_digest"] != ""
    with open(f"{module}.py", "a") as file:  # noqa: PTH123 - in the working folder
        file.write("\n")
    assert settings(format=f"{module}:Boxes") != first


def test_a_folder_of_modules_is_where_it_is_imported_from(module, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    step = MaskClasses(format=f"{module}:Boxes", modules=str(tmp_path)).resolve()
    assert step.modules == str(tmp_path)
    assert readers_with(step.format, step.modules)[0].name == "boxes"


def test_masks_of_its_ending_are_found_by_name_and_named_when_nobody_uses_them(module, tmp_path):
    write_library(tmp_path)
    readers = readers_with(f"{module}:Boxes")
    assert readers[1:] == mask_readers()
    masks = tmp_path / "masks"
    assert find_masks(masks, "a", readers=readers) == masks / "a.boxes"
    assert find_masks(masks, "a") is None
    assert unused_masks(masks, [masks / "a.boxes"], readers) == ["b.boxes"]


def test_an_entry_point_is_a_format_and_its_code_is_in_the_key(module, tmp_path, monkeypatch):
    point = EntryPoint("boxes", f"{module}:Boxes", ENTRY_POINTS)
    monkeypatch.setattr(
        plugins, "entry_points", lambda group: [point] if group == ENTRY_POINTS else []
    )
    sys.path.append(str(tmp_path))
    caches = plugins.plugin_points.cache_clear, mask_readers.cache_clear
    [clear() for clear in caches]
    try:
        assert mask_readers()[-1].name == "boxes"
        first = MaskClasses().resolve().code_digest
        with open(f"{module}.py", "a") as file:  # noqa: PTH123 - in the working folder
            file.write("\n")
        assert MaskClasses().resolve().code_digest not in ("", first)
    finally:
        monkeypatch.undo()
        [clear() for clear in caches]
    assert MaskClasses().resolve().code_digest == ""


def test_a_module_that_fails_is_an_error_of_the_setting(module):
    with open(f"{module}.py", "a") as file:  # noqa: PTH123 - in the working folder
        file.write("raise RuntimeError('not today')\n")
    message = r"segment\.format = .*: expected an object of a module .*RuntimeError: not today"
    with pytest.raises(ConfigError, match=message):
        readers_with(f"{module}:Boxes")
