"""A pool of images of the lab, looked at with Ceph's own tools only."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
import rados
import rbd

from cowpath.core.model import Arrival, Image, ImageId, Location
from cowpath.core.transfer import Draft, Extent, Original, Terms
from cowpath.stores.rbd._drafts import RbdDraft
from cowpath.stores.rbd.config import RbdConfig
from cowpath.stores.rbd.copy import RbdImageStore
from cowpath.stores.rbd.store import RbdStore
from cowpath.testing.store_fixtures import IMAGE
from cowpath.testing.transfer_doors import ImageStoreDoors
from tests.lab.ceph.cluster import Ceph

ORDER = 18
"""Of the objects: 256 KiB, the unit of the suite's image."""

_DISKS = "suite-vms"
_OTHER_FSID = "00000000-0000-4000-8000-000000000000"
_OURS = "cowpath.copy."
_DRAFT = "cowpath-copy-"


class RbdImageDoors(ImageStoreDoors):
    """Glance's pool in one of the clusters, and a user with exactly Glance's caps.

    Attributes:
        compute: The configuration of a compute host there, which may only read it.
    """

    store: RbdImageStore

    def __init__(
        self, ceph: Ceph, config: RbdConfig, compute: RbdConfig, leaving: ExitStack
    ) -> None:
        self.ceph = ceph
        self.config = config
        self.compute = compute
        self.name = config.store
        self.pool = config.images_pools[0]
        self._leaving = leaving
        self._full = False
        self.store = self.another()
        self._site = RbdStore(compute)
        leaving.callback(self._site.close)

    def another(self) -> RbdImageStore:
        return self.opened(self.config)

    def opened(self, config: RbdConfig) -> RbdImageStore:
        store = RbdImageStore(config, order=ORDER)
        self._leaving.callback(store.close)
        return store

    def put(self, image: ImageId, data: bytes) -> None:
        self.make(image, data)
        self.snapshot(image)

    def make(self, name: str, data: bytes, order: int = ORDER) -> None:
        """Make an image without a snapshot; zeros are not written."""
        self.ceph.drop(self.pool, name)
        with self.ceph.pool(self.pool) as pool:
            rbd.RBD().create(pool, name, len(data), order=order)
            with rbd.Image(pool, name) as made:
                for at in range(0, len(data), 1 << order):
                    part = data[at : at + (1 << order)]
                    if part.strip(b"\0"):
                        made.write(part, at)

    def snapshot(self, name: str) -> None:
        with self.ceph.opened(self.pool, name, writable=True) as made:
            made.create_snap("snap")
            made.protect_snap("snap")

    def put_leftover(self, image: ImageId, data: bytes) -> None:
        self.make(image, data)

    def remove(self, image: ImageId) -> None:
        self.ceph.drop(self.pool, image)

    def content(self, image: ImageId) -> bytes | None:
        with (
            suppress(rbd.ImageNotFound),
            self.ceph.opened(self.pool, image) as seen,
        ):
            if not any(each["name"] == "snap" for each in seen.list_snaps()):
                return None
            assert seen.is_protected_snap("snap")
            seen.set_snap("snap")
            return bytes(seen.read(0, seen.size()))
        return None

    def taken(self, image: ImageId) -> int:
        with self.ceph.opened(self.pool, image) as seen:
            prefix = seen.block_name_prefix()
        with self.ceph.pool(self.pool) as pool:
            objects = [each.key for each in pool.list_objects()]
            return sum(
                int(pool.stat(key)[0]) for key in objects if key.startswith(prefix)
            )

    def names(self) -> set[str]:
        with self.ceph.pool(self.pool) as pool:
            ours = [each.key for each in pool.list_objects()]
        images = self.ceph.names(self.pool)
        return {*images, *(key for key in ours if key.startswith(_OURS))}

    def kept(self, image: ImageId) -> int:
        return len(self._thrown(image))

    def forget_kept(self, image: ImageId) -> None:
        with self.ceph.pool(self.pool) as pool:
            for rbd_id in self._thrown(image):
                rbd.RBD().trash_restore(pool, rbd_id, f"thrown-{rbd_id}")
        for name in self.ceph.names(self.pool):
            if name.startswith("thrown-"):
                self.ceph.drop(self.pool, name)

    def scribble(self, image: ImageId, offset: int, data: bytes) -> None:
        draft = f"{_DRAFT}{image}"
        with self.ceph.opened(self.pool, draft) as seen:
            prefix, has_snapshot = seen.block_name_prefix(), bool([*seen.list_snaps()])
            number, at = divmod(offset, 1 << seen.stat()["order"])
        if not has_snapshot:
            with self.ceph.opened(self.pool, draft, writable=True) as opened:
                assert opened.write(data, offset) == len(data)
            return
        # By librbd it would be the image that changes, and not the snapshot.
        with self.ceph.pool(self.pool) as pool:
            try:
                pool.stat(f"{prefix}.{number:016x}")
            except rados.ObjectNotFound:
                pytest.skip("no reader looks for an object that the map does not have")
            pool.write(f"{prefix}.{number:016x}", data, at)

    def clone(self, image: ImageId) -> Callable[[], None]:
        disk = f"disk-of-{image}"
        with self.ceph.pool(self.pool) as images, self.ceph.pool(_DISKS) as disks:
            rbd.RBD().clone(images, image, "snap", disks, disk)
        return lambda: self.ceph.drop(_DISKS, disk)

    def location(self, image: ImageId) -> Location:
        url = f"rbd://{self.ceph.fsid}/{self.pool}/{image}/snap"
        return Location(url, self.name)

    def forged(self, image: ImageId, other: ImageId) -> dict[str, str]:
        here = f"rbd://{self.ceph.fsid}/{self.pool}"
        return {
            "another cluster": f"rbd://{_OTHER_FSID}/{self.pool}/{image}/snap",
            "another pool": f"rbd://{self.ceph.fsid}/{_DISKS}/{image}/snap",
            "another image": f"{here}/{other}/snap",
            "another snapshot": f"{here}/{image}/other",
            "no snapshot": f"{here}/{image}",
            "encoded slash": f"{here}/x%2F{image}/snap",
            "a file": f"file:///{self.pool}/{image}",
        }

    def arrival(self, image: Image) -> Arrival | None:
        return self._site.arrival(image)

    def fill_up(self) -> None:
        # The monitors call a pool full that has as many objects as it may.
        self._full = True
        full = self.ceph.full(self.pool)
        self._leaving.enter_context(full)

    def clean(self) -> None:
        """Leave the pool empty."""
        for image in [IMAGE, *self._trash_names()]:
            self.forget_kept(ImageId(image))
        for pool in (_DISKS, self.pool):
            for name in self.ceph.names(pool):
                self.ceph.drop(pool, name)
        with self.ceph.pool(self.pool) as pool:
            for each in list(pool.list_objects()):
                if each.key.startswith(_OURS):
                    with suppress(rados.ObjectNotFound):
                        pool.remove_object(each.key)

    def _trash_names(self) -> set[str]:
        with self.ceph.pool(self.pool) as pool:
            return {str(each["name"]) for each in rbd.RBD().trash_list(pool)}

    def _thrown(self, image: ImageId) -> list[str]:
        with self.ceph.pool(self.pool) as pool:
            found = rbd.RBD().trash_list(pool)
            return [str(each["id"]) for each in found if each["name"] == image]


def differing(draft: Draft, original: Original) -> list[Extent]:
    """Return what the stores say by checksums; they can."""
    told = draft.differing(original, original.extents())
    assert told is not None
    return list(told)


@contextmanager
def copying(
    source: RbdImageDoors, target: RbdImageDoors, image: Image, terms: Terms
) -> Iterator[tuple[Original, RbdDraft]]:
    """Give the image that is copied, and the draft of its copy."""
    with (
        source.store.original(image, terms) as original,
        target.store.draft(image, terms) as draft,
    ):
        yield original, draft


def mend(draft: Draft, original: Original) -> int:
    """Write where a draft differs, and see that it does no more; return the extents."""
    written = differing(draft, original)
    for extent in written:
        draft.write(extent, original.read(extent))
    assert differing(draft, original) == []
    return len(written)
