"""The RBD store keeps every promise of an image store, between two clusters."""

import pytest

from cowpath.testing.transfer_suite import ImageStoreSuite
from tests.contracts.transfer_promises import TransferPromises
from tests.lab.ceph.copy_doors import RbdImageDoors

pytestmark = pytest.mark.ceph


class _Fixtures:
    @pytest.fixture
    def site(self, copy_target: RbdImageDoors) -> RbdImageDoors:
        return copy_target

    @pytest.fixture
    def source(self, copy_source: RbdImageDoors) -> RbdImageDoors:
        return copy_source


class TestRbdImageStore(_Fixtures, ImageStoreSuite):
    TAKES = COMPARES = True


class TestRbdTransfer(_Fixtures, TransferPromises):
    pass
