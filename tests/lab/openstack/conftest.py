"""The lab of kind openstack; a lab that is down is a failure."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.ceph.cluster import Ceph
from tests.lab.openstack.cloud import SITES, Cloud
from tests.lab.openstack.computes import Computes, alone
from tests.lab.services import manifest


@pytest.fixture(scope="session")
def openstack_lab() -> dict[str, Any]:
    """Return what `python -m lab up --kind openstack` left in lab.json."""
    return manifest("openstack", "COWPATH_OPENSTACK_LAB")


@pytest.fixture(scope="session")
def clusters(openstack_lab: dict[str, Any]) -> Iterator[dict[str, Ceph]]:
    """Give both sites' clusters, asked as their administrator."""
    made = {site: Ceph(openstack_lab["sites"][site]["cluster"]) for site in SITES}
    yield made
    for ceph in made.values():
        ceph.close()


@pytest.fixture(scope="session")
def computes(openstack_lab: dict[str, Any]) -> Iterator[Computes]:
    """Give the computes, both of which run Cowpath as the lab has it."""
    with alone(openstack_lab):
        made = Computes(openstack_lab)
        made.ensure()
        yield made


@pytest.fixture(scope="session")
def _cloud(
    openstack_lab: dict[str, Any], clusters: dict[str, Ceph], computes: Computes
) -> Cloud:
    computes.ensure()
    return Cloud(openstack_lab, clusters)


@pytest.fixture(scope="module")
def cloud(_cloud: Cloud) -> Iterator[Cloud]:
    """Return hands for the cloud; what they make is gone when the module ends.

    Then both clusters list what they listed before.
    """
    before = _cloud.listing()
    yield _cloud
    _cloud.clear()
    assert _cloud.listing() == before
