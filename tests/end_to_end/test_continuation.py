"""A store and an OUT that version 0.1 made are continued: only what the change log names is redone.

`tests/data/run_of_version_0_1.tar.gz` was made by commit 00582e9 from footage/ and masks/ in it:
``python run_pipeline.py footage --masks masks --out out --executor inline``.
"""

import re
import tarfile
from pathlib import Path

import pytest

import steadymask
from stages.catalogue import step_types

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = ROOT / "tests" / "data" / "run_of_version_0_1.tar.gz"
UNCHANGED = {"flow", "visibility"}  # the dearest stages by far, whatever else changes


def recomputed_by_changelog():
    """Return the stages that "Recomputes" names in the versions after 0.1.0."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("## [0.1.0]")[0]
    sections = re.findall(r"### Recomputes\n(.*?)(?=\n##|\Z)", text, re.DOTALL)
    return set(re.findall(r"`(\w+)`", "\n".join(sections)))


@pytest.fixture
def old_run(tmp_path):
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def run(folder):
    record = steadymask.run(
        folder / "footage", folder / "masks", folder / "out", workers=1, executor="inline"
    )
    assert record.failures == {}
    stages = record.clips["a"].stages
    return {name for name, stage in stages.items() if stage.computed}, set(stages)


def test_only_what_the_change_log_names_is_computed_again(old_run):
    named = recomputed_by_changelog()
    assert not named & UNCHANGED
    assert named <= {*step_types(segmenter=False), "probe", "classes"}
    before = set(steadymask.RunRecord.load(old_run / "out").clips["a"].stages)
    assert before >= UNCHANGED
    computed, every = run(old_run)
    assert computed & before <= named  # stages that are new since are computed once
    assert every >= UNCHANGED | {"refine", "smooth", "export", "scores", "report"}
    assert run(old_run)[0] == set()
