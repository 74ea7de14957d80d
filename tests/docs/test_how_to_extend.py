"""What docs/how_to_extend.md names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how_to_extend.md").read_text(encoding="utf-8")
TOPS = "stages|steadymask|pipeline|tests|examples|docs|configs"


@pytest.mark.parametrize("path", sorted(set(re.findall(rf"`((?:{TOPS})/[\w/.]*)`", PAGE))))
def test_a_path_on_the_page_exists(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("group", sorted(set(re.findall(r"`(steadymask\.\w+)`", PAGE))))
def test_a_group_of_entry_points_on_the_page_is_one_that_the_code_reads(group):
    registries = [
        path
        for path in (ROOT / "stages").rglob("*.py")
        if f'ENTRY_POINTS = "{group}"' in path.read_text(encoding="utf-8")
    ]
    assert len(registries) == 1
