"""A clip that came out worse than it went in is announced, and can stop automation."""

import json

import pytest

from stages.catalogue import ROOT
from steadymask.cli.pages import write_pages
from steadymask.cli.run import main
from tests.support.small_library import write_clip


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A good clip, and one that a segmenter of the wrong kind of pictures leaves empty."""
    root = tmp_path_factory.mktemp("library")
    write_clip(root, "good", 6)
    return root


def run(root, out, *more):
    return main(
        [
            *(str(root / "footage"), "--out", str(out), "--executor", "inline", "--workers", "1"),
            *("--set", "export.formats=[]", *more),
        ]
    )


BLIND = (
    *("--segmenter", "tests.support.blank_segmenters:see_nothing", "--set", "segment.classes=[7]"),
    *("--set", f"segment.modules={ROOT}", "--set", "segment.check=false"),
)


def test_a_worse_clip_is_in_the_table_in_metrics_and_in_the_report(library, tmp_path, capsys):
    assert run(library, tmp_path, *BLIND) == 0
    output = capsys.readouterr().out
    assert "warning: good: the masks in have no foreground in any of the 6 frames. Likely" in output
    assert "segment.mean, segment.std" in output
    (warning,) = json.loads((tmp_path / "metrics.json").read_text())["clips"]["good"]["warnings"]
    assert (warning["kind"], warning["frames"]) == ("empty", [[0, 6]])
    page = write_pages(tmp_path).read_text(encoding="utf-8")
    assert "no foreground in any of the 6 frames" in page


def test_fail_on_warning_ends_with_five_where_a_clip_is_worse(library, tmp_path):
    assert run(library, tmp_path, *BLIND, "--fail-on-warning") == 5


def test_fail_on_warning_ends_with_zero_where_none_is_worse(library, tmp_path):
    masks = ("--masks", str(library / "masks"))
    assert run(library, tmp_path, *masks, "--fail-on-warning") == 0


def test_a_failure_goes_before_a_warning(library, tmp_path):
    write_clip(tmp_path, "good", 6)
    (tmp_path / "footage" / "broken.mp4").write_bytes(b"no video")
    assert run(tmp_path, tmp_path / "out", *BLIND, "--fail-on-warning") == 1
