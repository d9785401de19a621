"""The README's library example does what the README says, on the lab."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4
from xml.etree.ElementTree import fromstring

import pytest

pytestmark = pytest.mark.lab

_README = Path(__file__).parents[2] / "README.md"
_ADMIN = "admin:admin-project:admin"
_SITE = "edge1"


@pytest.fixture
def image(lab: dict[str, Any]) -> Iterator[str]:
    """Give an image that the site does not have."""
    facts = {
        "name": f"readme-{uuid4().hex[:8]}",
        "disk_format": "raw",
        "container_format": "bare",
    }
    made = json.loads(_ask(lab, "POST", "/v2/images", json.dumps(facts).encode()))
    data = Path(lab["guest"]["raw"]).read_bytes()
    _ask(lab, "PUT", f"/v2/images/{made['id']}/file", data)
    yield made["id"]
    _ask(lab, "DELETE", f"/v2/images/{made['id']}")


@pytest.fixture
def disk(lab: dict[str, Any]) -> Iterator[str]:
    """Give the name of a disk, which is deleted afterwards."""
    name = f"readme-{uuid4().hex[:8]}"
    yield name
    delete = f"open_site([{lab['sites'][_SITE]!r}]).delete_disk({name!r})"
    _run(lab, f"from cowpath import open_site\n{delete}")


def test_the_library_example(lab: dict[str, Any], image: str, disk: str) -> None:
    example = _example()
    for shown, meant in (
        ("/etc/cowpath/cowpath.conf", lab["sites"][_SITE]),
        ('"debian-13"', repr(image)),
        ('"vm1"', repr(disk)),
    ):
        assert shown in example
        example = example.replace(shown, meant)
    said = _run(lab, example)
    first, second, described = said.split("\n", 2)
    size = lab["guest"]["size_bytes"]
    base = f"{lab['disks'][_SITE]}/bases/{image}"
    assert first == f"{size} bytes at {base}"
    assert re.fullmatch(rf"{disk} costs \d+ bytes", second)
    element = fromstring(described)  # noqa: S314 - our own XML
    backing = element.find("backingStore/source")
    assert backing is not None
    assert backing.get("file") == base
    assert Path(base).stat().st_nlink == 2


def _example() -> str:
    blocks = re.findall(
        r"^```python\n(.*?)^```$",
        _README.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    assert len(blocks) == 1
    return str(blocks[0])


def _run(lab: dict[str, Any], program: str) -> str:
    given = {"OS_CLIENT_CONFIG_FILE": lab["clouds_yaml"], "OS_CLOUD": "lab-admin"}
    ran = subprocess.run(
        [sys.executable, "-"],
        input=program,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _ask(
    lab: dict[str, Any], method: str, path: str, body: bytes | None = None
) -> bytes:
    connection = HTTPConnection(urlsplit(lab["glance"]["url"]).netloc, timeout=60)
    kind = "octet-stream" if method == "PUT" else "json"
    headers = {"X-Auth-Token": _ADMIN, "Content-Type": f"application/{kind}"}
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    text = reply.read()
    connection.close()
    assert reply.status < 300, (method, path, reply.status, text)
    return text
