"""Disks of an image: made once, shared below, adopted after a kill, undone on error."""

import pytest

from cowpath.core.errors import (
    BusyError,
    ConflictError,
    NoSpaceError,
    NotFoundError,
    UnsuitableError,
    UsageError,
)
from cowpath.core.events import DiskAdopted, DiskBusy, DiskDeleted, DiskGrown, DiskMade
from cowpath.core.model import Base, Bytes, Disk, DiskName, Image, Patience
from cowpath.stores.memory import MemoryConfig, MemoryStore
from cowpath.testing.glance_scripts import StoreBreaks, Verb
from tests.flows.world import EDGE, GIB, MIB, World

COPY, FIND = Verb.COPY, Verb.FIND
VM1 = DiskName("vm1")


@pytest.fixture
def image(world: World) -> Image:
    """Return an image that is at our site already."""
    return world.glance.upload("debian", store="edge1")


def base_of(world: World, image: Image) -> Base:
    base = world.edge.find_base(world.seen(image))
    assert base is not None
    return base


def test_a_disk_of_an_image_elsewhere_comes_after_its_copy(world: World) -> None:
    image = world.glance.upload("debian")
    disk = world.site().create_disk("debian", "vm1", "20G")
    assert (disk.name, disk.image, disk.size) == ("vm1", image.id, 20 * GIB)
    assert disk.marked
    assert world.story()[-3:] == ["CopyFinished", "BaseFound", "DiskMade"]
    assert world.site().disk("vm1") == disk
    assert world.told[-1] == DiskMade(disk)


def test_the_second_disk_makes_no_copy_and_shares_the_base(world: World) -> None:
    world.glance.upload("debian")
    site = world.site()
    first = site.create_disk("debian", "vm1")
    asked = len(world.asked())
    second = site.create_disk("debian", "vm2")
    assert world.asked()[asked:] == [FIND]
    assert first.base == second.base
    assert [disk.name for disk in site.disks()] == ["vm1", "vm2"]


@pytest.mark.usefixtures("image")
@pytest.mark.parametrize("size", [None, GIB, "1G", "1024MiB", 2 * GIB])
def test_a_disk_is_as_large_as_asked(world: World, size: str | int | None) -> None:
    wanted = size if isinstance(size, int) else GIB
    assert world.site().create_disk("debian", "vm1", size).size == wanted


def test_an_image_that_is_no_whole_sectors_gets_a_disk_of_whole_sectors(
    world: World,
) -> None:
    world.glance.upload("odd", size=MIB + 1)
    assert world.site().create_disk("odd", "vm1").size == MIB + 512


def test_min_disk_is_the_least_size_and_the_default(world: World, image: Image) -> None:
    world.glance.change(image.id, min_disk=5)
    with pytest.raises(UnsuitableError, match="needs at least 5368709120 bytes"):
        world.site().create_disk("debian", "vm1", "4G")
    assert world.site().create_disk("debian", "vm1").size == 5 * GIB


@pytest.mark.parametrize(
    ("name", "size"),
    [("../vm1", None), ("", None), ("vm1", "0"), ("vm1", "lots"), ("vm1", 513)],
)
def test_nothing_is_asked_for_a_name_or_size_that_cannot_be(
    world: World, name: str, size: str | int | None
) -> None:
    with pytest.raises(UsageError):
        world.site().create_disk("debian", name, size)
    assert world.asked() == []


def test_a_size_that_is_too_small_is_refused_before_a_copy(world: World) -> None:
    world.glance.upload("debian")
    with pytest.raises(UnsuitableError, match="too small"):
        world.site().create_disk("debian", "vm1", 512 * MIB)
    assert world.asked() == [FIND]


def test_a_taken_name_is_refused_before_a_copy(world: World, image: Image) -> None:
    world.glance.upload("other")
    mine = world.edge.clone(base_of(world, image), VM1)
    with pytest.raises(ConflictError, match="disk vm1 exists and is a disk of image"):
        world.site().create_disk("other", "vm1")
    assert world.asked() == [FIND]
    assert world.told == []
    assert world.site().disk("vm1") == mine


def test_a_disk_that_a_killed_call_left_is_adopted_and_finished(
    world: World, image: Image
) -> None:
    """Killed between cloning and growing: marked, unwritten, too small."""
    world.edge.clone(base_of(world, image), VM1)
    disk = world.site().create_disk("debian", "vm1", "3G")
    assert disk.size == 3 * GIB
    assert world.story() == ["BaseFound", "DiskAdopted"]
    assert world.told[-1] == DiskAdopted(disk)
    assert world.site().create_disk("debian", "vm1", "3G") == disk
    assert len(world.all(DiskAdopted)) == 2


def test_no_disk_is_adopted_for_an_image_that_was_deactivated_since(
    world: World, image: Image
) -> None:
    world.edge.clone(base_of(world, image), VM1)
    world.glance.deactivate(image.id)
    with pytest.raises(UnsuitableError, match="is deactivated"):
        world.site().create_disk("debian", "vm1")


def test_a_disk_that_is_open_is_not_adopted(world: World, image: Image) -> None:
    world.edge.clone(base_of(world, image), VM1)
    with world.edge.held(VM1), pytest.raises(ConflictError, match="is in use"):
        world.site().create_disk("debian", "vm1")


def test_a_disk_that_was_written_to_is_not_adopted(world: World, image: Image) -> None:
    world.edge.clone(base_of(world, image), VM1)
    world.edge.write(VM1, 0, b"mine")
    with pytest.raises(ConflictError, match="has been written to"):
        world.site().create_disk("debian", "vm1", "3G")
    assert world.site().disk("vm1").size == GIB
    assert world.edge.read(VM1, 0, 4) == b"mine"


def test_a_disk_that_is_larger_than_asked_is_not_adopted(
    world: World, image: Image
) -> None:
    disk = world.edge.clone(base_of(world, image), VM1)
    world.edge.grow(disk, Bytes(4 * GIB))
    with pytest.raises(ConflictError, match=r"is larger \(4294967296 bytes\)"):
        world.site().create_disk("debian", "vm1", "3G")
    assert world.site().disk("vm1").size == 4 * GIB


class _CannotGrow(MemoryStore):
    """A store that is full as soon as a disk grows."""

    def grow(self, disk: Disk, size: Bytes) -> Disk:
        raise NoSpaceError(f"no room to grow {disk.name} to {size}")


def test_a_disk_that_somebody_had_is_not_undone_when_it_cannot_grow(
    world: World,
) -> None:
    image = world.glance.upload("debian", store="edge1")
    store = _CannotGrow(MemoryConfig(EDGE))
    store.put(image.id, size=GIB)
    base = store.find_base(image)
    assert base is not None
    store.clone(base, VM1)
    with pytest.raises(NoSpaceError):
        world.site(store=store).create_disk("debian", "vm1", "2G")
    assert store.find_disk(VM1) is not None


def test_a_store_that_is_full_leaves_nothing(world: World) -> None:
    image = world.glance.upload("debian", store="edge1")
    store = MemoryStore(MemoryConfig(EDGE, Bytes(GIB)))
    store.put(image.id, size=GIB)
    with pytest.raises(NoSpaceError, match="full"):
        world.site(store=store).create_disk("debian", "vm1")
    assert list(store.disks()) == []


def test_a_copy_that_fails_leaves_no_disk(world: World) -> None:
    world.glance.upload("debian")
    world.glance.plan("edge1", StoreBreaks())
    with pytest.raises(Exception, match="failed to copy"):
        world.site().create_disk("debian", "vm1")
    assert list(world.site().disks()) == []


@pytest.mark.usefixtures("image")
def test_a_disk_grows_and_never_shrinks(world: World) -> None:
    site = world.site()
    site.create_disk("debian", "vm1")
    grown = site.grow_disk("vm1", "2G")
    assert grown.size == 2 * GIB
    assert world.told[-1] == DiskGrown(grown)
    with pytest.raises(UsageError, match="shrinks"):
        site.grow_disk("vm1", "1G")
    assert site.disk("vm1") == grown


@pytest.mark.usefixtures("image")
def test_a_deleted_disk_is_gone_and_its_base_stays(world: World) -> None:
    site = world.site()
    disk = site.create_disk("debian", "vm1")
    assert site.delete_disk("vm1") == disk
    assert world.told[-1] == DiskDeleted(disk)
    assert list(site.disks()) == []
    asked = world.asked().count(COPY)
    site.create_disk("debian", "vm1")
    assert world.asked().count(COPY) == asked == 0


def test_a_disk_that_is_not_there_is_told_with_where_to_look(world: World) -> None:
    site = world.site()
    for call in (site.disk, site.delete_disk, lambda name: site.grow_disk(name, "2G")):
        with pytest.raises(NotFoundError, match="no disk vm1 at site edge1: cowpath"):
            call("vm1")
    assert world.told == []


@pytest.mark.usefixtures("image")
def test_an_open_disk_stays_as_it_is(world: World) -> None:
    site = world.site()
    disk = site.create_disk("debian", "vm1")
    with world.edge.held(VM1):
        for call in (site.delete_disk, lambda name: site.grow_disk(name, "2G")):
            with pytest.raises(ConflictError, match="in use"):
                call("vm1")
    assert site.disk("vm1") == disk
    assert world.all(DiskGrown, DiskDeleted) == []


class _Lingering(MemoryStore):
    """A store in which a client that was killed has every disk open for a while."""

    tries_left = 2

    def untouched(self, disk: Disk) -> bool:
        self._linger(disk.name)
        return super().untouched(disk)

    def delete(self, name: DiskName) -> None:
        self._linger(name)
        super().delete(name)

    def _linger(self, name: DiskName) -> None:
        if self.tries_left:
            self.tries_left -= 1
            raise BusyError(f"disk {name} is open elsewhere")


@pytest.mark.parametrize("retries", [1, 2])
@pytest.mark.parametrize("verb", ["adopt", "delete"])
def test_a_disk_that_a_killed_client_has_open_is_tried_again(
    verb: str, retries: int
) -> None:
    world = World(patience=Patience(busy_retries=retries, busy_interval=7))
    image = world.glance.upload("debian", store="edge1")
    store = _Lingering(MemoryConfig(EDGE))
    store.put(image.id, size=GIB)
    base = store.find_base(image)
    assert base is not None
    store.clone(base, VM1)
    site = world.site(store=store)

    def act() -> Disk:
        if verb == "delete":
            return site.delete_disk("vm1")
        return site.create_disk("debian", "vm1")

    if retries == store.tries_left:
        assert act().name == "vm1"
    else:
        with pytest.raises(BusyError, match="open elsewhere"):
            act()
    assert world.clock.slept == [7] * retries
    assert len(world.all(DiskBusy)) == retries
    gone = store.find_disk(VM1) is None
    assert gone is (verb == "delete" and retries == 2)


@pytest.mark.usefixtures("image")
def test_disks_are_listed_by_the_beginning_of_their_names(world: World) -> None:
    site = world.site()
    for name in ("web10", "web1", "db"):
        site.create_disk("debian", name)
    assert [disk.name for disk in site.disks("web1")] == ["web1", "web10"]
    assert site.capacity().free < site.capacity().total
    assert "vm" not in site.disk_xml(site.disk("db"))
    assert repr(site) == "Site(edge1, memory store edge1)"
    assert site.stores() == ("central", "edge1", "edge2", "edge10")
