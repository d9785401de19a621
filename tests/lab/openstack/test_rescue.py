"""Rescue: the image comes while the guest still runs, or nothing happens to it."""

import pytest

from tests.lab.openstack.cloud import CENTRAL, EDGE, IMAGES, Cloud
from tests.lab.openstack.computes import Computes

pytestmark = pytest.mark.openstack

_MIB = 2**20


@pytest.fixture(scope="module")
def server(cloud: Cloud) -> str:
    made = cloud.boot(cloud.upload(store=EDGE), EDGE)
    cloud.proves(made, EDGE)
    return made


def test_with_an_image_of_its_site(cloud: Cloud, server: str) -> None:
    """By the openstack client, both ways."""
    image = cloud.upload(store=EDGE)
    cloud.openstack("server", "rescue", "--image", image, server)
    cloud.until(server, "RESCUE")
    assert cloud.parent(server, EDGE, "disk.rescue") == f"{IMAGES}/{image}@snap"
    assert cloud.asked(image) == 0
    cloud.openstack("server", "unrescue", server)
    cloud.active(server)
    assert cloud.disks(server, EDGE) == [f"{server}_disk"]


def test_with_an_image_that_is_only_elsewhere(
    cloud: Cloud, computes: Computes, server: str
) -> None:
    """It is copied while the guest runs; only then the guest is powered off."""
    image = cloud.upload(store=CENTRAL)
    logged = len(computes.log(EDGE))
    with cloud.clusters[EDGE].throttled(IMAGES, 3 * _MIB):
        cloud.act(server, "rescue", {"rescue_image_ref": image})
        cloud.wait(lambda: image in cloud.clusters[EDGE].names(IMAGES), "the copy")
        cloud.lives(server, EDGE)
        assert cloud.domain(server, EDGE) == "running"
        assert not cloud.is_placed(image, EDGE)
        cloud.until(server, "RESCUE")
    log = computes.log(EDGE)[logged:]
    assert log.index("copied to edge") < log.index("Instance destroyed successfully")
    assert cloud.copies(image) == 1
    assert cloud.parent(server, EDGE, "disk.rescue") == f"{IMAGES}/{image}@snap"
    cloud.act(server, "unrescue")
    cloud.active(server)
    cloud.proves(server, EDGE, times=1)


def test_with_an_image_that_cannot_come(cloud: Cloud, server: str) -> None:
    """The server stays as it is, and says why."""
    image = cloud.upload(store=CENTRAL)
    reader = f"profile rbd-read-only pool={IMAGES}"
    with cloud.clusters[EDGE].may("glance", osd=reader):
        cloud.act(server, "rescue", {"rescue_image_ref": image})
        why = cloud.refused(server, "rescue")
    cloud.active(server)
    for word in ("left as it was", "failed to copy"):
        assert word in why, why
    assert cloud.domain(server, EDGE) == "running"
    cloud.lives(server, EDGE)
    assert cloud.disks(server, EDGE) == [f"{server}_disk"]
