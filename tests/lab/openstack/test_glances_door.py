"""Nova's own compute and Cowpath's boot through a Glance that copies Cowpath's way."""

from collections.abc import Iterator

import pytest

from tests.lab.openstack.cloud import CENTRAL, EDGE, IMAGES, Cloud
from tests.lab.openstack.computes import Computes, service

pytestmark = pytest.mark.openstack


@pytest.fixture(scope="module", autouse=True)
def _door() -> Iterator[None]:
    """Have Cowpath's application served instead of Glance's own."""
    service("glance", "start", "--door", "cowpath")
    yield
    service("glance", "start")


def _is_booted(cloud: Cloud) -> None:
    """Boot at edge what only central has; it is copied, and says by whom."""
    image = cloud.upload(store=CENTRAL)
    server = cloud.boot(image, EDGE)
    assert cloud.parent(server, EDGE) == f"{IMAGES}/{image}@snap"
    assert cloud.stores(image) == {CENTRAL, EDGE}
    told = cloud.glance("GET", f"/images/{image}/tasks")["tasks"]
    # Glance's own copy says nothing of stores.
    assert [(each["status"], each["message"]) for each in told] == [
        ("success", f"Copied to {EDGE}.")
    ]
    cloud.proves(server, EDGE)
    cloud.delete(server)


def test_nova_s_own_compute(cloud: Cloud, computes: Computes) -> None:
    computes.restart(EDGE, stock=True)
    try:
        _is_booted(cloud)
    finally:
        computes.restart(EDGE)


def test_cowpath_s_compute(cloud: Cloud) -> None:
    _is_booted(cloud)
