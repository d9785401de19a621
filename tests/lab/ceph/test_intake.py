"""What the pool of images can take in, as the user of a compute host sees it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cowpath.core.errors import UnavailableError
from cowpath.core.model import ImageId
from tests.lab.ceph.cluster import Ceph, without
from tests.lab.ceph.rbd_doors import RbdDoors

pytestmark = pytest.mark.ceph

_IMAGE = ImageId("6f2e1c0a-0000-4000-8000-0000000000ab")
_MIB = 2**20
_LOOKS = 200


@contextmanager
def _quota(doors: RbdDoors, what: str, most: int) -> Iterator[None]:
    """Have a quota on the pool of images."""

    def put(most: int) -> None:
        words = ("osd", "pool", "set-quota", doors.images, what, str(most))
        doors.ceph.run("ceph", *words)

    put(most)
    try:
        yield
    finally:
        put(0)
        _wait(doors, full=False)


def _wait(doors: RbdDoors, *, full: bool) -> None:
    """Return once the monitors have seen that the pool is full, or that it is not."""
    for _ in range(_LOOKS):
        told = doors.ceph.run("ceph", "health", "detail")
        if (f"pool '{doors.images}' is full" in told) is full:
            return
    pytest.fail(f"pool {doors.images} was never seen full ({full})")


def _free(doors: RbdDoors) -> int:
    told = json.loads(doors.ceph.run("ceph", "df", "--format", "json"))
    pools = {pool["name"]: pool["stats"] for pool in told["pools"]}
    return int(pools[doors.images]["max_avail"])


def test_without_a_quota_all_that_is_free(doors: RbdDoors) -> None:
    assert doors.store.intake().ailments == ()

    def as_told() -> bool:
        # The figures change while what earlier tests removed is given back.
        return bool(doors.store.intake().free == pytest.approx(_free(doors), rel=0.01))

    assert doors.settles(as_told)


def test_no_more_than_the_quota_leaves(doors: RbdDoors) -> None:
    with _quota(doors, "max_bytes", 64 * _MIB):
        intake = doors.store.intake()
    assert intake.ailments == ()
    assert 0 < intake.free <= 64 * _MIB


def test_a_full_pool_says_so(doors: RbdDoors) -> None:
    doors.put(_IMAGE, b"x" * _MIB)
    with _quota(doors, "max_objects", 1):
        _wait(doors, full=True)
        intake = doors.store.intake()
    assert intake.free == 0
    assert len(intake.ailments) == 1
    for word in ("POOL_FULL", f"'{doors.images}'", "quota"):
        assert word in intake.ailments[0]
    assert doors.store.intake().ailments == ()


def test_the_disks_pool_is_no_matter(doors: RbdDoors) -> None:
    with doors.ceph.pool(doors.vms) as pool:
        for name in ("cowpath.making", "another"):
            pool.write_full(name, b"x")
    doors.fill_up()
    intake = doors.store.intake()
    assert intake.free > 0
    assert intake.ailments == ()


def test_flags_that_stop_writing_and_those_that_do_not(doors: RbdDoors) -> None:
    told = {}
    for flag in ("noout", "noscrub"):
        doors.ceph.run("ceph", "osd", "set", flag)
        try:
            told[flag] = doors.store.intake().ailments
        finally:
            doors.ceph.run("ceph", "osd", "unset", flag)
    assert told == {"noout": (), "noscrub": ()}
    doors.ceph.run("ceph", "osd", "set", "pause")
    try:
        ailments = doors.store.intake().ailments
    finally:
        doors.ceph.run("ceph", "osd", "unset", "pause")
    assert len(ailments) == 1
    assert "OSDMAP_FLAGS" in ailments[0]
    assert "pausewr" in ailments[0]


def test_an_osd_that_is_down(edge: Ceph, hasty: RbdDoors) -> None:
    with without(edge, "edge-osd", "stop"):
        ailments = hasty.store.intake().ailments
    assert any("OSD_DOWN" in each for each in ailments)


def test_an_osd_that_hangs(edge: Ceph, hasty: RbdDoors) -> None:
    """The monitors do not know it yet."""
    with without(edge, "edge-osd", "pause"):
        ailments = hasty.store.intake().ailments
    assert ailments
    assert hasty.images in ailments[0]
    assert hasty.store.intake().ailments == ()


def test_monitors_that_do_not_answer(edge: Ceph, hasty: RbdDoors) -> None:
    with without(edge, "edge-mon", "pause"), pytest.raises(UnavailableError):
        hasty.store.intake()
    assert hasty.store.intake().free > 0
