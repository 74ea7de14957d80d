"""A browser, and the results of a run of the command to look at with it."""

import pytest

from steadymask.cli.run import main
from tests.support import browser as chromium
from tests.support.odd_names import HOSTILE, QUOTES, SCRIPT
from tests.support.small_library import write_clip

SIZE = (120, 160)
FRAMES = 24


@pytest.fixture(scope="module")
def driver():
    driver = chromium.start()
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Results of a run of the command: five clips, one of which fails."""
    root = tmp_path_factory.mktemp("library")
    write_clip(root, "calm", FRAMES, size=SIZE, cut=14)
    for k, name in enumerate((HOSTILE, QUOTES, SCRIPT)):
        write_clip(root, name, 6 + k)
    write_clip(root, "<b>lost", 5)
    for path in (root / "masks" / "<b>lost").iterdir():
        path.write_bytes(b"no picture")
    status = main(
        [
            *(str(root / "footage"), "--masks", str(root / "masks"), "--out", str(root / "out")),
            *("--executor", "inline", "--workers", "1", "--set", "ingest.cuts=[]"),
        ]
    )
    assert status == 1
    return root / "out"
