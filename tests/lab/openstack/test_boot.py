"""Servers of images that their site does not have: copied once, then cloned."""

import pytest

from tests.lab.openstack.cloud import CENTRAL, EDGE, FILES, IMAGES, Cloud

pytestmark = pytest.mark.openstack

# Nova's API looks once for the request, its compute once for the clone source.
_LOOKS_OF_A_WARM_BOOT = 2


def _base(image: str) -> str:
    return f"{IMAGES}/{image}@snap"


def test_an_image_that_only_central_has(cloud: Cloud) -> None:
    """By the openstack client; the guest proves the bytes. Again: no copy."""
    image = cloud.upload(store=CENTRAL)
    words = ["--image", image, "--flavor", "lab.tiny", "--nic", "none"]
    words += ["--availability-zone", EDGE, "--wait", "bench-first"]
    told = cloud.said("server", "create", *words)
    first = cloud.adopt(told["id"])
    shown = cloud.said("server", "show", first)
    assert shown["status"] == "ACTIVE"
    assert shown["OS-EXT-SRV-ATTR:host"] == EDGE
    assert cloud.parent(first, EDGE) == _base(image)
    assert cloud.stores(image) == {CENTRAL, EDGE}
    assert cloud.asked(image) == 1
    looked = cloud.looks(image)
    second = cloud.boot(image, EDGE)
    assert cloud.parent(second, EDGE) == _base(image)
    assert cloud.looks(image) - looked == _LOOKS_OF_A_WARM_BOOT
    assert cloud.asked(image) == 1
    cloud.proves(first, EDGE)
    cloud.openstack("server", "delete", "--wait", first)
    assert cloud.disks(first, EDGE) == []
    cloud.delete(second)


def test_five_at_each_site_at_once_of_a_cold_image(cloud: Cloud) -> None:
    """Neither site has it, and Glance copies it to one of them at a time."""
    image = cloud.upload(store=FILES)
    servers = {site: cloud.create(image, site, count=5) for site in (EDGE, CENTRAL)}
    for site, several in servers.items():
        for server in several:
            assert cloud.active(server)["OS-EXT-SRV-ATTR:host"] == site
            assert cloud.parent(server, site) == _base(image)
    assert cloud.copies(image) == 2
    assert cloud.stores(image) == {CENTRAL, EDGE, FILES}
    for site, several in servers.items():
        cloud.delete(*several[1:])
        cloud.proves(several[0], site)
