"""The lab's own word on what runs where; a lab that is down is a failure."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.lab.bench import Bench

_MANIFEST = Path(__file__).parents[2] / "lab" / "run" / "files" / "lab.json"


@pytest.fixture(scope="session")
def lab() -> dict[str, Any]:
    """Return what `python -m lab up` left in lab.json."""
    path = Path(os.environ.get("COWPATH_LAB", _MANIFEST))
    if not path.is_file():
        pytest.fail(f"the lab is down, there is no {path}: run `python -m lab up`")
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
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
