"""Snapshots of running guests: made in their site's store, and booted from there."""

from collections.abc import Iterator

import pytest

from tests.lab.openstack.cloud import CENTRAL, EDGE, IMAGES, Cloud
from tests.lab.openstack.computes import Computes

pytestmark = pytest.mark.openstack


@pytest.fixture(scope="module", autouse=True)
def _qcow2(computes: Computes) -> Iterator[None]:
    """Ask for qcow2, which Nova then says of raw bytes: nothing clones them again."""
    with computes.set("libvirt.snapshot_image_format=qcow2", sites=(EDGE,)):
        yield


def test_a_running_guest(cloud: Cloud, computes: Computes) -> None:
    image = cloud.upload(store=EDGE)
    server = cloud.boot(image, EDGE)
    cloud.proves(server, EDGE)
    logged = len(computes.log(EDGE))
    words = ["--name", "bench-snapshot", "--wait", server]
    cloud.openstack("server", "image", "create", *words)
    [taken] = cloud.glance("GET", "/images?name=bench-snapshot")["images"]
    made = cloud.adopt_image(taken["id"])
    told = cloud.image(made)
    assert (told["status"], told["disk_format"]) == ("active", "raw")
    fsid = cloud.clusters[EDGE].fsid
    where = [each["url"] for each in told["locations"]]
    assert where == [f"rbd://{fsid}/{IMAGES}/{made}/snap"]
    assert _never_suspended(cloud, computes, server, logged)
    # Its site first, where it lies; then the other, where it is copied to.
    for site, copies in ((EDGE, 0), (CENTRAL, 1)):
        again = cloud.boot(made, site)
        assert cloud.parent(again, site) == f"{IMAGES}/{made}@snap"
        assert cloud.copies(made) == copies
        cloud.proves(again, site)
        cloud.delete(again)
    assert cloud.stores(made) == {CENTRAL, EDGE}


def _never_suspended(
    cloud: Cloud, computes: Computes, server: str, logged: int
) -> bool:
    """Tell whether the guest went on, as far as its host tells."""
    cloud.lives(server, EDGE)
    log = computes.log(EDGE)[logged:]
    paused = [line for line in log.splitlines() if server in line and "Paused" in line]
    return not paused and "Performing standard snapshot" not in log
