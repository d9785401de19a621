"""What else is done to a server in its life: by the openstack client, all of it."""

from collections.abc import Iterator

import pytest

from tests.lab.openstack.cloud import CENTRAL, EDGE, IMAGES, VMS, Cloud
from tests.lab.openstack.computes import Computes

pytestmark = pytest.mark.openstack

_GIB = 2**30


def _size(cloud: Cloud, server: str) -> int:
    with cloud.clusters[EDGE].opened(VMS, f"{server}_disk") as disk:
        return int(disk.size())


def _snapshots(cloud: Cloud, server: str) -> list[str]:
    with cloud.clusters[EDGE].opened(VMS, f"{server}_disk") as disk:
        return [each["name"] for each in disk.list_snaps()]


@pytest.fixture(scope="module", autouse=True)
def _hasty(computes: Computes) -> Iterator[None]:
    """Have a host that does not wait two minutes for a guest without ACPI."""
    with computes.set("libvirt.wait_soft_reboot_seconds=2", sites=(EDGE,)):
        yield


@pytest.fixture(scope="module")
def image(cloud: Cloud) -> str:
    return cloud.upload(store=EDGE)


@pytest.fixture(scope="module")
def server(cloud: Cloud, image: str) -> str:
    return cloud.boot(image, EDGE)


def test_resize_and_revert(cloud: Cloud, server: str) -> None:
    cloud.openstack("server", "resize", "--flavor", "lab.small", server)
    cloud.until(server, "VERIFY_RESIZE")
    assert _size(cloud, server) == 2 * _GIB
    assert _snapshots(cloud, server) == ["nova-resize"]
    cloud.openstack("server", "resize", "revert", server)
    cloud.active(server)
    assert _size(cloud, server) == _GIB
    assert _snapshots(cloud, server) == []
    cloud.lives(server, EDGE)


def test_resize_and_confirm(cloud: Cloud, server: str) -> None:
    cloud.openstack("server", "resize", "--flavor", "lab.small", server)
    cloud.until(server, "VERIFY_RESIZE")
    cloud.openstack("server", "resize", "confirm", server)
    cloud.active(server)
    assert _size(cloud, server) == 2 * _GIB
    assert _snapshots(cloud, server) == []


def test_rebuild_of_another_image(cloud: Cloud, server: str) -> None:
    """One that is only at central: it comes like that of a new server."""
    other = cloud.upload(store=CENTRAL)
    cloud.openstack("server", "rebuild", "--image", other, server)
    cloud.active(server)
    assert cloud.parent(server, EDGE) == f"{IMAGES}/{other}@snap"
    assert cloud.copies(other) == 1
    cloud.openstack("server", "rebuild", server)
    cloud.active(server)
    assert cloud.parent(server, EDGE) == f"{IMAGES}/{other}@snap"
    assert cloud.asked(other) == 1


def test_reboot(cloud: Cloud, server: str) -> None:
    for how in ("--hard", "--soft"):
        cloud.openstack("server", "reboot", how, server)
        cloud.active(server)
    cloud.proves(server, EDGE)


def test_shelve_and_unshelve(cloud: Cloud, server: str) -> None:
    cloud.openstack("server", "shelve", "--offload", server)
    cloud.until(server, "SHELVED_OFFLOADED")
    assert cloud.disks(server, EDGE) == []
    shelved = f"/images?name={cloud.server(server)['name']}-shelved"
    [kept] = cloud.glance("GET", shelved)["images"]
    assert kept["stores"] == EDGE
    cloud.openstack("server", "unshelve", server)
    cloud.active(server)
    # Nova makes it independent of the image, which it deletes then.
    assert cloud.parent(server, EDGE) == ""
    assert cloud.asked(kept["id"]) == 0
    cloud.wait(lambda: not cloud.glance("GET", shelved)["images"], "its end")
    cloud.proves(server, EDGE)


def test_delete(cloud: Cloud, server: str) -> None:
    """The end of the module looks whether both clusters list what they did before."""
    cloud.openstack("server", "delete", "--wait", server)
    assert cloud.disks(server, EDGE) == []
