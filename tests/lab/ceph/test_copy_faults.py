"""What a copy between clusters does when one of them fails, changes or forbids."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
import rbd

from cowpath.core.errors import (
    ForbiddenError,
    NoSpaceError,
    NotFoundError,
    UnavailableError,
)
from cowpath.core.model import Bytes, Image
from cowpath.core.transfer import Extent, Terms
from cowpath.stores.rbd.copy import RbdImageStore
from cowpath.testing.store_fixtures import IMAGE, OTHER
from cowpath.testing.transfer_fixtures import ELSEWHERE, fill
from tests.lab.ceph.cluster import without
from tests.lab.ceph.copy_doors import ORDER, RbdImageDoors, copying, differing, mend

pytestmark = pytest.mark.ceph

_DATA = os.urandom(3 * 2**20) + bytes(2**20)
_TERMS = Terms(chunk=Bytes(2**20))


@pytest.fixture(autouse=True)
def whole(copy_source: RbdImageDoors) -> None:
    copy_source.put(IMAGE, _DATA)


@pytest.fixture
def image(copy_target: RbdImageDoors) -> Image:
    return copy_target.image(IMAGE, _DATA, ELSEWHERE)


@pytest.fixture
def hasty(copy_target: RbdImageDoors) -> RbdImageStore:
    soon = replace(copy_target.config, connect_timeout=3, op_timeout=4)
    return copy_target.opened(soon)


class TestSource:
    """It is removed or replaced while it is copied: what is gone reads as zeros."""

    @pytest.mark.parametrize("replaced", [False, True])
    def test_it_is_noticed_by_every_means(
        self,
        copy_source: RbdImageDoors,
        copy_target: RbdImageDoors,
        image: Image,
        *,
        replaced: bool,
    ) -> None:
        with copying(copy_source, copy_target, image, _TERMS) as (original, draft):
            copy_source.remove(IMAGE)
            if replaced:
                copy_source.put(IMAGE, _DATA)
            with pytest.raises(NotFoundError, match="removed, or replaced"):
                draft.take(original)
            assert draft.resumed
            with pytest.raises(NotFoundError, match="removed, or replaced"):
                list(draft.differing(original, ()) or ())
            draft.discard()
        assert copy_target.names() == set()

    def test_next_source_goes_on(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        with copy_target.store.draft(image, _TERMS) as draft:
            with copy_source.store.original(image, _TERMS) as original:
                copy_source.remove(IMAGE)
                with pytest.raises(NotFoundError):
                    draft.take(original)
            copy_source.put(IMAGE, _DATA)
            with copy_source.store.original(image, _TERMS) as original:
                mend(draft, original)
            draft.publish()
        assert copy_target.content(IMAGE) == _DATA


class TestTaken:
    """What librbd has copied is an image and its snapshot."""

    def test_zeros_replace_what_was_taken(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        with copying(copy_source, copy_target, image, _TERMS) as (original, draft):
            assert draft.take(original)
            draft.write(Extent(Bytes(0), Bytes(2**20)), bytes(2**20))
            draft.publish()
        assert copy_target.content(IMAGE) == bytes(2**20) + _DATA[2**20 :]

    def test_what_is_published_is_what_is_proved(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        pool, draft_name = copy_target.pool, f"cowpath-copy-{IMAGE}"
        with copying(copy_source, copy_target, image, _TERMS) as (original, draft):
            assert draft.take(original)
            copy_target.scribble(IMAGE, 2**20 + 5, b"flip")
            with copy_target.ceph.opened(pool, draft_name, writable=True) as opened:
                opened.write(_DATA, 0)  # the image is right now, its snapshot is not
            assert differing(draft, original) == [Extent(Bytes(2**20), Bytes(2**20))]
            draft.discard()


class TestOtherLayouts:
    """Sources of which librbd's copy, or the OSDs' checksums, are not to be had."""

    def test_clone(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        with copy_source.ceph.pool(copy_source.pool) as pool:
            copy_source.put(OTHER, _DATA)
            copy_source.remove(IMAGE)
            rbd.RBD().clone(pool, OTHER, "snap", pool, IMAGE)
        copy_source.snapshot(IMAGE)
        self._copy(copy_source, copy_target, image, compared=False)
        copy_source.remove(IMAGE)

    def test_striped(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        copy_source.remove(IMAGE)
        with copy_source.ceph.pool(copy_source.pool) as pool:
            stripe = {"stripe_unit": 65536, "stripe_count": 4}
            rbd.RBD().create(pool, IMAGE, len(_DATA), order=ORDER, **stripe)
            with rbd.Image(pool, IMAGE) as made:
                made.write(_DATA, 0)
        copy_source.snapshot(IMAGE)
        self._copy(copy_source, copy_target, image, compared=False)

    def test_more_snapshots(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        pool = copy_source.pool
        with copy_source.ceph.opened(pool, IMAGE, writable=True) as made:
            made.create_snap("nightly")
            made.write(b"later", 0)
        self._copy(copy_source, copy_target, image, compared=True)

    def test_objects_of_another_size(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        copy_source.make(IMAGE, _DATA, order=20)
        copy_source.snapshot(IMAGE)
        with copying(copy_source, copy_target, image, _TERMS) as (original, draft):
            assert draft.take(original)
            draft.publish()
        assert copy_target.content(IMAGE) == _DATA
        with copy_target.ceph.opened(copy_target.pool, IMAGE) as seen:
            assert seen.stat()["order"] == 20

    def _copy(
        self,
        source: RbdImageDoors,
        target: RbdImageDoors,
        image: Image,
        *,
        compared: bool,
    ) -> None:
        with copying(source, target, image, _TERMS) as (original, draft):
            assert draft.take(original) is False
            fill(draft, original)
            assert (draft.differing(original, ()) is not None) is compared
            draft.publish()
        assert target.content(IMAGE) == _DATA
        with target.ceph.opened(target.pool, IMAGE) as seen:
            assert [each["name"] for each in seen.list_snaps()] == ["snap"]


class TestCluster:
    def test_full_pool(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        with copying(copy_source, copy_target, image, _TERMS) as (original, draft):
            copy_target.make("ballast", b"x" * 1000)
            copy_target.fill_up()
            with pytest.raises(NoSpaceError, match=IMAGE):
                draft.take(original)
            draft.discard()
        assert copy_target.names() == {"ballast"}

    def test_writers_do_not_wait_for_each_other(
        self, copy_target: RbdImageDoors, hasty: RbdImageStore, image: Image
    ) -> None:
        extents = [Extent(Bytes(at << 16), Bytes(65536)) for at in range(16)]
        with (
            suppress(UnavailableError),
            hasty.draft(image, _TERMS) as draft,
            without(copy_target.ceph, "edge-osd", "pause"),
            ThreadPoolExecutor(16) as lanes,
        ):
            ends = [lanes.submit(draft.write, each, b"x" * 65536) for each in extents]
            errors = [end.exception() for end in ends]
            assert all(isinstance(error, UnavailableError) for error in errors)
            # Those who waited were told what the first one met.
            causes = [error.__cause__ for error in errors if error]
            assert sum(isinstance(cause, UnavailableError) for cause in causes) == 15
        with copy_target.another().draft(image, _TERMS) as again:
            again.discard()

    @pytest.mark.parametrize("how", ["pause", "stop"])
    def test_target_that_does_not_answer(
        self,
        copy_source: RbdImageDoors,
        copy_target: RbdImageDoors,
        hasty: RbdImageStore,
        image: Image,
        how: str,
    ) -> None:
        with copy_source.store.original(image, _TERMS) as original:
            with (
                suppress(UnavailableError),
                hasty.draft(image, _TERMS) as draft,
                without(copy_target.ceph, "edge-osd", how),
                pytest.raises(UnavailableError, match=IMAGE),
            ):
                draft.take(original)
            with copy_target.another().draft(image, _TERMS) as draft:
                if not draft.take(original):
                    fill(draft, original)
                assert differing(draft, original) == []
                draft.publish()
        assert copy_target.content(IMAGE) == _DATA

    def test_source_that_does_not_answer(
        self, copy_source: RbdImageDoors, copy_target: RbdImageDoors, image: Image
    ) -> None:
        soon = replace(copy_source.config, connect_timeout=3, op_timeout=4)
        hasty = copy_source.opened(soon)
        with (
            hasty.original(image, _TERMS) as original,
            copy_target.store.draft(image, _TERMS) as draft,
        ):
            with without(copy_source.ceph, "central-osd", "pause"):
                with pytest.raises(UnavailableError, match=IMAGE):
                    draft.take(original)
                with pytest.raises(UnavailableError, match=IMAGE):
                    original.read(Extent(Bytes(0), Bytes(4096)))
            draft.discard()
        assert copy_target.names() == set()


class TestAccess:
    def test_target_that_may_only_be_read(
        self, copy_target: RbdImageDoors, image: Image
    ) -> None:
        osd = f"profile rbd-read-only pool={copy_target.pool}"
        with copy_target.ceph.may("suite-glance", osd=osd):
            opening = copy_target.another().draft(image, _TERMS)
            with pytest.raises(ForbiddenError, match="profile rbd pool="), opening:
                pass
        assert copy_target.names() == set()

    def test_source_that_may_not_be_read(
        self, copy_source: RbdImageDoors, image: Image
    ) -> None:
        osd = "profile rbd-read-only pool=suite-vms"
        with copy_source.ceph.may("suite-glance", osd=osd):
            opening = copy_source.another().original(image, _TERMS)
            with pytest.raises(ForbiddenError, match="rbd-read-only pool="), opening:
                pass
