"""Every promise of `core.ports.Store`, as tests that any store can be put to.

Subclass `StoreSuite` as `Test…` and give it `StoreDoors`; pytest does the rest.
"""

import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from cowpath.core.errors import (
    ConflictError,
    NoSpaceError,
    NotFoundError,
    UntrustedError,
    UsageError,
)
from cowpath.core.model import (
    Base,
    Bytes,
    Disk,
    DiskName,
    ImageId,
    Location,
    StoreName,
    disk_name,
)
from cowpath.core.rules import check_adoption
from cowpath.testing.store_doors import StoreDoors
from cowpath.testing.store_lives import StoreLives, pattern

MIB = 1024**2
SIZE = Bytes(MIB)

IMAGE = ImageId("6f2e1c0a-0000-4000-8000-00000000000a")
OTHER = ImageId("6f2e1c0a-0000-4000-8000-00000000000b")
THREADS = 8
_LIVES = settings(
    max_examples=12,
    stateful_step_count=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)

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
HOSTILE_IDS = ("", "..", "../" + IMAGE, IMAGE + "/..", IMAGE.upper(), IMAGE + "\n")


class StoreSuite(ABC):
    """What every store promises."""

    @pytest.fixture
    @abstractmethod
    def site(self) -> StoreDoors | Iterator[StoreDoors]:
        """Give an empty store and its doors."""

    @pytest.fixture
    def tight(self, site: StoreDoors) -> StoreDoors:
        """Give one that can be filled up; override it if `site` cannot."""
        return site

    @pytest.fixture
    def data(self) -> bytes:
        """Give an image's bytes; none of its sectors is like another."""
        return pattern(1, SIZE)

    @pytest.fixture
    def base(self, site: StoreDoors, data: bytes) -> Base:
        """Give a whole base that holds `data`."""
        return _base(site, IMAGE, data)

    # Bases

    def test_territory_is_named(self, site: StoreDoors) -> None:
        """Messages can say where this store looks."""
        assert site.store.territory

    def test_absent_image_has_no_base_and_no_arrival(self, site: StoreDoors) -> None:
        """An empty store shows nothing."""
        image = site.image(IMAGE, SIZE)
        assert site.store.find_base(image) is None
        assert site.store.arrival(image) is None

    @pytest.mark.parametrize("shown", [True, False])
    def test_whole_image_is_found(
        self, site: StoreDoors, data: bytes, *, shown: bool
    ) -> None:
        """By its location, and where Glance hides locations by configuration."""
        site.put(IMAGE, data)
        base = site.store.find_base(site.image(IMAGE, SIZE, shown=shown))
        assert base is not None
        assert (base.image, base.size) == (IMAGE, SIZE)
        assert base.where

    def test_finding_changes_nothing(self, site: StoreDoors, data: bytes) -> None:
        """To look is free of effects, and always gives the same base."""
        site.put(IMAGE, data)
        before = site.everything()
        found = [site.store.find_base(site.image(IMAGE, SIZE)) for _ in range(2)]
        assert found[0] == found[1]
        assert site.everything() == before

    def test_base_has_the_same_place_before_and_after_its_first_disk(
        self, site: StoreDoors, base: Base
    ) -> None:
        """Adoption compares places: a clone must not change them."""
        site.store.clone(base, disk_name("a"))
        assert site.store.find_base(site.image(IMAGE, SIZE)) == base
        assert site.another().find_base(site.image(IMAGE, SIZE)) == base

    def test_location_of_another_site_is_passed_over(
        self, site: StoreDoors, data: bytes
    ) -> None:
        """Other sites' locations are no business of ours, ours counts."""
        site.put(IMAGE, data)
        image = site.image(IMAGE, SIZE)
        far = Location("rbd://a-fsid/images/x/snap", StoreName("far-away"))
        direct = Location("http://far.example/x")
        for places in ((far, direct, *image.locations), (far,), (direct,)):
            shown = replace(image, locations=places)
            assert site.store.find_base(shown) is not None

    @pytest.mark.parametrize("step", [0, 1, 512, SIZE - 1])
    def test_partial_image_is_an_arrival_and_no_base(
        self, site: StoreDoors, data: bytes, step: int
    ) -> None:
        """A copy in progress shows how far it is, and is not cloned."""
        site.put(IMAGE, data, present=step)
        image = site.image(IMAGE, SIZE, shown=False)
        assert site.store.find_base(image) is None
        arrival = site.store.arrival(image)
        assert arrival is None or (arrival.present <= step and not arrival.whole)

    def test_arrival_of_all_bytes_is_whole(self, site: StoreDoors, data: bytes) -> None:
        """The store knows that a copy is done before Glance says so."""
        site.put(IMAGE, data)
        arrival = site.store.arrival(site.image(IMAGE, SIZE, shown=False))
        assert arrival is not None
        assert arrival.whole

    def test_wrong_or_unknown_size_is_no_base(
        self, site: StoreDoors, data: bytes
    ) -> None:
        """The image's size decides, to the byte."""
        site.put(IMAGE, data)
        for size in (SIZE - 1, SIZE + 1, 2 * SIZE, 0, None):
            assert site.store.find_base(site.image(IMAGE, size)) is None

    def test_forged_locations_are_refused(self, site: StoreDoors, data: bytes) -> None:
        """What claims our store but leads elsewhere is not followed."""
        site.put(IMAGE, data)
        site.put(OTHER, data)
        image = site.image(IMAGE, SIZE)
        for wrong, url in site.forged(IMAGE, OTHER).items():
            forged = replace(image, locations=(Location(url, site.name),))
            with pytest.raises(UntrustedError, match=IMAGE):
                pytest.fail(f"{wrong}: {site.store.find_base(forged)}")

    def test_forged_locations_of_no_store_lead_nowhere(
        self, site: StoreDoors, data: bytes
    ) -> None:
        """Unclaimed, they are ignored: the base is the configured one or none."""
        site.put(IMAGE, data)
        site.put(OTHER, data)
        image = site.image(IMAGE, SIZE)
        base = site.store.find_base(image)
        for url in site.forged(IMAGE, OTHER).values():
            forged = replace(image, locations=(Location(url),))
            assert site.store.find_base(forged) in (base, None)

    @pytest.mark.parametrize("hostile", HOSTILE_IDS)
    def test_hostile_image_ids_are_refused(
        self, site: StoreDoors, base: Base, hostile: str
    ) -> None:
        """An id that is none reaches no path, whatever its type says."""
        bad = ImageId(hostile)
        image = replace(site.image(IMAGE, SIZE, shown=False), id=bad)
        before = site.everything()
        for call in (
            lambda: site.store.find_base(image),
            lambda: site.store.arrival(image),
            lambda: site.store.head(replace(base, image=bad)),
            lambda: site.store.clone(replace(base, image=bad), disk_name("a")),
        ):
            with pytest.raises((UsageError, NotFoundError)):
                call()
        assert site.everything() == before

    def test_head_is_the_first_4096_bytes(
        self, site: StoreDoors, base: Base, data: bytes
    ) -> None:
        """Enough to see the header of another format."""
        assert site.store.head(base) == data[:4096]
        site.store.clone(base, disk_name("a"))
        assert site.store.head(base) == data[:4096]

    def test_head_of_a_small_base_is_all_of_it(self, site: StoreDoors) -> None:
        """No padding."""
        small = _base(site, IMAGE, pattern(3, 512))
        assert site.store.head(small) == pattern(3, 512)

    def test_head_of_a_lost_base_is_not_found(
        self, site: StoreDoors, base: Base
    ) -> None:
        """Gone is gone."""
        site.remove(IMAGE)
        with pytest.raises(NotFoundError):
            site.store.head(base)

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
        first, second = _pair(site, base)
        news = pattern(9, 8192)
        site.write(first, 65536, news)
        site.write(second, 0, news)
        assert site.read(first) == _spliced(data, 65536, news)
        assert site.read(second) == _spliced(data, 0, news)
        assert site.read(site.store.clone(base, disk_name("c"))) == data

    def test_second_disk_costs_almost_nothing(
        self, site: StoreDoors, base: Base
    ) -> None:
        """Disks share their base; `used` counts only what is their own."""
        before = site.store.capacity().free
        _, second = _pair(site, base)
        assert second.used <= SIZE // 2
        assert second.base == base.where
        assert before - site.store.capacity().free < 64 * MIB

    def test_used_grows_with_what_is_written(
        self, site: StoreDoors, base: Base
    ) -> None:
        """A disk's cost can be seen."""
        disk = site.store.clone(base, disk_name("a"))
        site.write(disk, 0, pattern(2, SIZE // 2))
        assert _known(site, disk).used > disk.used

    def test_taken_name_is_refused(
        self, site: StoreDoors, base: Base, data: bytes
    ) -> None:
        """A disk is never replaced, not even by one of another image."""
        other = _base(site, OTHER, pattern(2, SIZE))
        disk = site.store.clone(base, disk_name("a"))
        for again in (base, other):
            before = site.everything()
            with pytest.raises(ConflictError, match="a"):
                site.another().clone(again, disk.name)
            assert site.everything() == before
        assert _known(site, disk) == disk
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
        assert _known(site, disk) == grown
        assert site.read(grown) == _spliced(data, SIZE - 512, news) + bytes(2 * SIZE)

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
        assert _known(site, disk).size == 4 * SIZE

    @pytest.mark.parametrize("size", [0, -512, SIZE + 1, 2**62 + 512])
    def test_sizes_that_are_none_are_refused(
        self, site: StoreDoors, base: Base, size: int
    ) -> None:
        """Whole sectors only, and no more than there can be."""
        disk = site.store.clone(base, disk_name("a"))
        with pytest.raises(UsageError):
            site.store.grow(disk, Bytes(size))
        assert _known(site, disk) == disk

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
        first, second = _pair(site, base)
        for _ in range(2):
            site.store.delete(first.name)
            assert site.store.find_disk(first.name) is None
        assert site.read(second) == data
        assert _known(site, second) == second
        assert site.store.clone(base, first.name).marked

    def test_deleting_what_never_was_is_fine(self, site: StoreDoors) -> None:
        """Absent is what was asked for."""
        site.store.delete(disk_name("never"))

    def test_last_disk_leaves_the_base(
        self, site: StoreDoors, base: Base, data: bytes
    ) -> None:
        """The image stays Glance's: only Glance removes it."""
        for disk in _pair(site, base):
            site.store.delete(disk.name)
        assert site.store.find_base(site.image(IMAGE, SIZE)) == base
        assert site.read(site.store.clone(base, disk_name("c"))) == data

    def test_disks_outlive_their_image_in_glance(
        self, site: StoreDoors, base: Base, data: bytes
    ) -> None:
        """Deleting an image breaks no guest."""
        first, second = _pair(site, base)
        site.remove(IMAGE)
        assert site.read(first) == data
        site.store.delete(first.name)
        assert site.read(second) == data
        site.write(second, 0, b"x" * 512)
        assert site.read(second) == _spliced(data, 0, b"x" * 512)
        site.store.delete(second.name)
        assert list(site.store.disks()) == []

    # Open disks

    def test_open_disk_is_left_alone(
        self, site: StoreDoors, base: Base, data: bytes
    ) -> None:
        """A running guest's disk is neither resized nor removed under it."""
        disk, sibling = _pair(site, base)
        with site.held(disk):
            assert not site.store.untouched(disk)
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
            assert _known(site, disk) == disk
            assert list(site.store.disks()) == [disk]
            site.store.clone(base, disk_name("b"))
            assert site.store.head(base)
            assert site.store.find_base(site.image(IMAGE, SIZE)) == base

    # Adoption

    def test_fresh_disk_can_be_adopted(self, site: StoreDoors, base: Base) -> None:
        """An interrupted call's disk is recognised by the next call."""
        disk = site.store.clone(base, disk_name("a"))
        found = _known(site, disk)
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
        disk, sibling = _pair(site, base)
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
        assert _known(site, disk).marked

    def test_replaced_disk_is_not_marked(self, site: StoreDoors, base: Base) -> None:
        """Nor does a name inherit the mark of what had it before."""
        disk = site.store.clone(base, disk_name("a"))
        site.copy(disk, disk_name("b"))
        stranger = site.store.find_disk(disk_name("b"))
        assert stranger is not None
        site.store.delete(disk.name)
        site.copy(stranger, disk.name)
        assert not _known(site, disk).marked

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

    # Room

    def test_capacity_is_sane(self, site: StoreDoors) -> None:
        """Free is part of total."""
        room = site.store.capacity()
        assert 0 < room.free <= room.total

    def test_full_store_is_left_as_it_was(self, tight: StoreDoors) -> None:
        """No room for a disk: an error that says so, and nothing else."""
        base = _base(tight, IMAGE, pattern(1, SIZE))
        first = tight.store.clone(base, disk_name("a"))
        tight.fill_up()
        before = tight.everything()
        with pytest.raises(NoSpaceError, match="b"):
            _fill_with_disks(tight, base)
        left = {disk.name for disk in tight.store.disks()}
        for extra in left - {first.name}:
            tight.store.delete(extra)
        assert tight.everything() == before
        assert _known(tight, first) == first

    # Many at once

    def test_many_clone_one_base(
        self, site: StoreDoors, base: Base, data: bytes
    ) -> None:
        """Different names: all get their disk."""
        names = list(itertools.islice(_names("t"), THREADS))
        made = _at_once([_cloner(site, base, name) for name in names])
        assert [disk.name for disk in made if isinstance(disk, Disk)] == names
        listed = list(site.store.disks())
        assert [disk.name for disk in listed] == sorted(names)
        assert all(disk.marked for disk in listed)
        assert site.read(listed[-1]) == data

    def test_one_of_many_gets_a_name(self, site: StoreDoors, base: Base) -> None:
        """The others are told that it is taken."""
        made = _at_once([_cloner(site, base, disk_name("a"))] * THREADS)
        winners = [disk for disk in made if isinstance(disk, Disk)]
        losers = [error for error in made if isinstance(error, ConflictError)]
        assert (len(winners), len(losers)) == (1, THREADS - 1)
        assert list(site.store.disks()) == winners

    def test_deleting_does_not_take_the_base_from_cloners(
        self, site: StoreDoors, base: Base, data: bytes
    ) -> None:
        """Last disks go while new ones come: every new one has its base."""

        def turn(name: DiskName) -> Disk:
            store = site.another()
            for _ in range(3):
                store.clone(base, name)
                store.delete(name)
            return store.clone(base, name)

        names = list(itertools.islice(_names("t"), THREADS))
        made = _at_once([partial(turn, name) for name in names])
        assert [disk.name for disk in made if isinstance(disk, Disk)] == names
        assert all(site.read(disk) == data for disk in site.store.disks())

    def test_random_lives(self, site: StoreDoors) -> None:
        """Any order of calls keeps to a model of two dicts."""
        life = type("Life", (StoreLives,), {"site": site})
        run_state_machine_as_test(life, settings=_LIVES)


def _base(site: StoreDoors, image: ImageId, data: bytes) -> Base:
    site.put(image, data)
    base = site.store.find_base(site.image(image, len(data)))
    assert base is not None
    return base


def _fill_with_disks(site: StoreDoors, base: Base) -> None:
    for name in _names("b"):
        site.store.clone(base, name)


def _pair(site: StoreDoors, base: Base) -> tuple[Disk, Disk]:
    clone = site.store.clone
    return clone(base, disk_name("a")), clone(base, disk_name("b"))


def _known(site: StoreDoors, disk: Disk) -> Disk:
    found = site.store.find_disk(disk.name)
    assert found is not None
    return found


def _names(stem: str) -> Iterator[DiskName]:
    return (disk_name(f"{stem}{number:03}") for number in range(1000))


def _spliced(data: bytes, offset: int, news: bytes) -> bytes:
    return data[:offset] + news + data[offset + len(news) :]


def _cloner(site: StoreDoors, base: Base, name: DiskName) -> Callable[[], Disk]:
    return lambda: site.another().clone(base, name)


def _at_once(calls: list[Callable[[], Disk]]) -> list[Disk | ConflictError]:
    """Return what each call did, all begun at the same moment."""
    gate = threading.Barrier(len(calls))

    def begin(call: Callable[[], Disk]) -> Disk | ConflictError:
        gate.wait(timeout=60)
        try:
            return call()
        except ConflictError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(begin, calls))
