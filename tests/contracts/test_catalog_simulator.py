"""The simulated Glance keeps Catalog's promises."""

import pytest

from cowpath.core.model import ImageId, StoreName
from cowpath.testing.catalog_doors import CatalogDoors
from cowpath.testing.catalog_suite import CatalogSuite
from cowpath.testing.clock import FakeClock
from cowpath.testing.glance_simulator import GlanceSimulator
from tests.contracts.simulator_doors import SimulatorDoors


class TestSimulator(CatalogSuite):
    @pytest.fixture
    def glance(self) -> CatalogDoors:
        clock = FakeClock()
        return SimulatorDoors(GlanceSimulator(clock, locate=_locate), clock)


def _locate(image: ImageId, store: StoreName) -> str:
    return f"file:///{store}/{image}"
