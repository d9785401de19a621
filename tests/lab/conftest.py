"""The lab's own word on what runs where; a lab that is down is a failure."""

from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.lab.bench import Bench
from tests.lab.glance_door import door, served, slow
from tests.lab.services import manifest

__all__ = ["bench", "door", "lab", "served", "slow"]
"""Fixtures; those of the door are for Ceph, too."""


@pytest.fixture(scope="session")
def lab() -> dict[str, Any]:
    """Return what `python -m lab up` left in lab.json."""
    told = manifest("files", "COWPATH_LAB")
    url = told["glance"]["url"]
    try:
        with closing(HTTPConnection(urlsplit(url).netloc, timeout=10)) as connection:
            connection.request("GET", "/")
            connection.getresponse().read()
    except OSError as error:
        pytest.fail(f"the lab's Glance at {url} is down: {error}: `python -m lab up`")
    return told


@pytest.fixture(scope="module")
def bench(lab: dict[str, Any]) -> Iterator[Bench]:
    """Return hands for the lab; what they make is gone when the module ends."""
    made = Bench(lab)
    yield made
    made.clear()
