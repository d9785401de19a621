"""A service dies in the midst of a copy: what becomes of the server, and what stays."""

from collections.abc import Iterator

import pytest

from tests.lab.openstack.cloud import CENTRAL, EDGE, IMAGES, Cloud
from tests.lab.openstack.computes import Computes, service

pytestmark = pytest.mark.openstack

_MIB = 2**20
_BOUNDS = ("cowpath.copy_stall=5", "libvirt.images_rbd_glance_copy_timeout=60")


def _storing(cloud: Cloud, image: str) -> None:
    """Wait until bytes of an image are arriving at edge."""
    cloud.wait(lambda: cloud.arrived(image) > 0, "the storing")


def test_nova_compute_is_killed(cloud: Cloud, computes: Computes) -> None:
    """Nova gives up what it was building; the copy goes on, and serves the next."""
    image = cloud.upload(store=CENTRAL)
    with cloud.clusters[EDGE].throttled(IMAGES, 4 * _MIB):
        [server] = cloud.create(image, EDGE)
        _storing(cloud, image)
        computes.kill(EDGE)
        assert not cloud.is_placed(image, EDGE)
        computes.restart(EDGE)
        told = cloud.until(server, "ACTIVE", "ERROR")
    assert told["status"] == "ERROR"
    cloud.delete(server)
    assert cloud.disks(server, EDGE) == []
    good = cloud.boot(image, EDGE)
    assert cloud.parent(good, EDGE) == f"{IMAGES}/{image}@snap"
    assert cloud.copies(image) == 1
    cloud.delete(good)


def test_glance_is_restarted(cloud: Cloud) -> None:
    """It ends its copies first; the host waits, and the boot ends well."""
    image = cloud.upload(store=CENTRAL)
    with cloud.clusters[EDGE].throttled(IMAGES, 8 * _MIB):
        [server] = cloud.create(image, EDGE)
        _storing(cloud, image)
        service("glance", "stop")
        service("glance", "start")
        cloud.active(server)
    assert cloud.parent(server, EDGE) == f"{IMAGES}/{image}@snap"
    assert cloud.copies(image) == 1
    cloud.delete(server)


@pytest.fixture
def doomed(cloud: Cloud) -> Iterator[str]:
    """Give an image whose copy will die; what that leaves is removed by hand."""
    image = cloud.upload(store=CENTRAL)
    yield image
    cloud.forget(image)
    cloud.clusters[EDGE].drop(IMAGES, image)


@pytest.mark.soak
def test_glance_is_killed(cloud: Cloud, computes: Computes, doomed: str) -> None:
    """Its lock stays, and nobody copies: the stall is the bound, and the reason."""
    with computes.set(*_BOUNDS, sites=(EDGE,)):
        with cloud.clusters[EDGE].throttled(IMAGES, 2 * _MIB):
            [server] = cloud.create(doomed, EDGE)
            _storing(cloud, doomed)
            service("glance", "kill")
            service("glance", "start")
        fault = cloud.failed(server)
    for word in ("has stopped", "bytes there"):
        assert word in fault, fault
    assert cloud.copies(doomed) == 1
    cloud.delete(server)
