"""What cannot succeed ends at once, and the server's fault names the reason."""

from pathlib import Path

import pytest

from tests.lab.openstack.cloud import (
    CENTRAL,
    EDGE,
    IMAGES,
    MEMBER,
    Cloud,
)
from tests.lab.openstack.computes import Computes

pytestmark = pytest.mark.openstack

_MIB = 2**20
_SECTOR = 2048  # of a CD
# Without a delay of its own: each is a process's worth of time.
_LOOKS_OF_A_FAILURE = 40


def _attempts(computes: Computes, server: str) -> int:
    """Return how often a host has begun to build a server."""
    logs = (computes.log(site) for site in (CENTRAL, EDGE))
    return sum(log.count(f"[instance: {server}] Claim successful") for log in logs)


def test_a_member_under_glance_s_default_policy(
    cloud: Cloud, computes: Computes
) -> None:
    """By the openstack client: the fault names the cure, and with it the boot works."""
    image = cloud.upload(store=CENTRAL)
    [server] = cloud.create(image, EDGE, user=MEMBER)
    cloud.failed(server)
    shown = cloud.said("server", "show", server, user=MEMBER)
    fault = shown["fault"]["message"]
    for word in ("copy_image", "policy"):
        assert word in fault, fault
    assert cloud.copies(image) == 0
    assert cloud.asked(image) == 1
    assert _attempts(computes, server) == 1
    with cloud.copies_open():
        good = cloud.boot(image, EDGE, user=MEMBER)
    assert cloud.parent(good, EDGE) == f"{IMAGES}/{image}@snap"
    assert cloud.copies(image) == 1
    cloud.delete(server, good)


def test_a_copy_that_fails(cloud: Cloud, computes: Computes) -> None:
    """The look that shows the failure is the last; Nova goes on for its timeout."""
    image = cloud.upload(store=CENTRAL)
    reader = f"profile rbd-read-only pool={IMAGES}"
    with cloud.clusters[EDGE].may("glance", osd=reader):
        [server] = cloud.create(image, EDGE)
        fault = cloud.failed(server)
    for word in ("unsuccessful", "writable"):
        assert word in fault, fault
    assert cloud.image(image)["os_glance_failed_import"] == EDGE
    assert cloud.looks(image) <= _LOOKS_OF_A_FAILURE
    assert cloud.copies(image) == 1
    assert _attempts(computes, server) == 1
    good = cloud.boot(image, EDGE)
    assert cloud.copies(image) == 2
    cloud.delete(server, good)


def test_a_pool_that_is_full(cloud: Cloud, computes: Computes) -> None:
    """Glance would wait for room for ever; it is not asked."""
    image = cloud.upload(store=CENTRAL)
    kept = cloud.upload(store=EDGE)
    with cloud.clusters[EDGE].full(IMAGES):
        [server] = cloud.create(image, EDGE)
        fault = cloud.failed(server)
    assert cloud.asked(image) == 0
    assert _attempts(computes, server) == 1
    assert "POOL_FULL" in fault, fault
    cloud.delete(server)
    cloud.delete_image(kept)


def test_an_image_that_is_no_raw_one(cloud: Cloud) -> None:
    """It could not be cloned wherever it lay: it is not copied."""
    qcow2 = cloud.lab["guest_stay"]["qcow2"]
    image = cloud.upload(qcow2, store=CENTRAL, disk_format="qcow2")
    [server] = cloud.create(image, EDGE)
    fault = cloud.failed(server)
    assert "qcow2" in fault, fault
    assert cloud.asked(image) == 0
    cloud.delete(server)


def _iso(folder: Path) -> Path:
    """Make a file that Glance takes for an ISO 9660 filesystem: without any file."""
    made = folder / "empty.iso"
    descriptors = (bytes([kind]) + b"CD001\1" for kind in (1, 255))
    content = b"".join(each.ljust(_SECTOR, b"\0") for each in descriptors)
    made.write_bytes((bytes(16 * _SECTOR) + content).ljust(_MIB, b"\0"))
    return made


def test_an_iso_image(cloud: Cloud, tmp_path: Path) -> None:
    """Its bytes are taken as they are: it is copied and cloned like a raw one."""
    image = cloud.upload(_iso(tmp_path), store=CENTRAL, disk_format="iso")
    servers = [cloud.boot(image, EDGE) for _ in range(2)]
    assert cloud.asked(image) == 1
    for server in servers:
        assert cloud.parent(server, EDGE) == f"{IMAGES}/{image}@snap"
    cloud.delete(*servers)
