"""The memory store keeps every promise of a store."""

import re
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from cowpath.core.errors import ConflictError, NotFoundError
from cowpath.core.model import Bytes, Disk, DiskName, ImageId, Location, StoreName
from cowpath.core.ports import Store
from cowpath.stores import STORES
from cowpath.stores.memory import MemoryConfig, MemoryStore
from cowpath.testing.store_doors import StoreDoors
from cowpath.testing.store_fixtures import IMAGE, SIZE
from cowpath.testing.store_suite import StoreSuite

_EDGE = StoreName("edge1")


class MemoryDoors(StoreDoors):
    def __init__(self) -> None:
        store = STORES["memory"].make(MemoryConfig(_EDGE, Bytes(1024**3)))
        assert isinstance(store, MemoryStore)
        self.store = self._memory = store
        self.name = _EDGE

    def another(self) -> Store:
        return self.store

    def put(self, image: ImageId, data: bytes, present: int | None = None) -> None:
        self._memory.put(image, data[:present])

    def remove(self, image: ImageId) -> None:
        self._memory.remove(image)

    def put_leftover(self, image: ImageId, size: int) -> None:
        self._memory.put(image, size=size)

    def put_refused(self, image: ImageId, size: int) -> None:
        self._memory.put(image, size=size)

    def kept(self, image: ImageId) -> int:
        return len(self._memory.aside(image))

    def restore(self, said: str) -> None:
        words = re.search(r"to restore it: restore\('(.*)'\)", said)
        assert words
        self._memory.restore(ImageId(words[1]))

    def forget_kept(self, image: ImageId) -> None:
        self._memory.forget_aside(image)

    def location(self, image: ImageId) -> Location:
        return self._memory.location(image)

    def forged(self, image: ImageId, other: ImageId) -> dict[str, str]:
        return {
            "another image's": f"memory://edge1/{other}",
            "another store's": f"memory://edge10/{image}",
            "another scheme": f"file:///edge1/{image}",
            "longer": f"memory://edge1/{image}/x",
        }

    def read(self, disk: Disk) -> bytes:
        return self._memory.read(disk.name, 0, disk.size)

    def write(self, disk: Disk, offset: int, data: bytes) -> None:
        self._memory.write(disk.name, offset, data)

    def held(self, disk: Disk) -> AbstractContextManager[None]:
        return self._memory.held(disk.name)

    def copy(self, disk: Disk, name: DiskName) -> None:
        overlay = self._memory._overlays[disk.name]
        copied = replace(overlay.disk, name=name, marked=False)
        self._memory._overlays[name] = replace(overlay, disk=copied)

    def everything(self) -> object:
        disks = [
            (overlay.disk, dict(overlay.pages))
            for overlay in self._memory._overlays.values()
        ]
        return dict(self._memory._files), disks

    def fill_up(self) -> None:
        ballast = ImageId("ffffffff-0000-4000-8000-000000000000")
        self._memory.put(ballast, size=self._memory.capacity().free)


class TestMemoryStore(StoreSuite):
    @pytest.fixture
    def site(self) -> StoreDoors:
        return MemoryDoors()


class TestLeftovers:
    def test_what_was_replaced_while_glance_was_asked_stays(self) -> None:
        doors = MemoryDoors()
        image = doors.image(IMAGE, SIZE, shown=False)
        doors.put_leftover(IMAGE, 512)
        found = doors.store.leftover(image)
        assert found is not None
        with pytest.raises(ConflictError, match="just replaced"):
            doors.store.set_aside(found, lambda: doors.put_leftover(IMAGE, 512))
        with pytest.raises(NotFoundError, match="is gone"):
            doors.store.set_aside(found, lambda: doors.remove(IMAGE))
        assert not doors.kept(IMAGE)

    def test_what_is_kept_takes_its_room(self) -> None:
        doors = MemoryDoors()
        doors.put_leftover(IMAGE, 512)
        before = doors.store.intake()
        found = doors.store.leftover(doors.image(IMAGE, SIZE, shown=False))
        assert found is not None
        doors.store.set_aside(found, lambda: None)
        assert doors.store.intake() == before
        assert doors._memory.aside(IMAGE) == [512]

    def test_ailments_are_what_a_test_says(self) -> None:
        store = MemoryDoors()._memory
        store.ail("POOL_FULL: 1 pool(s) full", "OSD_DOWN: 1 osds down")
        assert store.intake().ailments == (
            "POOL_FULL: 1 pool(s) full",
            "OSD_DOWN: 1 osds down",
        )
        store.ail()
        assert store.intake().ailments == ()
