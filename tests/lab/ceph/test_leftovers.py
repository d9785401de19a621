"""What a broken copy left in the pool of images, and the trash that it goes to."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace

import pytest
import rados
import rbd

from cowpath.core.errors import BusyError, ConflictError, ForbiddenError, NoSpaceError
from cowpath.core.model import Image, ImageId, Leftover
from cowpath.stores.rbd._lock import Lock
from cowpath.stores.rbd.store import RbdStore
from lab.waiting import wait_until
from tests.lab.ceph.cluster import Ceph
from tests.lab.ceph.rbd_doors import RbdDoors

pytestmark = pytest.mark.ceph

_IMAGE = ImageId("6f2e1c0a-0000-4000-8000-0000000000ac")
_SIZE = 2**20
_LOCKS = "cowpath.repair"
_OTHERS = "suite-others"

# Writes, so that it has the exclusive lock too, as a copy of Glance's has.
_HOLDER = """
import os, signal, sys
import rados, rbd
conf, keyring, pool, name = sys.argv[1:]
client = rados.Rados(name="client.admin", conffile=conf, conf={"keyring": keyring})
client.connect()
opened = rbd.Image(client.open_ioctx(pool), name)
opened.write(b"x", 0)
os.kill(os.getpid(), signal.SIGKILL)
"""

# Moves a leftover, and is killed before or after that is begun.
_MOVER = """
import os, signal, sys
from cowpath.core.model import Image
from cowpath.stores.rbd import _librbd
from cowpath.stores.rbd.config import RbdConfig
from cowpath.stores.rbd.store import RbdStore

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if {step!r} == "move":
    _librbd.trash = die
store = RbdStore({config!r})
found = store.leftover({image!r})
store.set_aside(found, die if {step!r} == "confirm" else lambda: None)
"""


def _die(doors: RbdDoors, step: str) -> None:
    program = _MOVER.format(step=step, config=doors.config, image=_image(doors))
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, timeout=60
    )
    assert done.returncode == -9, done.stderr


def _image(doors: RbdDoors) -> Image:
    return replace(doors.image(_IMAGE, _SIZE, shown=False), stores=frozenset())


def _leftover(doors: RbdDoors) -> Leftover:
    found = doors.store.leftover(_image(doors))
    assert found is not None
    return found


def _yes() -> None:
    """Confirm."""


def _never() -> None:
    pytest.fail("Glance was asked in vain")


def _check_refused(
    doors: RbdDoors,
    kind: type[Exception],
    *words: str,
    store: RbdStore | None = None,
    confirm: Callable[[], None] = _never,
) -> str:
    found, before = _leftover(doors), doors.everything()
    with pytest.raises(kind) as caught:
        (store or doors.store).set_aside(found, confirm)
    for word in (f"{doors.images}/{_IMAGE}", *words):
        assert word in str(caught.value)
    assert doors.everything() == before
    assert doors.kept(_IMAGE) == 0
    return str(caught.value)


def _commands(said: str) -> list[list[str]]:
    """Return the commands that a text has in backticks."""
    return [shlex.split(each) for each in said.split("`")[1::2]]


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def test_what_it_says_brings_it_back_whole(doors: RbdDoors) -> None:
    """As the user of the repair, its protected snapshot too."""
    doors.put(_IMAGE, b"7" * _SIZE)
    before = doors.everything()
    said = doors.store.set_aside(_leftover(doors), _yes)
    assert doors.ceph.names(doors.images) == []
    seen, restore = _commands(said)
    assert _IMAGE in _run(seen)
    _run(restore)
    assert doors.everything() == before
    with doors.ceph.opened(doors.images, _IMAGE) as image:
        assert image.is_protected_snap("snap")


@pytest.mark.parametrize("whole", [True, False])
def test_the_cure_by_hand(doors: RbdDoors, *, whole: bool) -> None:
    doors.put(_IMAGE, b"7" * _SIZE, present=None if whole else 4096)
    before = doors.everything()
    move, restore = _commands(_leftover(doors).cure)
    _run(move)
    assert doors.kept(_IMAGE)
    assert doors.store.leftover(_image(doors)) is None
    _run(restore)
    assert doors.everything() == before


def test_a_purge_of_the_trash_leaves_it_alone(doors: RbdDoors) -> None:
    doors.put_leftover(_IMAGE, _SIZE)
    doors.store.set_aside(_leftover(doors), _yes)
    doors.ceph.run("rbd", "trash", "purge", doors.images)
    assert doors.kept(_IMAGE)


@pytest.fixture
def others(edge: Ceph) -> Iterator[str]:
    """Give a pool that the users of the doors may not read, such as volumes."""
    if _OTHERS not in edge.json("ceph", "osd", "pool", "ls"):
        edge.run("ceph", "osd", "pool", "create", _OTHERS, "8")
        edge.run("rbd", "pool", "init", _OTHERS)
    yield _OTHERS
    for name in edge.names(_OTHERS):
        edge.drop(_OTHERS, name)


@pytest.mark.parametrize("form", ["1", "2"])
def test_clones_where_we_may_not_look(doors: RbdDoors, others: str, form: str) -> None:
    doors.put_refused(_IMAGE, _SIZE)
    base = f"{doors.images}/{_IMAGE}@snap"
    doors.ceph.run(
        "rbd", "clone", f"--rbd-default-clone-format={form}", base, f"{others}/volume"
    )
    try:
        _check_refused(doors, ConflictError, "clones")
    finally:
        doors.ceph.drop(others, "volume")


def test_a_clone_whose_snapshot_was_removed(doors: RbdDoors, others: str) -> None:
    """With clones of format 2, Glance may remove the snapshot that they need."""
    doors.put_refused(_IMAGE, _SIZE)
    base = f"{doors.images}/{_IMAGE}@snap"
    two = "--rbd-default-clone-format=2"
    doors.ceph.run("rbd", "clone", two, base, f"{others}/volume")
    with doors.ceph.opened(doors.images, _IMAGE, writable=True) as opened:
        opened.unprotect_snap("snap")
        opened.remove_snap("snap")
    try:
        _check_refused(doors, ConflictError, "clones")
    finally:
        doors.ceph.drop(others, "volume")


def test_a_copy_that_still_has_it_open(doors: RbdDoors) -> None:
    doors.put_leftover(_IMAGE, _SIZE)
    with doors.ceph.opened(doors.images, _IMAGE, writable=True):
        _check_refused(doors, BusyError, "rbd", "status")
    doors.store.set_aside(_leftover(doors), _yes)
    assert doors.kept(_IMAGE)


def test_who_opens_it_while_glance_is_asked(doors: RbdDoors) -> None:
    doors.put_leftover(_IMAGE, _SIZE)
    found, before = _leftover(doors), doors.everything()
    with doors.ceph.pool(doors.images) as pool:
        opened: list[rbd.Image] = []
        with pytest.raises(BusyError):
            doors.store.set_aside(found, lambda: opened.append(rbd.Image(pool, _IMAGE)))
        opened.pop().close()
    assert doors.everything() == before


def test_a_copy_that_was_killed_a_moment_ago(doors: RbdDoors) -> None:
    doors.put_leftover(_IMAGE, _SIZE)
    ceph = doors.ceph
    words = (ceph.conf, ceph.keyring, doors.images, str(_IMAGE))
    done = subprocess.run(
        [sys.executable, "-c", _HOLDER, *words], check=False, timeout=60
    )
    assert done.returncode == -9
    _check_refused(doors, BusyError, "30 seconds")


def test_another_cowpath_has_the_lock(doors: RbdDoors) -> None:
    """Of this image; what it is killed with ends by itself."""
    doors.put_leftover(_IMAGE, _SIZE)
    found, before = _leftover(doors), doors.everything()
    with doors.ceph.pool(doors.images) as pool:
        pool.lock_exclusive(_LOCKS, str(_IMAGE), "x", "", 300)
        with pytest.raises(BusyError, match="after it was killed"):
            doors.store.set_aside(found, _yes)
        assert doors.everything() == before
        pool.unlock(_LOCKS, str(_IMAGE), "x")
        pool.lock_exclusive(_LOCKS, "another image", "x", "", 300)
        pool.lock_exclusive(_LOCKS, str(_IMAGE), "y", "", 1)

        def over() -> bool:
            with suppress(BusyError):
                return bool(doors.store.set_aside(found, _yes))
            return False

        assert wait_until(over, within_seconds=30)
        pool.unlock(_LOCKS, "another image", "x")
    assert doors.kept(_IMAGE)


def test_the_lock_is_free_afterwards(doors: RbdDoors) -> None:
    """Also where Glance had another word."""
    doors.put_leftover(_IMAGE, _SIZE)
    found = _leftover(doors)

    def refuse() -> None:
        raise ConflictError("x")

    for _ in range(2):
        with pytest.raises(ConflictError, match=r"^x$"):
            doors.store.set_aside(found, refuse)
    assert doors.store.set_aside(found, _yes)


def test_the_user_of_a_compute_host_may_not(doors: RbdDoors) -> None:
    """The message names the caps that it takes, which are those of the user."""
    doors.put_leftover(_IMAGE, _SIZE)
    with doors.ceph.pool(doors.images) as pool, suppress(rados.ObjectNotFound):
        pool.remove_object(_LOCKS)
    alone = RbdStore(replace(doors.config, repair_user=""))
    try:
        said = _check_refused(
            doors, ForbiddenError, "repair_rbd_user", store=alone, confirm=_yes
        )
    finally:
        alone.close()
    user = f"client.{doors.config.repair_user}"
    [has] = doors.ceph.json("ceph", "auth", "get", user)
    assert f"mon '{has['caps']['mon']}' osd '{has['caps']['osd']}'" in said


def test_killed_while_glance_is_asked(doors: RbdDoors) -> None:
    """It had no lock: the next call need not wait."""
    doors.put_leftover(_IMAGE, _SIZE)
    _die(doors, "confirm")
    doors.store.set_aside(_leftover(doors), _yes)
    assert doors.kept(_IMAGE) == 1


def test_killed_under_the_lock(hasty: RbdDoors) -> None:
    """The lock ends soon after the call's operations have."""
    hasty.put_leftover(_IMAGE, _SIZE)
    _die(hasty, "move")
    found = _leftover(hasty)
    with pytest.raises(BusyError, match="or 9 s after it was killed"):
        hasty.store.set_aside(found, _yes)

    def over() -> bool:
        with suppress(BusyError):
            return bool(hasty.store.set_aside(found, _yes))
        return False

    assert wait_until(over, within_seconds=30)
    assert hasty.kept(_IMAGE) == 1


@pytest.mark.parametrize("taken", [True, False])
def test_a_lock_that_has_ended_is_noticed(doors: RbdDoors, *, taken: bool) -> None:
    """Whoever was stopped in the midst must not move what has the name by then."""
    doors.put_leftover(_IMAGE, _SIZE)
    before = doors.everything()

    with doors.ceph.pool(doors.images) as pool:
        ours = Lock(pool, _LOCKS, str(_IMAGE), 1)
        ours.take()
        ours.renew()

        def other() -> bool:
            with suppress(rados.ObjectBusy):
                pool.lock_exclusive(_LOCKS, str(_IMAGE), "x", "", 300)
                return True
            return False

        assert wait_until(other, within_seconds=30)
        if not taken:
            pool.unlock(_LOCKS, str(_IMAGE), "x")
        with pytest.raises(BusyError, match="ended 1 s after it was taken"):
            ours.renew()
        if taken:
            pool.unlock(_LOCKS, str(_IMAGE), "x")
    assert doors.everything() == before


@pytest.mark.parametrize("without", ["trash", "lock"])
def test_a_full_pool_that_has_never_had_one(hasty: RbdDoors, without: str) -> None:
    """The leftover itself may have filled it."""
    hasty.put_leftover(_IMAGE, _SIZE)
    found, before = _leftover(hasty), hasty.everything()
    with hasty.ceph.pool(hasty.images) as pool:
        pool.write_full(_LOCKS, b"")
        gone = {"trash": "rbd_trash", "lock": _LOCKS}[without]
        with suppress(rados.ObjectNotFound):
            pool.remove_object(gone)
    with hasty.ceph.full(hasty.images):
        with pytest.raises(NoSpaceError) as caught:
            hasty.store.set_aside(found, _yes)
        assert hasty.everything() == before
    for word in (found.where, "POOL_FULL", f"set-quota {hasty.images}", "in Glance"):
        assert word in str(caught.value)
    assert "disk" not in str(caught.value)
    hasty.store.set_aside(found, _yes)
    assert hasty.kept(_IMAGE) == 1


def test_what_glance_deleted_under_disks_is_no_leftover(doors: RbdDoors) -> None:
    """With clones of format 2 it goes to the trash too, and does not hinder."""
    doors.put_refused(_IMAGE, _SIZE)
    two = "--rbd-default-clone-format=2"
    base = f"{doors.images}/{_IMAGE}@snap"
    doors.ceph.run("rbd", "clone", two, base, f"{doors.vms}/a")
    doors.remove(_IMAGE)
    assert doors.kept(_IMAGE) == 1
    doors.put_leftover(_IMAGE, _SIZE)
    doors.store.set_aside(_leftover(doors), _yes)
    assert doors.kept(_IMAGE) == 2
    doors.put_leftover(_IMAGE, _SIZE)
    said = _check_refused_beside(doors)
    assert "trash rm --force" in said


def test_what_it_says_of_one_that_is_kept(doors: RbdDoors) -> None:
    """Removing it, and restoring it under another name."""
    doors.put_leftover(_IMAGE, _SIZE)
    doors.store.set_aside(_leftover(doors), _yes)
    doors.put_leftover(_IMAGE, _SIZE)
    remove, restore = _commands(_check_refused_beside(doors))
    _run([*("x" if word == "NAME" else word for word in restore)])
    assert doors.ceph.names(doors.images) == [_IMAGE, "x"]
    doors.ceph.run("rbd", "trash", "mv", f"{doors.images}/x")
    doors.ceph.drop(doors.images, "x")
    doors.store.set_aside(_leftover(doors), _yes)
    doors.put_leftover(_IMAGE, _SIZE)
    remove, _ = _commands(_check_refused_beside(doors))
    _run([*remove, "--keyring", doors.ceph.keyring, "-n", "client.admin"])
    doors.store.set_aside(_leftover(doors), _yes)
    assert doors.kept(_IMAGE) == 1


def _check_refused_beside(doors: RbdDoors) -> str:
    found, before, kept = _leftover(doors), doors.everything(), doors.kept(_IMAGE)
    with pytest.raises(ConflictError, match="in the trash of pool") as caught:
        doors.store.set_aside(found, _never)
    assert doors.everything() == before
    assert doors.kept(_IMAGE) == kept
    return str(caught.value)


def test_the_user_of_repairs_may_not_touch_data(doors: RbdDoors) -> None:
    doors.put(_IMAGE, b"7" * _SIZE)
    before = doors.everything()
    client = rados.Rados(rados_id=doors.config.repair_user, conffile=doors.config.conf)
    client.connect()
    try:
        with client.open_ioctx(doors.images) as pool:
            with rbd.Image(pool, _IMAGE) as opened, pytest.raises(rbd.PermissionError):
                opened.write(b"x", 0)
            with pytest.raises((rbd.PermissionError, rbd.ImageHasSnapshots)):
                rbd.RBD().remove(pool, _IMAGE)
        with (
            client.open_ioctx(doors.vms) as pool,
            pytest.raises(rbd.PermissionError),
        ):
            rbd.RBD().list(pool)
    finally:
        client.shutdown()
    assert doors.everything() == before


@pytest.mark.parametrize("harm", ["snapshot", "header"])
def test_what_the_user_of_repairs_can_destroy(doors: RbdDoors, harm: str) -> None:
    """A known limit of its caps, which docs/rbd-store.md and docs/security.md tell.

    The monitors let everybody remove a pool's self-managed snapshots who may write to
    any of its objects, and who may take an image's lock may remove its header. Where
    this fails, Ceph has learned better: tell it there, and narrow the caps.
    """
    doors.put(_IMAGE, b"7" * _SIZE)
    with doors.ceph.opened(doors.images, _IMAGE) as seen:
        [snapshot], header = seen.list_snaps(), f"rbd_header.{seen.id()}"
    for user, may in ((doors.config.user, False), (doors.config.repair_user, True)):
        client = rados.Rados(rados_id=user, conffile=doors.config.conf)
        client.connect()
        try:
            with client.open_ioctx(doors.images) as pool, _refused_unless(may=may):
                if harm == "snapshot":
                    pool.remove_self_managed_snap(snapshot["id"])
                else:
                    pool.remove_object(header)
        finally:
            client.shutdown()
    with doors.ceph.pool(doors.images) as pool:
        for each in [each.key for each in pool.list_objects()]:
            pool.remove_object(each)


def _refused_unless(*, may: bool) -> AbstractContextManager[object]:
    return nullcontext() if may else pytest.raises(rados.PermissionError)


def _encoded(text: str) -> bytes:
    return len(text).to_bytes(4, "little") + text.encode()


@pytest.mark.parametrize("lost", ["header", "nothing", "id"])
def test_killed_while_making_or_moving_it(doors: RbdDoors, lost: str) -> None:
    """What is left of the name keeps everybody from making such an image.

    A client that is killed while it makes an image leaves no header. One that is
    killed while it moves one has it in the trash, and by its name still, or the name
    is in the pool's list only.
    """
    with doors.ceph.pool(doors.images) as pool:
        rbd.RBD().create(pool, _IMAGE, _SIZE)
        with doors.ceph.opened(doors.images, _IMAGE) as seen:
            rbd_id = str(seen.id())
        if lost == "header":
            pool.remove_object(f"rbd_header.{rbd_id}")
        else:
            rbd.RBD().trash_move(pool, _IMAGE)
            with rados.WriteOpCtx() as operation:
                keys = (f"name_{_IMAGE}", f"id_{rbd_id}")
                pool.set_omap(operation, keys, (_encoded(rbd_id), _encoded(_IMAGE)))
                pool.operate_write_op(operation, "rbd_directory")
        if lost == "nothing":
            pool.write_full(f"rbd_id.{_IMAGE}", _encoded(rbd_id))
        with pytest.raises(rbd.ImageExists):
            rbd.RBD().create(pool, _IMAGE, _SIZE)
        said = doors.store.set_aside(_leftover(doors), _yes)
        assert _IMAGE in said
        assert doors.store.leftover(_image(doors)) is None
        assert doors.kept(_IMAGE)
        rbd.RBD().create(pool, _IMAGE, _SIZE)


def test_a_name_that_the_trash_does_not_take(doors: RbdDoors) -> None:
    """It is in no list: killed in the very first step. The cure works by hand."""
    with doors.ceph.pool(doors.images) as pool:
        pool.write_full(f"rbd_id.{_IMAGE}", _encoded("0123456789ab"))
    found = _leftover(doors)
    assert found.present == 0
    with pytest.raises(ConflictError, match=str(_IMAGE)):
        doors.store.set_aside(found, _yes)
    _, remove = _commands(found.cure)
    # It fails, and takes the name away.
    admin = ["--keyring", doors.ceph.keyring, "-n", "client.admin"]
    subprocess.run([*remove, *admin], check=False, capture_output=True, timeout=60)
    assert doors.store.leftover(_image(doors)) is None


def test_only_a_repair_opens_the_second_connection(doors: RbdDoors) -> None:
    """A host without the keyring of that user works but for repairs."""
    doors.put_leftover(_IMAGE, _SIZE)
    without = RbdStore(replace(doors.config, repair_user="nobody"))
    try:
        found = without.leftover(_image(doors))
        assert found is not None
        with pytest.raises(ForbiddenError, match=r"client\.nobody"):
            without.set_aside(found, _never)
    finally:
        without.close()
