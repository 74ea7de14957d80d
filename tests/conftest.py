"""What all tests share."""

import logging
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data():
    """Folder of the real footage; tests that need it skip where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"real footage not there: {DATA}")
    return DATA


@pytest.fixture(autouse=True)
def no_logged_errors(caplog):
    """Fail a test that logs an error without saying so."""
    yield
    errors = [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR]
    assert not errors, errors
