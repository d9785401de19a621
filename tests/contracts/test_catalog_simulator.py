"""The simulated Glance keeps Catalog's promises."""

import pytest

from cowpath.core.model import ImageId, StoreName
from cowpath.testing.catalog_doors import SMALL, CatalogDoors
from cowpath.testing.catalog_suite import CatalogSuite
from cowpath.testing.clock import FakeClock
from cowpath.testing.glance_simulator import GlanceSimulator


class SimulatorDoors(CatalogDoors):
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.glance = GlanceSimulator(self.clock, locate=_locate)
        self.catalog = self.glance
        self.member = self.glance.member()

    def upload(
        self, name: str, *, size: int = SMALL, visibility: str = "public"
    ) -> ImageId:
        return self.glance.upload(name, size=size, visibility=visibility).id

    def announce(self, name: str) -> ImageId:
        return self.glance.announce(name).id

    def delete(self, image: ImageId) -> None:
        self.glance.delete(image)

    def deactivate(self, image: ImageId) -> None:
        self.glance.deactivate(image)

    def leave_partial(self, image: ImageId, store: StoreName) -> None:
        self.glance.leave_partial(image, store, SMALL // 2)

    def remove_partial(self, image: ImageId, store: StoreName) -> None:
        self.glance.remove_leftover(image, store)

    def requests_about(self, image: ImageId) -> int:
        return sum(request.subject == image for request in self.glance.requests)


class TestSimulator(CatalogSuite):
    @pytest.fixture
    def glance(self) -> CatalogDoors:
        return SimulatorDoors()


def _locate(image: ImageId, store: StoreName) -> str:
    return f"file:///{store}/{image}"
