"""A layout of label sets of the user's: one file outside the tree, nothing else."""

import sys

import pytest

import steadymask
from pipeline.errors import ConfigError
from stages.media.label_sets.registry import LAYOUTS, layout_type
from steadymask.cli.labels import main
from tests.support.small_library import write_clip

CODE = """
from stages.media.label_sets.set_layouts import Layout

class FlatFolder(Layout):
    name = "flat"
    suffix = ".png"

    def add(self, sample):
        stem = f"{sample.split}_{sample.clip}_{sample.stem}"
        self.put_picture(sample, f"pictures/{stem}")
        self.put_labels(sample, f"labels/{stem}.png")

nothing = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    name = f"my_layout_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def test_a_class_of_a_module_writes_a_set(module, tmp_path, capsys):
    write_clip(tmp_path, "a", 4)
    settings = {"pseudo_labels": {"enabled": True, "support": 0, "sure": 0}}
    steadymask.run("footage", "masks", "out", settings=settings, workers=1)
    assert main(["out", "--to", "set", "--layout", f"{module}:FlatFolder", "--val", "0"]) == 0
    pictures, labels = (
        sorted((tmp_path / "set" / part).iterdir()) for part in ("pictures", "labels")
    )
    assert [path.name for path in pictures] == [path.name for path in labels]
    assert pictures
    assert pictures[0].name.startswith("train_a_")
    assert f'"layout": "{module}:FlatFolder"' in (tmp_path / "set" / "manifest.json").read_text()


def test_what_is_no_layout_is_told(module, monkeypatch):
    monkeypatch.syspath_prepend(".")
    with pytest.raises(ConfigError, match=r"'vox': expected module:object, or one of voc, .*davis"):
        layout_type("vox")
    with pytest.raises(ConfigError, match="expected a class of Layout, got 3"):
        layout_type(f"{module}:nothing")
    assert all(layout_type(name) is kind for name, kind in LAYOUTS.items())
