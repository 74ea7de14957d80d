"""The plan tells how masks, or what a segmenter gives, are read."""

import numpy as np
import pytest

from steadymask.cli.main import main
from tests.support.small_library import write_clip


def left_half(picture):
    labels = np.zeros(picture.shape[:2], np.uint8)
    labels[:, : picture.shape[1] // 2] = 1
    return labels


@pytest.mark.parametrize(
    ("segmenter", "words"),
    [
        (f"{__name__}:left_half", "segmenter, on a: 1 class: 1"),
        ("tests.support.blank_segmenters:see_nothing", "segmenter, on a: cannot be used: "),
    ],
)
def test_the_plan_tells_once_how_a_segmenter_is_read(tmp_path, capsys, segmenter, words):
    for name in ("a", "b"):
        write_clip(tmp_path, name, 4)
    arguments = [str(tmp_path / "footage"), "--out", str(tmp_path / "out"), "--plan"]
    assert main([*arguments, "--segmenter", segmenter, "--set", "segment.classes=[1]"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert words in output
    assert output.count("segmenter, on") == 1
