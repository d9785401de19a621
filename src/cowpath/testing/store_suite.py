"""Every promise of `core.ports.Store`, as tests that any store can be put to.

Subclass `StoreSuite` as `Test…` and give it `StoreDoors`; pytest does the rest.
"""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from cowpath.core.errors import (
    ConflictError,
    NoSpaceError,
)
from cowpath.core.model import (
    Base,
    Disk,
    DiskName,
    disk_name,
)
from cowpath.testing.store_bases import BasesPromises
from cowpath.testing.store_disks import DisksPromises
from cowpath.testing.store_doors import StoreDoors
from cowpath.testing.store_fixtures import IMAGE, SIZE, base_of, known
from cowpath.testing.store_leftovers import LeftoversPromises
from cowpath.testing.store_lives import StoreLives, pattern

THREADS = 8
_LIVES = settings(
    max_examples=12,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


class StoreSuite(BasesPromises, DisksPromises, LeftoversPromises):
    """What every store promises."""

    # Room

    def test_capacity_is_sane(self, site: StoreDoors) -> None:
        """Free is part of total."""
        room = site.store.capacity()
        assert 0 < room.free <= room.total

    def test_healthy_store_takes_images_in(self, site: StoreDoors) -> None:
        """There is room for them, and nothing ails it."""
        intake = site.store.intake()
        assert 0 < intake.free <= site.store.capacity().total
        assert intake.ailments == ()

    def test_images_take_room(self, tight: StoreDoors) -> None:
        """What one has taken, the next has no more."""
        before = tight.store.intake().free
        tight.put(IMAGE, pattern(1, SIZE))
        assert tight.settles(lambda: 0 < tight.store.intake().free < before)

    def test_full_store_is_left_as_it_was(self, tight: StoreDoors) -> None:
        """No room for a disk: an error that says so, and nothing else."""
        base = base_of(tight, IMAGE, pattern(1, SIZE))
        first = tight.store.clone(base, disk_name("a"))
        tight.fill_up()
        before = tight.everything()
        with pytest.raises(NoSpaceError, match="b"):
            _fill_with_disks(tight, base)
        left = {disk.name for disk in tight.store.disks()}
        for extra in left - {first.name}:
            tight.store.delete(extra)
        assert tight.everything() == before
        assert known(tight, first) == first

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


def _names(stem: str) -> Iterator[DiskName]:
    return (disk_name(f"{stem}{number:03}") for number in range(1000))


def _fill_with_disks(site: StoreDoors, base: Base) -> None:
    for name in _names("b"):
        site.store.clone(base, name)


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
