"""Glance is killed in the midst of copies; what it holds and leaves is passed.

Three copies are under way when it dies, so that it has to die only once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.bench import Ran, noise, size_of, tool
from tests.lab.ceph.ceph_bench import (
    EDGE,
    IMAGES,
    VMS,
    Begun,
    CephBench,
    commands,
    kinds,
    why,
)
from tests.lab.ceph.cluster import Ceph

pytestmark = pytest.mark.ceph

_CENTRAL = "central"
_MIB = 2**20
_SIZE = 24 * _MIB
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Died:
    """An image whose copy died with Glance, and what its follower told."""

    image: str
    ran: Ran

    @property
    def place(self) -> tuple[str, ...]:
        return ("image", "place", self.image)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("killed")


def _conf(bench: CephBench, folder: Path, **more: str | int) -> str:
    """Write a configuration with small bounds."""
    return bench.conf(folder, site=EDGE, **(_BOUNDS | more))


_BOUNDS: dict[str, str | int] = {
    "images_rbd_glance_copy_timeout": 60,
    "images_rbd_glance_copy_poll_interval": 2,
    "copy_stall": 5,
}


@pytest.fixture(scope="module")
def died(bench: CephBench, edge: Ceph, folder: Path) -> Iterator[dict[str, Died]]:
    """Kill Glance when it stages one image and stores two, and start it again."""
    central = bench.clusters[_CENTRAL]
    images = {
        stage: bench.upload(noise(24), store=_CENTRAL)
        for stage in ("storing", "storing too", "staging")
    }
    staged = bench.staged(images["staging"])
    begun: dict[str, Begun] = {}

    def begin(stage: str, **more: str | int) -> None:
        conf = _conf(bench, folder, **more)
        place = ("image", "place", images[stage])
        begun[stage] = bench.begin(folder, *place, conf=conf)

    with edge.throttled(IMAGES, 2 * _MIB):
        stored = ("storing", "storing too")
        for stage in stored:
            begin(stage)
        there = {images[stage] for stage in stored}
        bench.wait(lambda: there <= {*edge.names(IMAGES)}, "the storing")
        with central.throttled(IMAGES, 2 * _MIB, what="read"):
            begin("staging", images_rbd_glance_copy_timeout=9)
            for stage in stored:
                bench.until(begun[stage], event="CopyProgress", phase="storing")
            bench.wait(lambda: size_of(staged) > 0, "the staging")
            bench.kill_glance()
    assert 0 < size_of(staged) < _SIZE
    assert images["staging"] not in edge.names(IMAGES)
    yield {stage: Died(images[stage], each.end()) for stage, each in begun.items()}
    for image in images.values():
        bench.delete(image)
        edge.drop(IMAGES, image)
        edge.empty_trash(IMAGES, image)


def _locked(bench: CephBench, died: Died) -> str:
    """Check that the lock stays; return whose it is."""
    told = bench.show(died.image)
    assert told["os_glance_importing_to_stores"] == EDGE
    return str(told["os_glance_import_task"])


def _good(bench: CephBench, edge: Ceph, died: Died) -> None:
    """Check that a disk of it has the bytes that it has at central."""
    name = bench.name()
    bench.cowpath("disk", "create", died.image, name)
    there = bench.clusters[_CENTRAL].digest(IMAGES, died.image)
    assert edge.digest(VMS, name) == there
    # Else Glance, which is to delete the image, would move it to the trash.
    edge.drop(VMS, name)


def test_killed_in_staging(
    bench: CephBench, edge: Ceph, folder: Path, died: dict[str, Died]
) -> None:
    """Nothing of staging is seen, so that the timeout is the bound."""
    it = died["staging"]
    assert it.ran.code == 8, it.ran
    for word in (it.image, _locked(bench, it), "pass_dead_lock_after", "60 minutes"):
        assert word in why(it.ran)
    assert bench.copies(it.image) == 1
    bench.age(it.image)
    conf = _conf(bench, folder, pass_dead_lock_after=_HOUR)
    ran = bench.tell(*it.place, conf=conf)
    assert ran.code == 0, ran
    assert bench.copies(it.image) == 2
    _good(bench, edge, it)


def test_a_young_lock_is_not_touched(
    bench: CephBench, folder: Path, died: dict[str, Died]
) -> None:
    it = died["storing"]
    conf = _conf(bench, folder, pass_dead_lock_after=_HOUR, set_aside_leftovers="true")
    ran = bench.tell(*it.place, conf=conf)
    assert ran.code == 19, ran
    assert kinds(ran) == ["CopyJoined", "CopyFailed", "Error"]
    assert bench.asked(it.image) == 1
    assert _locked(bench, it) in why(ran)


def test_killed_in_storing(
    bench: CephBench, edge: Ceph, folder: Path, died: dict[str, Died]
) -> None:
    """The stall is the bound; then the lock is passed and the leftover set aside."""
    it = died["storing"]
    assert it.ran.code == 19, it.ran
    last = it.ran.told("CopyProgress")[-1]["present"]
    assert 0 < last < _SIZE
    for word in (it.image, f"{last} of {_SIZE} bytes", _locked(bench, it)):
        assert word in why(it.ran)
    assert bench.copies(it.image) == 1
    was = edge.digest(IMAGES, it.image)
    _unwatched(bench, edge, it)
    bench.age(it.image)
    conf = _conf(
        bench,
        folder,
        pass_dead_lock_after=_HOUR,
        set_aside_leftovers="true",
        repair_rbd_user="cowpath-repair",
    )
    ran = bench.tell(*it.place, conf=conf)
    assert ran.code == 0, ran
    assert kinds(ran) == [
        "CopyJoined",
        "Warned",
        "CopyAsked",
        "LeftoverSetAside",
        "CopyAsked",
        "CopyFinished",
        "BaseFound",
    ]
    assert bench.copies(it.image) == 3
    _good(bench, edge, it)
    _, restore = commands(ran.told("LeftoverSetAside")[0]["kept"])
    other = f"{it.image}.restored"
    tool(*restore, "--image", other)
    assert edge.digest(IMAGES, other) == was
    edge.drop(IMAGES, other)


def _unwatched(bench: CephBench, edge: Ceph, died: Died) -> None:
    """Return once the cluster has forgotten who had it open when he was killed."""
    spec = f"{IMAGES}/{died.image}"
    bench.wait(lambda: not edge.json("rbd", "status", spec)["watchers"], "its end")


def test_killed_in_storing_without_permission_to_repair(
    bench: CephBench, edge: Ceph, folder: Path, died: dict[str, Died]
) -> None:
    """Each error says what to do, and that is enough."""
    it = died["storing too"]
    assert it.ran.code == 19, it.ran
    bench.age(it.image)
    passing = _conf(bench, folder, pass_dead_lock_after=_HOUR)
    ran = bench.tell(*it.place, conf=passing)
    # Glance stages all of it, and finds what lies there.
    assert ran.code == 7, ran
    assert kinds(ran) == ["CopyJoined", "Warned", "CopyAsked", "CopyFailed", "Error"]
    assert bench.copies(it.image) == 2
    blocked = bench.tell(*it.place, conf=passing)
    assert blocked.code == 20, blocked
    assert bench.copies(it.image) == 2
    assert commands(why(ran)) == commands(why(blocked))
    move, _ = commands(why(blocked))
    _unwatched(bench, edge, it)
    # It says that it takes a user who may write there.
    tool(*move, "--keyring", edge.keyring, "-n", "client.admin")
    assert bench.tell(*it.place).code == 0
    assert bench.copies(it.image) == 3
    _good(bench, edge, it)
