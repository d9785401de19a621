"""The RBD store keeps every promise of a store, on a real cluster."""

import pytest

from cowpath.testing.store_suite import StoreSuite
from tests.lab.ceph.rbd_doors import RbdDoors

pytestmark = pytest.mark.ceph


class TestRbdStore(StoreSuite):
    @pytest.fixture
    def site(self, doors: RbdDoors) -> RbdDoors:
        return doors
