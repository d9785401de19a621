"""Killed at each step of making a disk: the next call finishes what was begun."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from cowpath.core.errors import BusyError, ConflictError
from cowpath.core.model import Base, Disk, ImageId, disk_name
from lab.waiting import wait_until
from tests.lab.bench import noise
from tests.lab.ceph.ceph_bench import EDGE, VMS, CephBench
from tests.lab.ceph.cluster import Ceph
from tests.lab.ceph.rbd_doors import RbdDoors

pytestmark = pytest.mark.ceph

_MIB = 2**20

# librbd tells no audit hook of what it does: what calls it is replaced.
_CHILD = """
import os, signal
from contextlib import contextmanager
from cowpath import open_site
from cowpath.stores.rbd import _intents, _librbd, _marks

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def after(call):
    def both(*arguments):
        call(*arguments)
        die()
    return both

class Dying:
    def __init__(self, image):
        self._image = image
    def __getattr__(self, name):
        return die if name == {step!r} else getattr(self._image, name)

if {step!r} == "clone":
    _librbd.clone = die
elif {step!r} == "mark":
    _librbd.clone = after(_librbd.clone)
elif {step!r} == "forget":
    _intents.forget = die
elif {step!r} == "resize":
    inner = _librbd.Cluster.image
    @contextmanager
    def image(*given, **more):
        with inner(*given, **more) as opened:
            yield Dying(opened)
    _librbd.Cluster.image = image
open_site([{conf!r}]).create_disk({image!r}, {name!r}, {size!r})
"""

# What is there when the process dies before that step.
_STEPS = {
    "clone": None,
    "mark": 2 * _MIB,
    "resize": 2 * _MIB,
    "forget": 5 * _MIB,
}


def _notes(bench: CephBench, name: str) -> list[str]:
    tool = bench.clusters[EDGE].run
    keys = tool("rados", "-p", VMS, "listomapkeys", "cowpath.making").splitlines()
    return [key for key in keys if key.startswith(f"{name} ")]


def _kill(bench: CephBench, image: str, name: str, step: str, size: str = "5M") -> None:
    conf = bench.lab["sites"][EDGE]
    program = _CHILD.format(step=step, conf=conf, image=image, name=name, size=size)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=bench.environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -9, (step, done.stderr)


def test_killed_while_making_a_disk(bench: CephBench, edge: Ceph) -> None:
    data = noise(2)
    image = bench.upload(data, store=EDGE)
    names = {step: bench.name() for step in _STEPS}
    for step, size in _STEPS.items():
        _kill(bench, image, names[step], step)
        assert len(_notes(bench, names[step])) == 1
        there = names[step] in edge.names(VMS)
        assert there is (size is not None)
        if there:
            assert bench.info(names[step])["size"] == size
            shown = bench.cowpath("disk", "show", names[step], "--json").document
            assert shown["made_by_cowpath"]
    # A dead client's watches last 30 s: all of them together.
    with ThreadPoolExecutor(len(names)) as pool:
        made = list(
            pool.map(
                lambda name: bench.cowpath(
                    "disk", "create", image, name, "--size", "5M", "--json"
                ),
                names.values(),
            )
        )
    for (step, name), ran in zip(names.items(), made, strict=True):
        assert ran.document["size"] == 5 * _MIB
        assert ("made by an earlier call" in ran.err) is (step != "clone")
        told = bench.info(name)
        assert told["size"] == 5 * _MIB
        assert (told["parent"]["pool"], told["parent"]["image"]) == ("images", image)
        assert _bytes(edge, name) == b"".join(data) + bytes(3 * _MIB)
    for name in names.values():
        bench.cowpath("disk", "delete", name)
        assert name not in edge.names(VMS)
        assert _notes(bench, name) == []


def _bytes(edge: Ceph, name: str) -> bytes:
    with edge.opened(VMS, name) as seen:
        return bytes(seen.read(0, seen.size()))


def test_what_a_clone_begins_as_is_made_anew(bench: CephBench, edge: Ceph) -> None:
    """Killed inside librbd: an image is there that is nobody's clone yet."""
    image, name = bench.upload(noise(2), store=EDGE), bench.name()
    _kill(bench, image, name, "clone")
    edge.run("rbd", "create", "--size", "2M", f"{VMS}/{name}")
    # For a while it may be another call's that is alive.
    ran = bench.cowpath("disk", "create", image, name, "--size", "5M", "--json")
    assert ran.document["size"] == 5 * _MIB
    assert bench.info(name)["parent"]["image"] == image


@pytest.mark.parametrize("why", ["never begun by us", "written to"])
def test_an_image_of_somebody_else_stays(
    bench: CephBench, edge: Ceph, why: str
) -> None:
    image, name = bench.upload(noise(2), store=EDGE), bench.name()
    if why == "written to":
        _kill(bench, image, name, "clone")
    edge.run("rbd", "create", "--size", "2M", f"{VMS}/{name}")
    if why == "written to":
        with edge.opened(VMS, name, writable=True) as opened:
            opened.write(b"mine", _MIB)
    told = bench.info(name)
    ran = bench.run("disk", "create", image, name, site=EDGE)
    assert ran.code != 0
    assert "was not made by Cowpath" in ran.err
    assert bench.info(name) == told


# A note proves something for a while only.

_IMAGE = ImageId("6f2e1c0a-0000-4000-8000-0000000000aa")
_NAME = disk_name("vm-noted")


def _clone_by_hand(doors: RbdDoors) -> None:
    base = f"{doors.images}/{_IMAGE}@snap"
    doors.ceph.run("rbd", "clone", base, f"{doors.vms}/{_NAME}")


def _note(doors: RbdDoors, seconds_ago: float | None) -> None:
    """Note that the disk is being made; as of old, without a time, if None."""
    value = str(_IMAGE)
    if seconds_ago is not None:
        value += f" {datetime.now(UTC).timestamp() - seconds_ago:.3f} {_MIB}"
    words = ("setomapval", "cowpath.making", f"{_NAME} 0123", value)
    doors.ceph.run("rados", "-p", doors.vms, *words)


def _marked(doors: RbdDoors) -> bool:
    found = doors.another().find_disk(_NAME)
    assert found is not None
    assert found.image == _IMAGE
    return found.marked


def test_killed_before_the_mark_and_of_the_right_size(
    bench: CephBench, edge: Ceph
) -> None:
    """Nothing else is to be done to the disk, and yet it is marked."""
    image, name = bench.upload(noise(2), store=EDGE), bench.name()
    _kill(bench, image, name, "mark", size="2M")
    ran = bench.cowpath("disk", "create", image, name, "--size", "2M", "--json")
    assert "made by an earlier call" in ran.err
    assert image in edge.run(
        "rbd", "image-meta", "get", f"{VMS}/{name}", "cowpath.disk"
    )
    assert _notes(bench, name) == []
    # So nothing speaks for a clone that somebody else puts in its place.
    edge.drop(VMS, name)
    edge.run("rbd", "clone", f"images/{image}@snap", f"{VMS}/{name}")
    told = bench.info(name)
    ran = bench.run("disk", "create", image, name, site=EDGE)
    assert ran.code != 0
    assert "was not made by Cowpath" in ran.err
    assert bench.info(name) == told


@pytest.mark.parametrize(
    ("seconds_ago", "ours"),
    [
        (1, True),
        (3600, False),
        # Somebody else, such as Nova, was first; a call that came then was killed.
        (-3, False),
        (-3600, False),
        (None, False),
    ],
)
def test_whose_a_clone_without_a_mark_is(
    doors: RbdDoors, seconds_ago: float | None, *, ours: bool
) -> None:
    """Ours if it was made when the note says, and in the time that a call may take."""
    doors.put(_IMAGE, b"".join(noise(1)))
    _note(doors, seconds_ago)
    _clone_by_hand(doors)
    assert _marked(doors) is ours
    found = doors.store.find_disk(_NAME)
    assert found is not None
    doors.store.grow(found, found.size)
    assert _marked(doors) is ours
    # The mark now, and no note; what is not ours is left as it is.
    assert (_NAME in "".join(doors.notes())) is not ours
    told = doors.ceph.run("rbd", "image-meta", "ls", f"{doors.vms}/{_NAME}")
    assert ("cowpath.disk" in told) is ours


@pytest.mark.parametrize("seconds_ago", [3600, None])
def test_an_empty_image_that_no_note_explains_stays(
    doors: RbdDoors, seconds_ago: float | None
) -> None:
    """An old note is no leave to remove what somebody made since."""
    doors.put(_IMAGE, b"".join(noise(1)))
    _note(doors, seconds_ago)
    doors.ceph.run("rbd", "create", "--size", "1M", f"{doors.vms}/{_NAME}")
    before = doors.everything()
    found = doors.store.find_disk(_NAME)
    assert found is not None
    assert not found.marked
    base = doors.store.find_base(doors.image(_IMAGE, 2**20))
    assert base is not None
    with pytest.raises(ConflictError, match=_NAME) as caught:
        doors.store.clone(base, _NAME)
    assert not isinstance(caught.value, BusyError)
    assert doors.everything() == before


def _base(doors: RbdDoors) -> Base:
    doors.put(_IMAGE, b"".join(noise(1)))
    base = doors.store.find_base(doors.image(_IMAGE, _MIB))
    assert base is not None
    return base


def test_a_stump_goes_to_the_trash(hasty: RbdDoors) -> None:
    """Nothing is removed that might be somebody's."""
    base = _base(hasty)
    _note(hasty, 0)
    hasty.ceph.run("rbd", "create", "--size", "1M", f"{hasty.vms}/{_NAME}")
    stump = hasty.ceph.json("rbd", "info", f"{hasty.vms}/{_NAME}")["id"]
    assert hasty.store.find_disk(_NAME) is None
    made: list[Disk] = []

    def over() -> bool:
        with suppress(BusyError):
            made.append(hasty.store.clone(base, _NAME))
        return bool(made)

    assert not over()
    assert wait_until(over, within_seconds=30)
    assert made[0].image == _IMAGE
    assert stump in hasty.ceph.run("rbd", "trash", "ls", hasty.vms)
    assert hasty.notes() == {}


_STRANGERS = {
    "another size": ("create", "--size", "2M", "{}"),
    "metadata": ("image-meta", "set", "{}", "owner", "nova"),
    "a snapshot": ("snap", "create", "{}@theirs"),
}


@pytest.mark.parametrize("what", [*_STRANGERS])
def test_what_is_no_stump_stays(doors: RbdDoors, what: str) -> None:
    """Empty, and made while a note says so, but not as librbd leaves a clone."""
    base, spec = _base(doors), f"{doors.vms}/{_NAME}"
    _note(doors, 0)
    if what != "another size":
        doors.ceph.run("rbd", "create", "--size", "1M", spec)
    doors.ceph.run("rbd", *(word.format(spec) for word in _STRANGERS[what]))
    before = doors.everything()
    found = doors.store.find_disk(_NAME)
    assert found is not None
    assert not found.marked
    with pytest.raises(ConflictError, match=_NAME) as caught:
        doors.store.clone(base, _NAME)
    assert not isinstance(caught.value, BusyError)
    assert doors.everything() == before


def test_a_stump_that_is_open_stays(hasty: RbdDoors) -> None:
    """Where it is written to next, it is no stump any more."""
    base = _base(hasty)
    _note(hasty, 0)
    hasty.ceph.run("rbd", "create", "--size", "1M", f"{hasty.vms}/{_NAME}")
    before = hasty.everything()

    def open_only() -> bool:
        with pytest.raises(BusyError) as caught:
            hasty.store.clone(base, _NAME)
        return "is in use" in str(caught.value)

    with hasty.ceph.opened(hasty.vms, _NAME, writable=True):
        assert wait_until(open_only, within_seconds=30)
        assert hasty.everything() == before


def test_a_noted_disk_that_is_open_is_not_marked_yet(doors: RbdDoors) -> None:
    doors.put(_IMAGE, b"".join(noise(1)))
    _note(doors, 1)
    _clone_by_hand(doors)
    found = doors.store.find_disk(_NAME)
    assert found is not None
    with doors.held(found), pytest.raises(BusyError, match=_NAME):
        doors.store.grow(found, found.size)
    assert doors.notes()
    doors.store.grow(found, found.size)
    assert doors.notes() == {}
