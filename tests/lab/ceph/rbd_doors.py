"""A pool of the lab's cluster, looked at with Ceph's own tools only."""

import hashlib
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
import rados
import rbd

from cowpath.core.model import Disk, DiskName, ImageId, Location, RbdSource, StoreName
from cowpath.stores.rbd.config import RbdConfig
from cowpath.stores.rbd.store import RbdStore
from cowpath.testing.store_doors import StoreDoors
from lab.waiting import wait_until
from tests.lab.ceph.cluster import Ceph

EDGE = StoreName("edge")
_OTHER_FSID = "00000000-0000-4000-8000-000000000000"
_NOTES = "cowpath.making"
_LOOKS = 200
_SMALL = 64 * 1024
_ORDER = 23  # 8 MiB objects, as Glance's default rbd_store_chunk_size makes


class RbdDoors(StoreDoors):
    """Two pools of their own, and a user with exactly a compute host's caps."""

    store: RbdStore

    def __init__(self, ceph: Ceph, config: RbdConfig, leaving: ExitStack) -> None:
        self.ceph = ceph
        self.config = config
        self.images = config.images_pools[0]
        self.vms = config.pool
        self._leaving = leaving
        self._full = False
        self._bounded = False
        self.store = self.another()
        self.name = config.store

    def another(self) -> RbdStore:
        store = RbdStore(self.config)
        self._leaving.callback(store.close)
        return store

    def put(self, image: ImageId, data: bytes, present: int | None = None) -> None:
        self.ceph.drop(self.images, image)
        with self.ceph.pool(self.images) as pool:
            rbd.RBD().create(pool, image, len(data), order=_ORDER)
            with rbd.Image(pool, image) as made:
                if data[:present]:
                    made.write(data[:present], 0)
                if present is None:
                    made.create_snap("snap")
                    made.protect_snap("snap")

    def put_leftover(self, image: ImageId, size: int) -> None:
        # As Glance does: it makes all of the image, and then writes into it.
        self.put(image, bytes(size), present=size // 2)

    def put_refused(self, image: ImageId, size: int) -> None:
        self.put(image, bytes(size))

    def kept(self, image: ImageId) -> int:
        return len(self._thrown(self.images, image))

    def restore(self, said: str) -> None:
        command = shlex.split(said.split("`")[-2])
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def forget_kept(self, image: ImageId) -> None:
        for rbd_id in self._thrown(self.images, image):
            self._remove_thrown(self.images, rbd_id)

    def settles(self, condition: Callable[[], bool]) -> bool:
        # The manager tells the monitors figures every few seconds.
        return wait_until(condition, within_seconds=60)

    def remove(self, image: ImageId) -> None:
        with self.ceph.pool(self.images) as pool:
            with rbd.Image(pool, image) as seen:
                for snap in [each["name"] for each in seen.list_snaps()]:
                    if seen.is_protected_snap(snap):
                        seen.unprotect_snap(snap)
                    seen.remove_snap(snap)
            try:
                rbd.RBD().remove(pool, image)
            except rbd.ImageHasSnapshots:
                # As glance_store does with an image that has clones of format 2.
                rbd.RBD().trash_move(pool, image)

    def location(self, image: ImageId) -> Location:
        return Location(f"rbd://{self.ceph.fsid}/{self.images}/{image}/snap", EDGE)

    def forged(self, image: ImageId, other: ImageId) -> dict[str, str]:
        here = f"rbd://{self.ceph.fsid}/{self.images}"
        return {
            "another cluster": f"rbd://{_OTHER_FSID}/{self.images}/{image}/snap",
            "another pool": f"rbd://{self.ceph.fsid}/{self.vms}/{image}/snap",
            "another image": f"{here}/{other}/snap",
            "another snapshot": f"{here}/{image}/other",
            "no snapshot": f"{here}/{image}",
            "empty snapshot": f"{here}/{image}/",
            "more than four parts": f"{here}/{image}/snap/x",
            "no pool": f"rbd://{self.ceph.fsid}//{image}/snap",
            "encoded slash": f"{here}/x%2F{image}/snap",
            "a file": f"file:///{self.images}/{image}",
            "old style": f"rbd://{image}",
            "no scheme": f"{self.images}/{image}@snap",
            "a newline": f"{here}/{image}/snap\n",
        }

    def read(self, disk: Disk) -> bytes:
        with (
            self.ceph.pool(self.vms) as pool,
            rbd.Image(pool, _name(disk), read_only=True) as seen,
        ):
            return bytes(seen.read(0, seen.size()))

    def write(self, disk: Disk, offset: int, data: bytes) -> None:
        with self.ceph.pool(self.vms) as pool, rbd.Image(pool, _name(disk)) as opened:
            assert opened.write(data, offset) == len(data)

    @contextmanager
    def held(self, disk: Disk) -> Iterator[None]:
        with self.ceph.pool(self.vms) as pool, rbd.Image(pool, _name(disk)):
            yield

    def copy(self, disk: Disk, name: DiskName) -> None:
        spec = f"{self.vms}/{disk.name}"
        self.ceph.run("rbd", "deep", "cp", spec, f"{self.vms}/{name}")

    def everything(self) -> object:
        return [
            self._described(pool, name)
            for pool in (self.images, self.vms)
            for name in self.ceph.names(pool)
        ]

    def fill_up(self) -> None:
        self._full = True
        self.quota(1)

    def quota(self, objects: int) -> None:
        """Allow the disks' pool so many objects (0: any); return when it is so."""
        words = ("osd", "pool", "set-quota", self.vms, "max_objects", str(objects))
        self.ceph.run("ceph", *words)
        # The monitors look at the pools' figures now and then; every question takes
        # a process, so it does not hurry.
        for _ in range(_LOOKS):
            if ("POOL_FULL" in self.ceph.run("ceph", "health", "detail")) == bool(
                objects
            ):
                return
        pytest.fail(f"pool {self.vms} never had a quota of {objects} objects")

    def bound(self, room: int) -> None:
        """Allow the images' pool `room` bytes; return when its figures say so.

        Without a quota what it takes is hidden by what other pools give back.
        """
        self._bounded = True
        self._bytes_quota(room)
        # librbd's own objects take some bytes in an empty pool.
        assert self.settles(lambda: 0 <= room - self.store.intake().free < _SMALL)

    def _bytes_quota(self, room: int) -> None:
        words = ("osd", "pool", "set-quota", self.images, "max_bytes", str(room))
        self.ceph.run("ceph", *words)

    def notes(self) -> dict[str, str]:
        """Return what is noted as being made."""
        with self.ceph.pool(self.vms) as pool, rados.ReadOpCtx() as operation:
            found, _ = pool.get_omap_vals(operation, "", "", 1000)
            try:
                pool.operate_read_op(operation, _NOTES)
            except rados.ObjectNotFound:
                return {}
            return {key: value.decode() for key, value in found}

    def clean(self) -> None:
        """Leave both pools empty, disks first."""
        if self._full:
            self._full = False
            self.quota(0)
        if self._bounded:
            self._bounded = False
            self._bytes_quota(0)
        with self.ceph.pool(self.vms) as opened, suppress(rados.ObjectNotFound):
            opened.remove_object(_NOTES)
        for pool in (self.vms, self.images):
            for name in self.ceph.names(pool):
                self.ceph.drop(pool, name)
            for each in self._thrown(pool):
                self._remove_thrown(pool, each)

    def _thrown(self, pool: str, name: str = "") -> list[str]:
        """Return the ids of what is in a pool's trash, by that name only if any."""
        with self.ceph.pool(pool) as opened:
            found = rbd.RBD().trash_list(opened)
            return [each["id"] for each in found if name in ("", each["name"])]

    def _remove_thrown(self, pool: str, rbd_id: str) -> None:
        with self.ceph.pool(pool) as opened:
            try:
                rbd.RBD().trash_remove(opened, rbd_id, force=True)
            except rbd.ImageHasSnapshots:
                rbd.RBD().trash_restore(opened, rbd_id, f"thrown-{rbd_id}")
        self.ceph.drop(pool, f"thrown-{rbd_id}")

    def _described(self, pool: str, name: str) -> object:
        spec = f"{pool}/{name}"
        facts = self.ceph.json("rbd", "info", spec)
        with (
            self.ceph.pool(pool) as opened,
            rbd.Image(opened, name, read_only=True) as seen,
        ):
            # `rbd image-meta ls` opens it for writing, and waits where a pool is full.
            metadata = sorted(seen.metadata_list())
            digest = hashlib.sha256(seen.read(0, seen.size())).hexdigest()
        return (
            spec,
            facts["size"],
            facts["id"],
            facts.get("parent"),
            self.ceph.json("rbd", "snap", "ls", spec),
            metadata,
            digest,
        )


def _name(disk: Disk) -> str:
    assert isinstance(disk.source, RbdSource)
    return disk.source.image
