"""A site in a temporary directory, a canned Glance, and the command line."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doors.canned import CannedGlance
from tests.doors.desk import Cowpath, Desk, clean


@pytest.fixture
def glance() -> Iterator[CannedGlance]:
    """Return a Glance that has nothing yet."""
    made = CannedGlance()
    yield made
    made.close()


@pytest.fixture
def desk(tmp_path: Path, glance: CannedGlance, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Return a site, and an environment that knows of no other."""
    for key in os.environ.keys() - clean().keys():
        monkeypatch.delenv(key)
    monkeypatch.setenv("COLUMNS", "200")
    return Desk(tmp_path, glance)


@pytest.fixture
def cowpath(desk: Desk, capsys: pytest.CaptureFixture[str]) -> Cowpath:
    """Return the command line."""
    return Cowpath(desk, capsys)
