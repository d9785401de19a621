"""The RBD store keeps every promise of a store, on a real cluster."""

import pytest

from cowpath.testing.store_suite import StoreSuite
from tests.lab.ceph.rbd_doors import RbdDoors

pytestmark = pytest.mark.ceph

_ROOM = 64 * 1024**2
"""Bytes for images; the suite's take a part of it."""


class TestRbdStore(StoreSuite):
    @pytest.fixture
    def site(self, doors: RbdDoors) -> RbdDoors:
        return doors

    @pytest.fixture
    def tight(self, doors: RbdDoors) -> RbdDoors:
        doors.bound(_ROOM)
        return doors
