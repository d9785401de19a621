"""A copy that was killed at any point is gone on with, at once, and leaves nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
import rados
import rbd

from cowpath.core.errors import BusyError, ConflictError
from cowpath.core.model import Image
from cowpath.core.transfer import Terms
from cowpath.stores.rbd._drafts import RbdDraft
from cowpath.testing.store_fixtures import IMAGE
from cowpath.testing.transfer_fixtures import ELSEWHERE
from lab.waiting import wait_until
from tests.lab.ceph.copy_doors import ORDER, RbdImageDoors, copying, differing, mend

pytestmark = pytest.mark.ceph

_DATA = os.urandom(48 * 2**20)
_TERMS = Terms()
_DRAFT = f"cowpath-copy-{IMAGE}"
_NOTE = f"cowpath.copy.{IMAGE}"

_CHILD = """
from cowpath.core.model import Image
from cowpath.core.transfer import Terms
from cowpath.stores.rbd._drafts import RbdDraft
from cowpath.stores.rbd.config import RbdConfig
from cowpath.stores.rbd.copy import RbdImageStore

source, target = RbdImageStore({source!r}), RbdImageStore({target!r}, order={order})
image, terms = Image({image!r}, size={size!r}), Terms(chunk=2**16)
with source.original(image, terms) as original, target.draft(image, terms) as draft:
    if {by_extents!r}:
        for extent in original.extents():
            draft.write(extent, original.read(extent))  # one after the other: slowly
    else:
        draft.take(original)
    draft.publish()
    print("published", flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def whole(copy_source: RbdImageDoors) -> None:
    copy_source.put(IMAGE, _DATA)


@pytest.fixture
def image(copy_target: RbdImageDoors) -> Image:
    return copy_target.image(IMAGE, _DATA, ELSEWHERE)


@contextmanager
def _another_copies(
    source: RbdImageDoors, target: RbdImageDoors, *, by_extents: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """Have another process copy; it is killed when the block is left."""
    program = _CHILD.format(
        source=source.config,
        target=target.config,
        image=IMAGE,
        size=len(_DATA),
        by_extents=by_extents,
        order=ORDER,
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def _objects(doors: RbdImageDoors) -> int:
    """Return how many objects with bytes there are, whoever's."""
    found = 0
    with doors.ceph.pool(doors.pool) as pool:
        for each in list(pool.list_objects()):
            # What only a removed snapshot had is listed until it is trimmed.
            with suppress(rados.ObjectNotFound):
                found += each.key.startswith("rbd_data.") and bool(pool.stat(each.key))
    return found


def _until_objects(target: RbdImageDoors, number: int) -> None:
    assert wait_until(lambda: _begun(target) >= number, within_seconds=60)


def _begun(target: RbdImageDoors) -> int:
    """Return how many objects the draft has, or -1."""
    with target.ceph.pool(target.pool) as pool:
        try:
            rbd_id = pool.read(f"rbd_id.{_DRAFT}")[4:].decode()
        except rados.ObjectNotFound:
            return -1
        names = [each.key for each in pool.list_objects()]
    return sum(name.startswith(f"rbd_data.{rbd_id}.") for name in names)


def _finish(source: RbdImageDoors, target: RbdImageDoors, image: Image) -> int:
    """Go on; return how many extents had to be written."""
    with (
        source.store.original(image, _TERMS) as original,
        target.another().draft(image, _TERMS) as draft,
    ):
        taken = draft.take(original)
        written = mend(draft, original)
        assert not (taken and written)
        draft.publish()
    return written


def _check_whole(target: RbdImageDoors) -> None:
    assert target.content(IMAGE) == _DATA
    assert target.names() == {IMAGE}
    target.remove(IMAGE)
    assert _objects(target) == 0


@pytest.mark.parametrize("by_extents", [False, True])
@pytest.mark.parametrize("objects", [0, 1, 60])
def test_killed_while_it_copies(
    copy_source: RbdImageDoors,
    copy_target: RbdImageDoors,
    image: Image,
    objects: int,
    *,
    by_extents: bool,
) -> None:
    with _another_copies(copy_source, copy_target, by_extents=by_extents):
        _until_objects(copy_target, objects)
    _finish(copy_source, copy_target, image)
    _check_whole(copy_target)


def test_what_had_arrived_is_not_copied_again(
    copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
) -> None:
    with _another_copies(copy_source, copy_target):
        _until_objects(copy_target, 60)
    extents = len(_DATA) // _TERMS.chunk
    assert 0 <= _finish(copy_source, copy_target, image) < extents
    _check_whole(copy_target)


def _publish_and_be_killed(source: RbdImageDoors, target: RbdImageDoors) -> None:
    with _another_copies(source, target) as child:
        assert child.stdout
        assert child.stdout.readline() == "published\n"


def test_killed_before_glance_lists_it(
    copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
) -> None:
    _publish_and_be_killed(copy_source, copy_target)
    assert copy_target.content(IMAGE) == _DATA
    assert _finish(copy_source, copy_target, image) == 0
    _check_whole(copy_target)


def test_killed_after_glance_listed_it(
    copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
) -> None:
    _publish_and_be_killed(copy_source, copy_target)
    copy_target.another().listed(image)
    with copy_target.ceph.pool(copy_target.pool) as pool:
        assert not any(each.key == _NOTE for each in pool.list_objects())
    _check_whole(copy_target)


def test_what_was_killed_is_removed_with_all_its_objects(
    copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
) -> None:
    with _another_copies(copy_source, copy_target):
        _until_objects(copy_target, 20)
    with copy_target.another().draft(image, _TERMS) as draft:
        draft.discard()
    assert copy_target.names() == set()
    assert _objects(copy_target) == 0


class TestBeginnings:
    """What is left of a draft in which there are no bytes yet."""

    def test_name_without_an_image(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        _note(copy_target)
        _name(copy_target, _DRAFT, "102fdeadbeef")
        _finish(copy_source, copy_target, image)
        _check_whole(copy_target)

    def test_image_without_bytes(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        _note(copy_target)
        copy_target.make(_DRAFT, bytes(len(_DATA)))
        _finish(copy_source, copy_target, image)
        _check_whole(copy_target)

    def test_draft_of_another_size(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        _note(copy_target)
        copy_target.make(_DRAFT, bytes(2**20))
        _finish(copy_source, copy_target, image)
        _check_whole(copy_target)

    def test_image_that_is_not_ours_is_left_alone(
        self, copy_target: RbdImageDoors, image: Image
    ) -> None:
        copy_target.make(_DRAFT, b"theirs" * 1000)
        before = copy_target.ceph.digest(copy_target.pool, _DRAFT)
        opening = copy_target.store.draft(image, _TERMS)
        with pytest.raises(ConflictError, match="did not make it"), opening:
            pass
        assert copy_target.ceph.digest(copy_target.pool, _DRAFT) == before

    def test_name_of_glances_without_an_image(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        _name(copy_target, IMAGE, "102fdeadbeef")
        with copying(copy_source, copy_target, image, _TERMS) as (original, draft):
            assert draft.take(original)
            with pytest.raises(ConflictError, match="rbd"):
                draft.publish()
            # As the message says.
            with copy_target.ceph.pool(copy_target.pool) as pool:
                pool.remove_object(f"rbd_id.{IMAGE}")
            draft.publish()
        _check_whole(copy_target)


class TestHalfRenamed:
    """librbd writes the new name, then the pool's list, and removes the old name."""

    def test_killed_before_the_list_was_written(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        with copying(copy_source, copy_target, image, _TERMS) as (original, draft):
            assert draft.take(original)
        _name(copy_target, IMAGE, _id(copy_target, _DRAFT))
        assert _finish(copy_source, copy_target, image) == 0
        _check_whole(copy_target)

    def test_killed_after_the_list_was_written(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        _finish(copy_source, copy_target, image)
        _name(copy_target, _DRAFT, _id(copy_target, IMAGE))
        assert _finish(copy_source, copy_target, image) == 0
        _check_whole(copy_target)

    def test_name_that_only_the_list_has_makes_way(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        _list(copy_target, IMAGE, "102fdeadbeef")
        _finish(copy_source, copy_target, image)
        _check_whole(copy_target)

    def test_renamed_image_is_as_librbd_would_have_renamed_it(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        _finish(copy_source, copy_target, image)
        ours = _directory(copy_target)
        with copy_target.ceph.pool(copy_target.pool) as pool:
            rbd.RBD().rename(pool, IMAGE, "there")
            rbd.RBD().rename(pool, "there", IMAGE)
        assert _directory(copy_target) == ours
        _check_whole(copy_target)

    def test_name_of_another_image_is_not_taken_away(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        copy_target.make(IMAGE, b"theirs" * 1000)
        theirs = _id(copy_target, IMAGE)
        _finish(copy_source, copy_target, image)
        assert copy_target.content(IMAGE) == _DATA
        with copy_target.ceph.pool(copy_target.pool) as pool:
            thrown = [each["id"] for each in rbd.RBD().trash_list(pool)]
        assert thrown == [theirs]


def test_what_was_stopped_for_long_changes_nothing_any_more(
    copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
) -> None:
    """Its lock has ended, and who goes on cuts it off."""
    with _another_copies(copy_source, copy_target, by_extents=True) as child:
        _until_objects(copy_target, 20)
        child.send_signal(signal.SIGSTOP)
        with (
            copy_source.store.original(image, _TERMS) as original,
            _once_free(copy_target, image) as draft,
        ):
            mend(draft, original)
            child.send_signal(signal.SIGCONT)
            child.wait(timeout=60)
            assert differing(draft, original) == []
            draft.publish()
        assert child.returncode
    _check_whole(copy_target)


@contextmanager
def _once_free(target: RbdImageDoors, image: Image) -> Iterator[RbdDraft]:
    """Enter the draft as soon as its lock has ended, which takes 15 s."""
    with ExitStack() as leaving:
        entered: list[RbdDraft] = []

        def enter() -> bool:
            with suppress(BusyError):
                opening = target.another().draft(image, _TERMS)
                entered.append(leaving.enter_context(opening))
            return bool(entered)

        assert wait_until(enter, within_seconds=60)
        yield entered[0]


def _note(doors: RbdImageDoors) -> None:
    with doors.ceph.pool(doors.pool) as pool, rados.WriteOpCtx() as operation:
        pool.set_omap(operation, ("draft",), (b"of a process that is gone",))
        pool.operate_write_op(operation, _NOTE)


def _name(doors: RbdImageDoors, name: str, rbd_id: str) -> None:
    with doors.ceph.pool(doors.pool) as pool:
        text = len(rbd_id).to_bytes(4, "little") + rbd_id.encode()
        pool.write_full(f"rbd_id.{name}", text)


def _list(doors: RbdImageDoors, name: str, rbd_id: str) -> None:
    """Have the pool's list know a name that has no object."""
    with doors.ceph.pool(doors.pool) as pool:
        text = b"".join(
            len(each).to_bytes(4, "little") + each.encode() for each in (name, rbd_id)
        )
        pool.execute("rbd_directory", "rbd", "dir_add_image", text)


def _directory(doors: RbdImageDoors) -> tuple[dict[str, bytes], bytes, bool]:
    """Return the pool's list, and the image's name's object; whether it has another."""
    with doors.ceph.pool(doors.pool) as pool:
        with rados.ReadOpCtx() as operation:
            found, _ = pool.get_omap_vals(operation, "", "", 100)
            pool.operate_read_op(operation, "rbd_directory")
            listed = dict(found)
        names = {each.key for each in pool.list_objects() if "rbd_id" in each.key}
        return listed, pool.read(f"rbd_id.{IMAGE}"), names == {f"rbd_id.{IMAGE}"}


def _id(doors: RbdImageDoors, name: str) -> str:
    with doors.ceph.opened(doors.pool, name) as seen:
        return str(seen.id())


def test_objects_are_as_large_as_the_tests_believe() -> None:
    assert len(_DATA) >> ORDER == 192
