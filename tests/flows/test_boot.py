"""A guest on a disk of an image; what it took is undone when it does not start."""

import pytest

from cowpath.core.errors import BusyError, ConflictError, HypervisorError
from cowpath.core.events import DiskAdopted, GuestStarted, Warned
from cowpath.core.model import Base, Bytes, Disk, DiskName, StoreName
from cowpath.stores.memory import MemoryConfig, MemoryStore
from cowpath.testing.glance_scripts import Verb
from tests.flows.world import EDGE, GIB, MIB, World

VM1 = DiskName("vm1")


def test_an_image_elsewhere_boots(world: World) -> None:
    image = world.glance.upload("debian")
    disk = world.site().boot("debian", "vm1", size="2G", memory="256M")
    assert disk.size == 2 * GIB
    guest = world.guests.defined["vm1"]
    assert (guest.disk, guest.memory) == (disk, 256 * MIB)
    assert guest.labels == {"image": image.id}
    assert world.guests.log == ["start vm1", "resume vm1"]
    assert world.story()[-2:] == ["DiskMade", "GuestStarted"]
    assert world.told[-1] == GuestStarted("vm1", disk)


def test_the_console_is_attached_before_the_guest_writes(world: World) -> None:
    world.glance.upload("debian", store="edge1")
    world.guests.writes = (b"GUEST-", b"BOOT-OK")
    heard: list[bytes] = []
    world.site().boot("debian", "vm1", console=heard.append)
    assert world.guests.log == ["start vm1", "console vm1", "resume vm1"]
    assert b"".join(heard) == b"GUEST-BOOT-OK"


@pytest.mark.parametrize(
    ("step", "log"),
    [
        ("start", ["start vm1"]),
        ("console", ["start vm1", "console vm1", "discard vm1"]),
        ("resume", ["start vm1", "console vm1", "resume vm1", "discard vm1"]),
    ],
)
def test_a_guest_that_is_refused_leaves_neither_domain_nor_disk(
    world: World, step: str, log: list[str]
) -> None:
    world.glance.upload("debian")
    world.guests.refusals[step] = HypervisorError("no KVM here")
    with pytest.raises(HypervisorError, match="no KVM here"):
        world.site().boot("debian", "vm1", console=lambda _: None)
    assert world.guests.log == log
    assert world.guests.defined == {}
    assert list(world.site().disks()) == []
    assert world.all(GuestStarted) == []


def test_a_refused_guest_leaves_the_disk_that_was_there(world: World) -> None:
    world.glance.upload("debian", store="edge1")
    disk = world.site().create_disk("debian", "vm1")
    world.guests.refusals["start"] = HypervisorError("no KVM here")
    with pytest.raises(HypervisorError):
        world.site().boot("debian", "vm1")
    assert world.site().disk("vm1") == disk


class _Watched(MemoryStore):
    """A store whose disks nobody can delete, as after a hard death of QEMU."""

    def delete(self, name: DiskName) -> None:
        raise BusyError(f"disk {name} is in use")


def test_a_disk_that_cannot_be_undone_does_not_hide_why_the_guest_failed(
    world: World,
) -> None:
    image = world.glance.upload("debian", store="edge1")
    store = _Watched(MemoryConfig(EDGE))
    store.put(image.id, size=GIB)
    world.guests.refusals["start"] = HypervisorError("no KVM here")
    with pytest.raises(HypervisorError, match="no KVM here"):
        world.site(store=store).boot("debian", "vm1")
    (warned,) = world.all(Warned)
    assert isinstance(warned, Warned)
    assert "disk vm1 is left behind" in warned.text
    assert "cowpath disk delete vm1" in warned.text


class _OvertakenOnce(MemoryStore):
    """A store where another process makes the disk just before we do."""

    def clone(self, base: Base, name: DiskName, size: Bytes | None = None) -> Disk:
        if self.find_disk(name) is None:
            super().clone(base, name, size)
        return super().clone(base, name, size)


def test_a_refused_guest_leaves_the_disk_that_another_process_made(
    world: World,
) -> None:
    image = world.glance.upload("debian", store="edge1")
    store = _OvertakenOnce(MemoryConfig(EDGE))
    store.put(image.id, size=GIB)
    world.guests.refusals["start"] = HypervisorError("no KVM here")
    with pytest.raises(HypervisorError):
        world.site(store=store).boot("debian", "vm1")
    assert len(world.all(DiskAdopted)) == 1
    assert store.find_disk(VM1) is not None


def test_a_domain_s_name_is_refused_before_a_copy(world: World) -> None:
    world.glance.upload("debian")
    world.glance.upload("here", store="edge1")
    world.site().boot("here", "vm1")
    asked = len(world.asked())
    world.told.clear()
    with pytest.raises(ConflictError, match="a domain vm1 exists"):
        world.site().boot("debian", "vm1")
    assert world.asked()[asked:] == [Verb.FIND]
    assert world.told == []


def test_a_disk_s_name_is_refused_before_a_copy(world: World) -> None:
    world.glance.upload("debian")
    world.glance.upload("here", store="edge1")
    world.site().create_disk("here", "vm1")
    world.edge.write(VM1, 0, b"mine")
    asked = len(world.asked())
    with pytest.raises(ConflictError, match="disk vm1 exists"):
        world.site().boot("debian", "vm1")
    assert world.asked()[asked:] == [Verb.FIND]
    assert world.edge.read(VM1, 0, 4) == b"mine"
    assert world.guests.log == []


def test_a_guest_that_ends_keeps_its_disk(world: World) -> None:
    world.glance.upload("debian", store="edge1")
    site = world.site()
    disk = site.boot("debian", "vm1", memory=Bytes(MIB))
    world.guests.discard("vm1")
    assert site.disk("vm1") == disk


def test_the_same_image_boots_at_every_site(world: World) -> None:
    world.glance.upload("debian")
    for store in ("central", "edge1", "edge2", "edge10"):
        world.site(StoreName(store)).boot("debian", f"{store}-vm")
    assert world.tasks() == 3
    assert len(world.guests.defined) == 4
    bases = {guest.disk.base for guest in world.guests.defined.values()}
    assert len(bases) == 4
