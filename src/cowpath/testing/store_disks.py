"""Every promise of `core.ports.Disks` to one caller; a part of the store suite."""

from dataclasses import replace

import pytest

from cowpath.core.errors import BusyError, ConflictError, NotFoundError, UsageError
from cowpath.core.model import Base, Bytes, Disk, DiskName, disk_name
from cowpath.core.rules import check_adoption
from cowpath.testing.store_doors import StoreDoors
from cowpath.testing.store_fixtures import (
    IMAGE,
    OTHER,
    SIZE,
    StoreFixtures,
    base_of,
    known,
    pair_of,
    spliced,
)
from cowpath.testing.store_lives import pattern

MIB = 1024**2
HOSTILE_NAMES = (
    "",
    ".",
    "..",
    "../escape",
    "a/b",
    "/etc/passwd",
    "-o",
    ".hidden",
    "a\0b",
    "a\nb",
    "pool@snap",
    "ünïcode",
    "nbd:127.0.0.1:1",
    "x" * 201,
)


class DisksPromises(StoreFixtures):
    """What every store promises of its disks."""

    # Disks

    def test_disk_has_the_bytes_of_its_base(
        self, site: StoreDoors, base: Base, data: bytes
    ) -> None:
        """A clone reads as its base does."""
        disk = site.store.clone(base, disk_name("a"))
        assert (disk.name, disk.size, disk.image) == ("a", SIZE, IMAGE)
        assert disk.marked
        assert disk.base == base.where
        assert site.read(disk) == data

    @pytest.mark.parametrize("size", [SIZE, SIZE + 512, 3 * SIZE])
    def test_disk_has_the_size_it_was_asked_for(
        self, site: StoreDoors, base: Base, data: bytes, size: int
    ) -> None:
        """The bytes of its base, then zeros."""
        disk = site.store.clone(base, disk_name("a"), Bytes(size))
        assert disk.size == size
        assert known(site, disk) == disk
        assert site.read(disk) == data + bytes(size - SIZE)

    @pytest.mark.parametrize("size", [0, -512, SIZE - 512, SIZE + 1, 2**62 + 512])
    def test_disk_of_an_impossible_size_is_not_made(
        self, site: StoreDoors, base: Base, size: int
    ) -> None:
        """Smaller than its base, no whole sectors, or more than there can be."""
        before = site.everything()
        with pytest.raises(UsageError):
            site.store.clone(base, disk_name("a"), Bytes(size))
        assert site.everything() == before

    def test_base_of_odd_size_makes_a_disk_of_whole_sectors(
        self, site: StoreDoors
    ) -> None:
        """Rounded up: no byte is lost."""
        odd = base_of(site, OTHER, pattern(4, 1000))
        disk = site.store.clone(odd, disk_name("a"))
        assert disk.size == 1024
        assert site.read(known(site, disk)) == pattern(4, 1000) + bytes(24)

    def test_disk_is_the_same_whoever_looks(self, site: StoreDoors, base: Base) -> None:
        """What clone returned is what every other process finds."""
        made = site.store.clone(base, disk_name("a"))
        assert site.store.find_disk(made.name) == made
        assert site.another().find_disk(made.name) == made
        assert list(site.another().disks()) == [made]

    def test_absent_disk_is_none(self, site: StoreDoors, base: Base) -> None:
        """Also where there is a similar one."""
        site.store.clone(base, disk_name("web"))
        for name in ("we", "web1", "WEB", "web.qcow2"):
            assert site.store.find_disk(disk_name(name)) is None

    def test_disks_are_independent(
        self, site: StoreDoors, base: Base, data: bytes
    ) -> None:
        """Writing one changes neither the base nor its sibling, byte for byte."""
        first, second = pair_of(site, base)
        news = pattern(9, 8192)
        site.write(first, 65536, news)
        site.write(second, 0, news)
        assert site.read(first) == spliced(data, 65536, news)
        assert site.read(second) == spliced(data, 0, news)
        assert site.read(site.store.clone(base, disk_name("c"))) == data

    def test_second_disk_costs_almost_nothing(
        self, site: StoreDoors, base: Base
    ) -> None:
        """Disks share their base; `used` counts only what is their own."""
        before = site.store.capacity().free
        _, second = pair_of(site, base)
        assert second.used <= SIZE // 2
        assert second.base == base.where
        assert before - site.store.capacity().free < 64 * MIB

    def test_used_grows_with_what_is_written(
        self, site: StoreDoors, base: Base
    ) -> None:
        """A disk's cost can be seen."""
        disk = site.store.clone(base, disk_name("a"))
        site.write(disk, 0, pattern(2, SIZE // 2))
        assert known(site, disk).used > disk.used

    def test_taken_name_is_refused(
        self, site: StoreDoors, base: Base, data: bytes
    ) -> None:
        """A disk is never replaced, not even by one of another image."""
        other = base_of(site, OTHER, pattern(2, SIZE))
        disk = site.store.clone(base, disk_name("a"))
        for again in (base, other):
            before = site.everything()
            with pytest.raises(ConflictError, match="a"):
                site.another().clone(again, disk.name)
            assert site.everything() == before
        assert known(site, disk) == disk
        assert site.read(disk) == data

    def test_lost_base_makes_no_disk(self, site: StoreDoors, base: Base) -> None:
        """Gone between looking and cloning: nothing is left behind."""
        site.remove(IMAGE)
        before = site.everything()
        with pytest.raises(NotFoundError, match=IMAGE):
            site.store.clone(base, disk_name("a"))
        assert site.store.find_disk(disk_name("a")) is None
        assert site.everything() == before

    def test_base_that_is_not_whole_makes_no_disk(
        self, site: StoreDoors, base: Base, data: bytes
    ) -> None:
        """A base that shrank meanwhile is not the one that was found."""
        site.remove(IMAGE)
        site.put(IMAGE, data, present=SIZE // 2)
        with pytest.raises(NotFoundError):
            site.store.clone(base, disk_name("a"))
        assert list(site.store.disks()) == []

    def test_base_of_another_store_makes_no_disk(
        self, site: StoreDoors, base: Base
    ) -> None:
        """`where` is part of what a base is."""
        for where in ("store far-away", "/etc/passwd", base.where + "x"):
            with pytest.raises(NotFoundError):
                site.store.clone(replace(base, where=where), disk_name("a"))
        assert list(site.store.disks()) == []

    @pytest.mark.parametrize("hostile", HOSTILE_NAMES)
    def test_hostile_names_are_refused(
        self, site: StoreDoors, base: Base, hostile: str
    ) -> None:
        """A name that is none reaches no path, whatever its type says."""
        disk = site.store.clone(base, disk_name("a"))
        before = site.everything()
        bad = replace(disk, name=DiskName(hostile))
        for call in (
            lambda: site.store.clone(base, bad.name),
            lambda: site.store.find_disk(bad.name),
            lambda: site.store.untouched(bad),
            lambda: site.store.grow(bad, Bytes(2 * SIZE)),
            lambda: site.store.delete(bad.name),
        ):
            with pytest.raises(UsageError):
                call()
        assert site.everything() == before

    def test_longest_name_works(self, site: StoreDoors, base: Base) -> None:
        """What core calls a name, the store can make."""
        name = disk_name("x" * 200)
        disk = site.store.clone(base, name)
        site.store.grow(disk, Bytes(2 * SIZE))
        assert [seen.name for seen in site.store.disks()] == [name]
        site.store.delete(name)
        assert site.store.find_disk(name) is None

    # Growing

    def test_growing_keeps_the_bytes_and_adds_zeros(
        self, site: StoreDoors, base: Base, data: bytes
    ) -> None:
        """Also what was written before."""
        disk = site.store.clone(base, disk_name("a"))
        news = pattern(7, 512)
        site.write(disk, SIZE - 512, news)
        grown = site.store.grow(disk, Bytes(3 * SIZE))
        assert grown.size == 3 * SIZE
        assert grown.marked
        assert known(site, disk) == grown
        assert site.read(grown) == spliced(data, SIZE - 512, news) + bytes(2 * SIZE)

    def test_growing_to_the_same_size_does_nothing(
        self, site: StoreDoors, base: Base
    ) -> None:
        """Repeating a call is harmless."""
        disk = site.store.clone(base, disk_name("a"))
        before = site.everything()
        assert site.store.grow(disk, disk.size) == disk
        assert site.everything() == before

    def test_disks_never_shrink(self, site: StoreDoors, base: Base) -> None:
        """Judged by the disk as it is, not as the caller remembers it."""
        disk = site.store.clone(base, disk_name("a"))
        site.store.grow(disk, Bytes(4 * SIZE))
        for size in (SIZE, 2 * SIZE, 4 * SIZE - 512):
            with pytest.raises(UsageError, match="a"):
                site.store.grow(disk, Bytes(size))
        assert known(site, disk).size == 4 * SIZE

    @pytest.mark.parametrize("size", [0, -512, SIZE + 1, 2**62 + 512])
    def test_sizes_that_are_none_are_refused(
        self, site: StoreDoors, base: Base, size: int
    ) -> None:
        """Whole sectors only, and no more than there can be."""
        disk = site.store.clone(base, disk_name("a"))
        with pytest.raises(UsageError):
            site.store.grow(disk, Bytes(size))
        assert known(site, disk) == disk

    def test_growing_an_absent_disk_is_not_found(
        self, site: StoreDoors, base: Base
    ) -> None:
        """It is not made by growing."""
        disk = site.store.clone(base, disk_name("a"))
        site.store.delete(disk.name)
        with pytest.raises(NotFoundError):
            site.store.grow(disk, Bytes(2 * SIZE))
        assert site.store.find_disk(disk.name) is None

    # Deleting

    def test_deleting_leaves_siblings_and_base(
        self, site: StoreDoors, base: Base, data: bytes
    ) -> None:
        """And once more does no harm."""
        first, second = pair_of(site, base)
        for _ in range(2):
            site.store.delete(first.name)
            assert site.store.find_disk(first.name) is None
        assert site.read(second) == data
        assert known(site, second) == second
        assert site.store.clone(base, first.name).marked

    def test_deleting_what_never_was_is_fine(self, site: StoreDoors) -> None:
        """Absent is what was asked for."""
        site.store.delete(disk_name("never"))

    def test_last_disk_leaves_the_base(
        self, site: StoreDoors, base: Base, data: bytes
    ) -> None:
        """The image stays Glance's: only Glance removes it."""
        for disk in pair_of(site, base):
            site.store.delete(disk.name)
        assert site.store.find_base(site.image(IMAGE, SIZE)) == base
        assert site.read(site.store.clone(base, disk_name("c"))) == data

    def test_disks_outlive_their_image_in_glance(
        self, site: StoreDoors, base: Base, data: bytes
    ) -> None:
        """Deleting an image breaks no guest."""
        first, second = pair_of(site, base)
        site.remove(IMAGE)
        assert site.read(first) == data
        site.store.delete(first.name)
        assert site.read(second) == data
        site.write(second, 0, b"x" * 512)
        assert site.read(second) == spliced(data, 0, b"x" * 512)
        site.store.delete(second.name)
        assert list(site.store.disks()) == []

    # Open disks

    def test_open_disk_is_left_alone(
        self, site: StoreDoors, base: Base, data: bytes
    ) -> None:
        """A running guest's disk is neither resized nor removed under it."""
        disk, sibling = pair_of(site, base)
        with site.held(disk):
            assert not _can_be_adopted(site, disk)
            with pytest.raises(ConflictError, match="a"):
                site.store.grow(disk, Bytes(2 * SIZE))
            with pytest.raises(ConflictError, match="a"):
                site.store.delete(disk.name)
            assert site.store.untouched(sibling)
            assert site.store.grow(disk, disk.size).size == disk.size
        assert site.read(disk) == data
        assert site.store.grow(disk, Bytes(2 * SIZE)).size == 2 * SIZE
        site.store.delete(disk.name)

    def test_open_disk_is_seen(self, site: StoreDoors, base: Base) -> None:
        """Looking and listing work while guests run, and so does cloning."""
        disk = site.store.clone(base, disk_name("a"))
        with site.held(disk):
            assert known(site, disk) == disk
            assert list(site.store.disks()) == [disk]
            site.store.clone(base, disk_name("b"))
            assert site.store.find_base(site.image(IMAGE, SIZE)) == base

    # Adoption

    def test_fresh_disk_can_be_adopted(self, site: StoreDoors, base: Base) -> None:
        """An interrupted call's disk is recognised by the next call."""
        disk = site.store.clone(base, disk_name("a"))
        found = known(site, disk)
        assert site.another().untouched(found)
        check_adoption(found, site.image(IMAGE, SIZE), SIZE, untouched=True)

    def test_growing_is_not_touching(self, site: StoreDoors, base: Base) -> None:
        """A call may have been interrupted after it grew its disk."""
        disk = site.store.clone(base, disk_name("a"))
        grown = site.store.grow(disk, Bytes(2 * SIZE))
        assert site.store.untouched(grown)
        image = site.image(IMAGE, SIZE)
        check_adoption(grown, image, Bytes(2 * SIZE), untouched=True)

    @pytest.mark.parametrize("offset", [0, SIZE - 512])
    @pytest.mark.parametrize("news", [b"\0", b"x"])
    def test_written_disk_is_touched(
        self, site: StoreDoors, base: Base, offset: int, news: bytes
    ) -> None:
        """One sector is enough, zeros too, and closing it does not hide it."""
        disk, sibling = pair_of(site, base)
        site.write(disk, offset, news * 512)
        assert not site.store.untouched(disk)
        assert site.store.untouched(sibling)

    def test_absent_disk_is_not_untouched(self, site: StoreDoors, base: Base) -> None:
        """There is nothing to adopt."""
        disk = site.store.clone(base, disk_name("a"))
        site.store.delete(disk.name)
        assert not site.store.untouched(disk)

    def test_copied_disk_is_not_marked(self, site: StoreDoors, base: Base) -> None:
        """The mark is bound to the disk that we made, not to what it carries."""
        disk = site.store.clone(base, disk_name("a"))
        site.copy(disk, disk_name("b"))
        copy = site.store.find_disk(disk_name("b"))
        assert copy is not None
        assert not copy.marked
        assert known(site, disk).marked

    def test_replaced_disk_is_not_marked(self, site: StoreDoors, base: Base) -> None:
        """Nor does a name inherit the mark of what had it before."""
        disk = site.store.clone(base, disk_name("a"))
        site.copy(disk, disk_name("b"))
        stranger = site.store.find_disk(disk_name("b"))
        assert stranger is not None
        site.store.delete(disk.name)
        site.copy(stranger, disk.name)
        assert not known(site, disk).marked

    # Listing

    def test_empty_store_lists_nothing(self, site: StoreDoors, data: bytes) -> None:
        """Images are not disks."""
        assert list(site.store.disks()) == []
        site.put(IMAGE, data)
        assert list(site.store.disks()) == []

    def test_listing_is_in_order_and_by_prefix(
        self, site: StoreDoors, base: Base
    ) -> None:
        """By name, as plain text; a prefix is no pattern."""
        names = ["web10", "web2", "Web", "db.1", "a-b", "web", "w"]
        for name in names:
            site.store.clone(base, disk_name(name))

        def listed(prefix: str = "") -> list[str]:
            return [disk.name for disk in site.store.disks(prefix)]

        assert listed() == sorted(names)
        assert listed("web") == ["web", "web10", "web2"]
        assert listed("db.") == ["db.1"]
        for nothing in ("x", "*", "w*", "..", "/", "[a-z]"):
            assert listed(nothing) == []


def _can_be_adopted(site: StoreDoors, disk: Disk) -> bool:
    try:
        return site.store.untouched(disk)
    except BusyError:
        return False
