"""Moves to a host of another cluster: refused before anything is lost."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.openstack.cloud import CENTRAL, EDGE, IMAGES, VMS, Cloud
from tests.lab.openstack.computes import Computes

pytestmark = pytest.mark.openstack


@pytest.fixture(scope="module")
def image(cloud: Cloud) -> str:
    return cloud.upload(store=CENTRAL)


@pytest.fixture(scope="module")
def server(cloud: Cloud, image: str) -> str:
    """Make a server that Nova may move anywhere."""
    made = cloud.boot(image, CENTRAL, pinned=False)
    cloud.proves(made, CENTRAL)
    return made


def _untouched(cloud: Cloud, server: str) -> None:
    told = cloud.active(server)
    assert told["OS-EXT-SRV-ATTR:host"] == CENTRAL
    assert cloud.domain(server, CENTRAL) == "running"
    cloud.lives(server, CENTRAL)
    assert cloud.disks(server, CENTRAL) == [f"{server}_disk"]
    assert cloud.disks(server, EDGE) == []


def test_live_migration(cloud: Cloud, server: str) -> None:
    wish = {"host": EDGE, "block_migration": "auto"}
    cloud.act(server, "os-migrateLive", wish)
    assert "another Ceph cluster" in cloud.refused(server, "live-migration")
    _untouched(cloud, server)


def test_cold_migration(cloud: Cloud, server: str) -> None:
    """By the openstack client. Nova powers the guest off first, and loses its way."""
    cloud.openstack("server", "migrate", "--host", EDGE, server)
    assert "another Ceph cluster" in cloud.refused(server, "migrate")
    _untouched(cloud, server)


@contextmanager
def _lost(cloud: Cloud, computes: Computes, site: str) -> Iterator[None]:
    """Have a site's host down, as its operator says; it is back afterwards."""
    query = f"/os-services?binary=nova-compute&host={site}"
    [host] = cloud.compute("GET", query)["services"]
    path = f"/os-services/{host['id']}"
    computes.kill(site)
    cloud.compute("PUT", path, {"forced_down": True})
    try:
        yield
    finally:
        computes.restart(site)
        cloud.compute("PUT", path, {"forced_down": False})
        cloud.wait(lambda: _is_up(cloud, query), f"the host of {site}")


def _is_up(cloud: Cloud, query: str) -> bool:
    [host] = cloud.compute("GET", query)["services"]
    return bool(host["state"] == "up")


def _off(cloud: Cloud, server: str) -> str:
    """Power a server off, for its disk to remain as it is; return the disk's digest."""
    cloud.act(server, "os-stop")
    cloud.until(server, "SHUTOFF")
    return cloud.clusters[CENTRAL].digest(VMS, f"{server}_disk")


def test_evacuation(cloud: Cloud, computes: Computes, server: str) -> None:
    """By the openstack client. Nova boots a new disk, and what was written is lost."""
    was = _off(cloud, server)
    with _lost(cloud, computes, CENTRAL):
        cloud.openstack("server", "evacuate", "--host", EDGE, server)
        why = cloud.refused(server, "evacuate")
        for word in ("another Ceph cluster", "evacuate_rebuilds"):
            assert word in why, why
        assert cloud.disks(server, EDGE) == []
        assert cloud.clusters[CENTRAL].digest(VMS, f"{server}_disk") == was
    told = cloud.until(server, "SHUTOFF")
    assert told["OS-EXT-SRV-ATTR:host"] == CENTRAL
    assert cloud.clusters[CENTRAL].digest(VMS, f"{server}_disk") == was
    cloud.act(server, "os-start")
    cloud.active(server)
    cloud.lives(server, CENTRAL)


def test_evacuation_that_may_rebuild(
    cloud: Cloud, computes: Computes, server: str, image: str
) -> None:
    """Where the operator allows it, a new disk; the old one is not touched."""
    was = _off(cloud, server)
    allowed = "cowpath.evacuate_rebuilds=true"
    with computes.set(allowed, sites=(EDGE,)), _lost(cloud, computes, CENTRAL):
        cloud.act(server, "evacuate", {"host": EDGE})
        cloud.wait(lambda: cloud.site_of(server) == EDGE, "the evacuation")
        cloud.until(server, "SHUTOFF", "ACTIVE")
        assert cloud.parent(server, EDGE) == f"{IMAGES}/{image}@snap"
    assert cloud.clusters[CENTRAL].digest(VMS, f"{server}_disk") == was
    cloud.delete(server)
    # Nova takes it for the one at edge, as it takes every RBD disk for a shared one.
    assert cloud.disks(server, CENTRAL) == [f"{server}_disk"]
    cloud.clusters[CENTRAL].drop(VMS, f"{server}_disk")
