"""The site is built without a warning, and its page of settings has every field."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from stages.catalogue import Engine, step_types
from steadymask.settings_reference import settings_reference

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_site_is_built_strictly(tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    settings = (tmp_path / "settings.html").read_text(encoding="utf-8")
    assert "flow.radius" in settings
    assert "stabilize" in (tmp_path / "api.html").read_text(encoding="utf-8")


def test_every_setting_is_in_the_reference_with_its_meaning():
    text = settings_reference()
    models = {
        **step_types(segmenter=False),
        "segment": step_types(segmenter=True)["segment"],
        "engine": Engine,
    }
    for section, model in models.items():
        for field, info in model.model_fields.items():
            if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
                continue  # its fields have rows of their own
            assert info.description, f"{section}.{field}: expected a description"
            (row,) = [line for line in text.splitlines() if f"`{section}.{field}`" in line[:60]][:1]
            assert info.description.replace("|", "\\|") in row


def test_defaults_bounds_and_shared_settings_are_told():
    text = settings_reference()
    assert re.search(r"\| `smooth\.eps` \| `0\.0001` \| ≥ 1e-06 \|", text)
    assert "| `smooth.radius` | that of `flow.radius` |" in text
    assert "`dis" in text


def test_every_command_of_the_docs_exists_and_is_in_the_readme_of_benchmarks():
    readme = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "benchmarks").glob("*/*.py")}
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks" / "README.md"]
    named = {
        name
        for page in pages
        for name in re.findall(r"benchmarks/\w+/\w+\.py", page.read_text(encoding="utf-8"))
    }
    assert named - files == set()
    assert {name for name in named if name.removeprefix("benchmarks/") not in readme} == set()
