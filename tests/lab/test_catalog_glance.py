"""Our Glance adapter, against the lab's real Glance, keeps Catalog's promises."""

import json
import re
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cowpath.catalog.config import GlanceConfig
from cowpath.catalog.glance import GlanceCatalog
from cowpath.catalog.session import connect
from cowpath.clock import SystemClock
from cowpath.core.errors import CredentialsError
from cowpath.core.model import ImageId, StoreName
from cowpath.testing.catalog_doors import SMALL, CatalogDoors
from cowpath.testing.catalog_suite import CatalogSuite

pytestmark = pytest.mark.lab

_CHUNK = bytes(2**20)
_ADMIN = "admin:admin-project:admin"


class LabDoors(CatalogDoors):
    """Doors by plain HTTP and by the stores' own directories."""

    def __init__(self, lab: dict[str, Any]) -> None:
        self.lab = lab
        self.clock = SystemClock()
        self.catalog = GlanceCatalog(_transport(lab, "lab-admin"))
        self.member = GlanceCatalog(_transport(lab, "lab-member"))
        self.made: list[ImageId] = []

    def upload(
        self, name: str, *, size: int = SMALL, visibility: str = "public"
    ) -> ImageId:
        image = self.announce(name, visibility=visibility)
        self._ask("PUT", f"/v2/images/{image}/file", data=[_CHUNK] * (size // SMALL))
        return image

    def announce(self, name: str, *, visibility: str = "public") -> ImageId:
        facts = {
            "name": name,
            "disk_format": "raw",
            "container_format": "bare",
            "visibility": visibility,
        }
        image = ImageId(self._ask("POST", "/v2/images", told=facts)["id"])
        self.made.append(image)
        return image

    def delete(self, image: ImageId) -> None:
        self._ask("DELETE", f"/v2/images/{image}")
        self.made.remove(image)

    def deactivate(self, image: ImageId) -> None:
        self._ask("POST", f"/v2/images/{image}/actions/deactivate")

    def leave_partial(self, image: ImageId, store: StoreName) -> None:
        self._file(image, store).write_bytes(_CHUNK[: SMALL // 2])

    def remove_partial(self, image: ImageId, store: StoreName) -> None:
        self._file(image, store).unlink()

    def requests_about(self, image: ImageId) -> int:
        log = Path(self.lab["glance"]["access_log"]).read_text(encoding="utf-8")
        # Not the doors' own: an upload's line may come late.
        line = rf"^(GET|POST) \S*{image}(/import)? "
        return len(re.findall(line, log, re.MULTILINE))

    def close(self) -> None:
        """Delete what was made, copies that still run included."""
        while self.made:
            with suppress(AssertionError):
                self.delete(self.made[0])
                continue
            self.made.pop(0)

    def _file(self, image: ImageId, store: StoreName) -> Path:
        return Path(self.lab["stores"][store], image)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        told: dict[str, str] | None = None,
        data: list[bytes] | None = None,
    ) -> Any:
        netloc = urlsplit(self.lab["glance"]["url"]).netloc
        kind = "application/octet-stream" if data else "application/json"
        headers = {"X-Auth-Token": _ADMIN, "Content-Type": kind}
        body = data or (json.dumps(told) if told else None)
        with closing(HTTPConnection(netloc, timeout=60)) as connection:
            connection.request(method, path, body, headers, encode_chunked=bool(data))
            reply = connection.getresponse()
            text = reply.read()
        assert reply.status < 300, (method, path, reply.status, text)
        return json.loads(text) if text else None


class TestGlance(CatalogSuite):
    @pytest.fixture
    def glance(self, lab: dict[str, Any]) -> Iterator[CatalogDoors]:
        doors = LabDoors(lab)
        yield doors
        doors.close()


@pytest.fixture
def doors(lab: dict[str, Any]) -> Iterator[LabDoors]:
    doors = LabDoors(lab)
    yield doors
    doors.close()


def test_pages_are_followed(lab: dict[str, Any], doors: LabDoors) -> None:
    mine = {doors.announce(f"suite-page-{number}") for number in range(5)}
    catalog = GlanceCatalog(_transport(lab, "lab-admin"), page=2)
    seen = [image.id for image in catalog.images()]
    assert mine <= {*seen}
    assert len(seen) == len({*seen})


def test_pages_of_one_name_are_followed(lab: dict[str, Any], doors: LabDoors) -> None:
    name = "suite-page a&b"
    mine = [doors.announce(name) for _ in range(3)]
    catalog = GlanceCatalog(_transport(lab, "lab-admin"), page=2)
    with pytest.raises(Exception, match="3 images are named") as caught:
        catalog.find(name)
    assert all(image in str(caught.value) for image in mine)


def test_refused_credentials(lab: dict[str, Any]) -> None:
    config = GlanceConfig(
        auth_type="admin_token",
        auth={"endpoint": lab["glance"]["url"], "token": "expired"},
    )
    catalog = GlanceCatalog(connect(config))
    with pytest.raises(CredentialsError, match="401"):
        catalog.stores()
    with pytest.raises(CredentialsError, match="401"):
        catalog.find("suite-any")


def _transport(lab: dict[str, Any], cloud: str) -> Any:
    return connect(GlanceConfig(cloud), config_files=[lab["clouds_yaml"]])
