"""A result format of the user's: one file outside the tree, nothing else."""

import sys

import cv2
import numpy as np
import pytest

import steadymask
from pipeline.errors import ConfigError
from pipeline.store.keys import record_of
from stages.export import Export

CODE = """
import numpy as np
from stages.media.results.frame_folder import FrameFolder

class TextFolder(FrameFolder):
    format = "text"
    template = "text/{index:03d}.txt"

    def write_frame(self, folder, frame):
        np.savetxt(self.path(folder, frame.index), frame.labels, fmt="%d")

    def read_size(self, path):
        return np.loadtxt(path).shape

nothing = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    name = f"my_result_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for folder in ("footage", "masks"):
        (tmp_path / folder / "a").mkdir(parents=True)
    for t in range(3):
        cv2.imwrite(str(tmp_path / f"footage/a/{t}.png"), np.full((16, 24, 3), 90, np.uint8))
        np.save(tmp_path / f"masks/a/{t}.npy", np.full((16, 24), 7, np.uint16))
    return name


def run(formats):
    settings = {"export": {"formats": formats}, "report": {"enabled": False}}
    return steadymask.run("footage", "masks", "out", settings=settings, workers=1)


def test_a_class_of_a_module_writes_results(module, tmp_path):
    assert run(["png", f"{module}:TextFolder"]).failures == {}
    assert (np.loadtxt(tmp_path / "out" / "a" / "text" / "002.txt") == 7).all()
    assert (tmp_path / "out" / "a" / "masks").is_dir()


def test_what_is_no_format_is_told(module):
    with pytest.raises(ConfigError, match=r"there are png, ffv1, .* and module:Class"):
        run(["text"])
    with pytest.raises(ConfigError, match="expected a class of Result, got 3"):
        run([f"{module}:nothing"])


def test_its_code_is_in_the_key_and_without_one_the_key_is_as_before(module):
    def settings(*formats):
        return record_of(Export(formats=formats).resolve(), (0, -1), {})["settings"]

    assert not {"code_digests", "modules"} & set(settings("png"))
    assert set(settings(f"{module}:TextFolder")["code_digests"]) == {f"{module}:TextFolder"}
