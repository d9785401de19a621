"""Our Glance adapter, against the lab's real Glance, keeps Catalog's promises."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
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
from cowpath.core.errors import CredentialsError, NotFoundError
from cowpath.core.model import CopyAnswer, Image, ImageId, Seconds, StoreName
from cowpath.testing.catalog_doors import LARGE, SMALL, CatalogDoors
from cowpath.testing.catalog_suite import CatalogSuite

pytestmark = pytest.mark.lab

_CHUNK = bytes(2**20)
_ADMIN = "admin:admin-project:admin"


class LabDoors(CatalogDoors):
    """Doors by plain HTTP and by the stores' own directories."""

    loses_tasks = True

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

    def change(self, image: ImageId, **facts: str) -> None:
        """Change facts of an image, as its owner does."""
        patch = [
            {"op": "replace", "path": f"/{name}", "value": value}
            for name, value in facts.items()
        ]
        kind = "application/openstack-images-v2.1-json-patch"
        self._ask("PATCH", f"/v2/images/{image}", told=patch, kind=kind)

    def ask_raw(
        self, image: ImageId, stores: Sequence[StoreName], *, all_must_succeed: bool
    ) -> None:
        """Ask for copies as we never do."""
        told = {
            "method": {"name": "copy-image"},
            "stores": stores,
            "all_stores_must_succeed": all_must_succeed,
        }
        self._ask("POST", f"/v2/images/{image}/import", told=told)

    def staged(self, image: ImageId) -> Path:
        """Return where Glance stages the image."""
        return Path(self.lab["glance"]["access_log"]).parent / "staging" / image

    def lying(self, image: ImageId, store: StoreName) -> int:
        """Return how many bytes of the image lie in a store."""
        return _size(self._file(image, store))

    def wait(self, happened: Callable[[], bool], *, every: Seconds = 0.02) -> None:
        """Wait until something shows."""
        for _ in range(3000):
            if happened():
                return
            self.clock.sleep(every)
        pytest.fail(f"it did not happen within {3000 * every:g} seconds")

    def ended(self, image: ImageId) -> Image:
        """Wait until no import of the image runs, and return it."""
        self.wait(lambda: self.catalog.get(image).lock is None, every=0.2)
        return self.catalog.get(image)

    def close(self) -> None:
        """Delete what was made, copies that still run included."""
        for image in self.made:
            with suppress(AssertionError):
                self._ask("DELETE", f"/v2/images/{image}")
            # What no image lists any more, Glance leaves behind.
            for path in (self.staged(image), *self._files(image)):
                path.unlink(missing_ok=True)
        self.made.clear()

    def _file(self, image: ImageId, store: StoreName) -> Path:
        return Path(self.lab["stores"][store], image)

    def _files(self, image: ImageId) -> list[Path]:
        return [self._file(image, StoreName(store)) for store in self.lab["stores"]]

    def _ask(
        self,
        method: str,
        path: str,
        *,
        told: object = None,
        data: list[bytes] | None = None,
        kind: str = "application/json",
    ) -> Any:
        netloc = urlsplit(self.lab["glance"]["url"]).netloc
        kind = "application/octet-stream" if data else kind
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


# Habits that the simulated Glance has too (tests/contracts/test_catalog_simulator_*).


def test_what_the_hash_refuses_stays_whole_and_blocks(doors: LabDoors) -> None:
    image = doors.upload("suite-hash")
    doors.staged(image).write_bytes(b"x" * SMALL)
    doors.catalog.copy(image, [doors.edge, doors.similar])
    refused = doors.ended(image)
    assert refused.failed == {doors.edge, doors.similar}
    assert refused.stores == {doors.default_store}
    assert not refused.importing
    assert doors.lying(image, doors.edge) == doors.lying(image, doors.similar) == SMALL
    assert not doors.staged(image).exists()
    doors.catalog.copy(image, [doors.edge])
    assert doors.ended(image).failed == {doors.edge, doors.similar}
    doors.remove_partial(image, doors.edge)
    doors.catalog.copy(image, [doors.edge])
    after = doors.ended(image)
    assert after.failed == {doors.similar}
    assert doors.edge in after.stores


def test_a_store_named_twice_locks_for_nothing(doors: LabDoors) -> None:
    """Why the adapter names each store once."""
    image = doors.upload("suite-twice")
    doors.ask_raw(image, [doors.edge, doors.edge], all_must_succeed=False)
    doors.wait(lambda: doors.catalog.get(image).importing == {doors.edge})
    doors.clock.sleep(2)
    assert doors.catalog.get(image).lock
    assert doors.catalog.copy(image, [doors.similar]) is CopyAnswer.BUSY


def test_where_all_must_succeed_one_undoes_the_others(doors: LabDoors) -> None:
    """Why the adapter never asks for that."""
    image = doors.upload("suite-all")
    edge2 = StoreName("edge2")
    doors.leave_partial(image, doors.similar)
    stores = [doors.edge, doors.similar, edge2]
    doors.ask_raw(image, stores, all_must_succeed=True)
    after = doors.ended(image)
    assert after.stores == {doors.default_store}
    assert after.failed == {doors.similar}
    assert after.importing == {edge2}
    assert doors.lying(image, doors.edge) == 0
    assert doors.staged(image).stat().st_size == SMALL


def test_deactivated_in_staging_the_flag_sticks(doors: LabDoors) -> None:
    image = doors.upload("suite-staging", size=LARGE)
    doors.catalog.copy(image, [doors.edge])
    doors.wait(lambda: _size(doors.staged(image)) > 0)
    doors.deactivate(image)
    assert _size(doors.staged(image)) < LARGE
    after = doors.ended(image)
    assert (after.status, after.failed) == ("deactivated", frozenset())
    assert after.importing == {doors.edge}
    assert after.stores == {doors.default_store}


def test_deactivated_in_the_store_phase_all_is_undone(doors: LabDoors) -> None:
    image = doors.upload("suite-storing", size=LARGE)
    doors.catalog.copy(image, [doors.similar, doors.edge])
    doors.wait(lambda: doors.lying(image, doors.edge) > 0)
    doors.deactivate(image)
    assert doors.lying(image, doors.edge) < LARGE
    after = doors.ended(image)
    assert after.stores == {doors.default_store}
    assert after.failed == {doors.edge}
    assert not after.importing
    assert doors.lying(image, doors.edge) == LARGE
    assert doors.lying(image, doors.similar) == 0


def test_changes_made_meanwhile_are_lost(doors: LabDoors) -> None:
    image = doors.upload("suite-lost", size=LARGE)
    doors.catalog.copy(image, [doors.edge])
    doors.wait(lambda: doors.lying(image, doors.edge) > 0)
    doors.change(image, name="suite-found", visibility="private")
    between = doors.catalog.get(image)
    assert (between.name, between.visibility) == ("suite-found", "private")
    with pytest.raises(NotFoundError):
        doors.member.get(image)
    assert doors.lying(image, doors.edge) < LARGE
    after = doors.ended(image)
    assert (after.name, after.visibility) == ("suite-lost", "public")


def test_deleted_in_the_store_phase_an_orphan_remains(doors: LabDoors) -> None:
    image = doors.upload("suite-orphan", size=LARGE)
    doors.catalog.copy(image, [doors.edge])
    doors.wait(lambda: doors.lying(image, doors.edge) > 0)
    doors.delete(image)
    doors.made.append(image)
    doors.wait(lambda: doors.lying(image, doors.edge) == LARGE)
    with pytest.raises(NotFoundError):
        doors.catalog.get(image)
    assert doors.lying(image, doors.default_store) == 0


def test_neither_the_202_nor_the_end_of_the_lock_is_a_change(doors: LabDoors) -> None:
    """Hence `idle` is no age of the lock: it is that of the image before its copy."""
    image = doors.upload("suite-idle")
    doors.clock.sleep(3)
    doors.catalog.copy(image, [doors.edge])
    accepted = doors.catalog.get(image)
    assert accepted.importing or (accepted.idle or 0) >= 2
    doors.ended(image)


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


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _transport(lab: dict[str, Any], cloud: str) -> Any:
    return connect(GlanceConfig(cloud), config_files=[lab["clouds_yaml"]])
